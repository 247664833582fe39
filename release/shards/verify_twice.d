release/shards/verify_twice.o: shards/verify_twice.c common/base/mem.h \
  common/base/err.h shards/verify_impl.h common/base/progress.h \
  shards/corpus.h common/base/hash.h common/base/json.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/verify.h

common/base/mem.h:

common/base/err.h:

shards/verify_impl.h:

common/base/progress.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/verify.h:
