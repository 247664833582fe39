release/shards/selection.o: shards/selection.c shards/selection.h \
  common/base/err.h common/base/hash.h common/base/json.h \
  common/base/mem.h shards/lmdb_file.h shards/manifest.h \
  shards/selection_impl.h

shards/selection.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

common/base/mem.h:

shards/lmdb_file.h:

shards/manifest.h:

shards/selection_impl.h:
