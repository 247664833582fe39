release/shards/verb_inspect.o: shards/verb_inspect.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  common/base/opt.h common/image/image.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/json_bytes.h shards/label_store.h shards/quarantine.h \
  shards/selection.h shards/shards_verbs.h common/base/verb.h \
  shards/verify.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

common/image/image.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/json_bytes.h:

shards/label_store.h:

shards/quarantine.h:

shards/selection.h:

shards/shards_verbs.h:

common/base/verb.h:

shards/verify.h:
