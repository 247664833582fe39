release/shards/lmdb_check.o: shards/lmdb_check.c shards/lmdb_check_impl.h \
  common/base/err.h common/base/mem.h

shards/lmdb_check_impl.h:

common/base/err.h:

common/base/mem.h:
