release/shards/label_record.o: shards/label_record.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  shards/label_record_impl.h shards/label_store.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

shards/label_record_impl.h:

shards/label_store.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:
