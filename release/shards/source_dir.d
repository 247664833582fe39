release/shards/source_dir.o: shards/source_dir.c common/base/log.h \
  common/base/mem.h common/base/err.h common/base/watch.h \
  shards/source_impl.h shards/source.h

common/base/log.h:

common/base/mem.h:

common/base/err.h:

common/base/watch.h:

shards/source_impl.h:

shards/source.h:
