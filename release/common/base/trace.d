release/common/base/trace.o: common/base/trace.c common/base/trace.h \
  common/base/err.h common/base/clock.h common/base/json.h \
  common/base/hash.h common/base/mem.h

common/base/trace.h:

common/base/err.h:

common/base/clock.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:
