release/common/nn/params.o: common/nn/params.c common/nn/params.h \
  common/base/err.h common/nn/family.h common/base/mem.h \
  common/base/rng.h common/base/hash.h

common/nn/params.h:

common/base/err.h:

common/nn/family.h:

common/base/mem.h:

common/base/rng.h:

common/base/hash.h:
