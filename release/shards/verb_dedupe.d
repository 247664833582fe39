release/shards/verb_dedupe.o: shards/verb_dedupe.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  common/base/opt.h shards/dedupe.h shards/shards_verbs.h \
  common/base/verb.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

shards/dedupe.h:

shards/shards_verbs.h:

common/base/verb.h:
