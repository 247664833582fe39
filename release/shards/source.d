release/shards/source.o: shards/source.c shards/source.h \
  common/base/err.h common/base/mem.h common/base/watch.h \
  common/image/image.h shards/source_impl.h shards/unpack.h

shards/source.h:

common/base/err.h:

common/base/mem.h:

common/base/watch.h:

common/image/image.h:

shards/source_impl.h:

shards/unpack.h:
