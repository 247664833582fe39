release/shards/selection_writer.o: shards/selection_writer.c \
  common/base/fs.h common/base/err.h common/base/json.h \
  common/base/hash.h common/base/mem.h shards/lmdb_file.h \
  shards/manifest.h shards/selection_impl.h shards/selection.h

common/base/fs.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:

shards/lmdb_file.h:

shards/manifest.h:

shards/selection_impl.h:

shards/selection.h:
