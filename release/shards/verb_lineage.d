release/shards/verb_lineage.o: shards/verb_lineage.c common/base/fs.h \
  common/base/err.h common/base/json.h common/base/hash.h \
  common/base/mem.h common/base/opt.h shards/lineage.h \
  shards/shards_verbs.h common/base/verb.h

common/base/fs.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

shards/lineage.h:

shards/shards_verbs.h:

common/base/verb.h:
