release/shards/label.o: shards/label.c common/base/fs.h common/base/err.h \
  common/base/mem.h shards/label_store.h common/base/hash.h \
  shards/corpus.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

shards/label_store.h:

common/base/hash.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:
