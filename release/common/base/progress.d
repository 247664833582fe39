release/common/base/progress.o: common/base/progress.c \
  common/base/progress.h common/base/clock.h common/base/log.h \
  common/base/watch.h common/base/err.h

common/base/progress.h:

common/base/clock.h:

common/base/log.h:

common/base/watch.h:

common/base/err.h:
