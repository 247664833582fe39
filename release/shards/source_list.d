release/shards/source_list.o: shards/source_list.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  shards/source_impl.h shards/source.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

shards/source_impl.h:

shards/source.h:
