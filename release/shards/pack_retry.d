release/shards/pack_retry.o: shards/pack_retry.c shards/pack_retry.h \
  shards/quarantine.h common/base/err.h common/base/hash.h \
  common/base/log.h common/base/mem.h

shards/pack_retry.h:

shards/quarantine.h:

common/base/err.h:

common/base/hash.h:

common/base/log.h:

common/base/mem.h:
