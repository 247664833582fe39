release/shards/verb_forget.o: shards/verb_forget.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  common/base/opt.h shards/forget.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/shards_verbs.h \
  common/base/verb.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

shards/forget.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/shards_verbs.h:

common/base/verb.h:
