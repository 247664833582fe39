release/shards/unpack.o: shards/unpack.c shards/unpack.h \
  common/base/err.h common/base/mem.h

shards/unpack.h:

common/base/err.h:

common/base/mem.h:
