release/shards/pack_pool.o: shards/pack_pool.c shards/pack_pool.h \
  common/base/err.h common/base/hash.h common/image/image.h \
  common/base/mem.h common/image/phash.h

shards/pack_pool.h:

common/base/err.h:

common/base/hash.h:

common/image/image.h:

common/base/mem.h:

common/image/phash.h:
