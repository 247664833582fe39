release/common/base/fs.o: common/base/fs.c common/base/fs.h \
  common/base/err.h common/base/clock.h common/base/mem.h

common/base/fs.h:

common/base/err.h:

common/base/clock.h:

common/base/mem.h:
