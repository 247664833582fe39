release/shards/flat_file.o: shards/flat_file.c shards/flat_file.h \
  common/base/err.h common/base/fs.h common/base/hash.h \
  common/base/mem.h

shards/flat_file.h:

common/base/err.h:

common/base/fs.h:

common/base/hash.h:

common/base/mem.h:
