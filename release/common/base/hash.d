release/common/base/hash.o: common/base/hash.c common/base/hash.h \
  common/base/err.h common/base/mem.h common/base/watch.h

common/base/hash.h:

common/base/err.h:

common/base/mem.h:

common/base/watch.h:
