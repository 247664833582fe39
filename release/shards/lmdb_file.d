release/shards/lmdb_file.o: shards/lmdb_file.c shards/lmdb_file.h \
  common/base/err.h common/base/hash.h common/base/fs.h \
  common/base/mem.h shards/lmdb_check_impl.h shards/lmdb_seal_impl.h \
  shards/map_guard.h

shards/lmdb_file.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:

shards/lmdb_check_impl.h:

shards/lmdb_seal_impl.h:

shards/map_guard.h:
