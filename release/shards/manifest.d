release/shards/manifest.o: shards/manifest.c shards/manifest.h \
  common/base/err.h common/base/json.h common/base/hash.h \
  common/base/fs.h common/base/mem.h

shards/manifest.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:
