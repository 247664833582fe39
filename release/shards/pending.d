release/shards/pending.o: shards/pending.c shards/pending.h \
  common/base/err.h common/base/hash.h shards/known.h shards/corpus.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h common/base/mem.h

shards/pending.h:

common/base/err.h:

common/base/hash.h:

shards/known.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/mem.h:
