release/shards/label_update.o: shards/label_update.c common/base/fs.h \
  common/base/err.h common/base/mem.h shards/json_bytes.h \
  common/base/json.h common/base/hash.h shards/label_store_impl.h \
  shards/label_record_impl.h shards/label_store.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/lmdb_file.h shards/manifest.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

shards/json_bytes.h:

common/base/json.h:

common/base/hash.h:

shards/label_store_impl.h:

shards/label_record_impl.h:

shards/label_store.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/lmdb_file.h:

shards/manifest.h:
