release/common/base/rng.o: common/base/rng.c common/base/rng.h \
  common/base/hash.h common/base/err.h

common/base/rng.h:

common/base/hash.h:

common/base/err.h:
