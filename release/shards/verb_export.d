release/shards/verb_export.o: shards/verb_export.c common/base/mem.h \
  common/base/err.h common/base/opt.h shards/corpus.h common/base/hash.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/exporter.h shards/label_store.h \
  shards/selection.h shards/shards_verbs.h common/base/verb.h \
  shards/verify.h

common/base/mem.h:

common/base/err.h:

common/base/opt.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/exporter.h:

shards/label_store.h:

shards/selection.h:

shards/shards_verbs.h:

common/base/verb.h:

shards/verify.h:
