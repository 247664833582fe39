release/shards/exporter.o: shards/exporter.c common/base/fs.h \
  common/base/err.h common/base/hash.h common/base/json.h \
  common/base/mem.h shards/exporter.h shards/label_store.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h

common/base/fs.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

common/base/mem.h:

shards/exporter.h:

shards/label_store.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:
