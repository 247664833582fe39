release/shards/source_idx.o: shards/source_idx.c common/base/mem.h \
  common/base/err.h common/base/watch.h common/image/image.h \
  shards/source_impl.h shards/source.h shards/unpack.h

common/base/mem.h:

common/base/err.h:

common/base/watch.h:

common/image/image.h:

shards/source_impl.h:

shards/source.h:

shards/unpack.h:
