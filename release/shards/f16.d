release/shards/f16.o: shards/f16.c shards/label_store.h common/base/err.h \
  common/base/hash.h shards/corpus.h common/base/json.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h

shards/label_store.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:
