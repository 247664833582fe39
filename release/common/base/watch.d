release/common/base/watch.o: common/base/watch.c common/base/watch.h \
  common/base/err.h common/base/clock.h common/base/log.h \
  common/base/mem.h

common/base/watch.h:

common/base/err.h:

common/base/clock.h:

common/base/log.h:

common/base/mem.h:
