release/common/base/mem.o: common/base/mem.c common/base/mem.h \
  common/base/err.h

common/base/mem.h:

common/base/err.h:
