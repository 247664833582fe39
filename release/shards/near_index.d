release/shards/near_index.o: shards/near_index.c shards/near_index.h \
  common/base/err.h common/base/mem.h

shards/near_index.h:

common/base/err.h:

common/base/mem.h:
