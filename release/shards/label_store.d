release/shards/label_store.o: shards/label_store.c shards/label_store.h \
  common/base/err.h common/base/hash.h shards/corpus.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h common/base/fs.h common/base/mem.h \
  shards/json_bytes.h shards/label_store_impl.h \
  shards/label_record_impl.h shards/manifest.h

shards/label_store.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/fs.h:

common/base/mem.h:

shards/json_bytes.h:

shards/label_store_impl.h:

shards/label_record_impl.h:

shards/manifest.h:
