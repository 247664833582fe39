release/common/train/evaluation.o: common/train/evaluation.c \
  common/base/mem.h common/base/err.h common/train/evaluate.h \
  common/coll/coll.h common/nn/net.h common/base/trace.h \
  common/device/device.h common/nn/params.h common/nn/family.h \
  common/nn/quant.h

common/base/mem.h:

common/base/err.h:

common/train/evaluate.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:
