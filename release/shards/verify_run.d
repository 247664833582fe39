release/shards/verify_run.o: shards/verify_run.c common/base/fs.h \
  common/base/err.h common/base/json.h common/base/hash.h \
  common/base/mem.h shards/manifest.h shards/verify_impl.h \
  common/base/progress.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/verify.h

common/base/fs.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:

shards/manifest.h:

shards/verify_impl.h:

common/base/progress.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/verify.h:
