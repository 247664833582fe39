release/shards/lmdb_seal.o: shards/lmdb_seal.c shards/lmdb_seal_impl.h \
  common/base/err.h common/base/fs.h common/base/mem.h

shards/lmdb_seal_impl.h:

common/base/err.h:

common/base/fs.h:

common/base/mem.h:
