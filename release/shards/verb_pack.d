release/shards/verb_pack.o: shards/verb_pack.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  common/base/opt.h shards/pack.h shards/shards_verbs.h \
  common/base/verb.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

shards/pack.h:

shards/shards_verbs.h:

common/base/verb.h:
