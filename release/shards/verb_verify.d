release/shards/verb_verify.o: shards/verb_verify.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/log.h \
  common/base/mem.h common/base/opt.h shards/shards_verbs.h \
  common/base/verb.h shards/verify.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/log.h:

common/base/mem.h:

common/base/opt.h:

shards/shards_verbs.h:

common/base/verb.h:

shards/verify.h:
