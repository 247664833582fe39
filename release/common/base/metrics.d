release/common/base/metrics.o: common/base/metrics.c \
  common/base/metrics.h common/base/err.h common/base/fs.h \
  common/base/json.h common/base/hash.h common/base/mem.h

common/base/metrics.h:

common/base/err.h:

common/base/fs.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:
