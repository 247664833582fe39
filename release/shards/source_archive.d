release/shards/source_archive.o: shards/source_archive.c \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/mem.h common/base/watch.h common/image/image.h \
  shards/source_impl.h shards/source.h shards/unpack.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/watch.h:

common/image/image.h:

shards/source_impl.h:

shards/source.h:

shards/unpack.h:
