release/common/base/arena.o: common/base/arena.c common/base/arena.h \
  common/base/err.h common/base/mem.h

common/base/arena.h:

common/base/err.h:

common/base/mem.h:
