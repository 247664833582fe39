release/common/nn/quant.o: common/nn/quant.c common/nn/quant.h \
  common/base/err.h common/nn/family.h common/base/mem.h

common/nn/quant.h:

common/base/err.h:

common/nn/family.h:

common/base/mem.h:
