release/shards/lineage_use.o: shards/lineage_use.c common/base/mem.h \
  common/base/err.h shards/json_bytes.h common/base/json.h \
  common/base/hash.h shards/lineage_impl.h shards/corpus_impl.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/corpus_extra.h shards/forgotten.h \
  shards/label_store.h shards/lineage.h shards/selection.h \
  shards/manifest.h

common/base/mem.h:

common/base/err.h:

shards/json_bytes.h:

common/base/json.h:

common/base/hash.h:

shards/lineage_impl.h:

shards/corpus_impl.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/label_store.h:

shards/lineage.h:

shards/selection.h:

shards/manifest.h:
