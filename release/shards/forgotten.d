release/shards/forgotten.o: shards/forgotten.c shards/forgotten.h \
  common/base/err.h common/base/hash.h common/base/fs.h \
  common/base/mem.h shards/flat_file.h

shards/forgotten.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:

shards/flat_file.h:
