release/shards/lineage.o: shards/lineage.c shards/lineage.h \
  common/base/err.h common/base/hash.h common/base/json.h \
  common/base/mem.h shards/json_bytes.h shards/lineage_impl.h \
  shards/corpus_impl.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/corpus_extra.h \
  shards/forgotten.h shards/label_store.h shards/selection.h \
  shards/quarantine.h

shards/lineage.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

common/base/mem.h:

shards/json_bytes.h:

shards/lineage_impl.h:

shards/corpus_impl.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/label_store.h:

shards/selection.h:

shards/quarantine.h:
