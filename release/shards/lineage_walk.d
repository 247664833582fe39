release/shards/lineage_walk.o: shards/lineage_walk.c common/base/fs.h \
  common/base/err.h common/base/mem.h shards/lineage_impl.h \
  shards/corpus_impl.h common/base/json.h common/base/hash.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/corpus_extra.h shards/forgotten.h \
  shards/label_store.h shards/lineage.h shards/selection.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

shards/lineage_impl.h:

shards/corpus_impl.h:

common/base/json.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/label_store.h:

shards/lineage.h:

shards/selection.h:
