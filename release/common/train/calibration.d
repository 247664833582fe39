release/common/train/calibration.o: common/train/calibration.c \
  common/train/calibration.h common/base/err.h common/coll/coll.h \
  common/train/evaluate.h common/nn/net.h common/base/trace.h \
  common/device/device.h common/nn/params.h common/nn/family.h \
  common/nn/quant.h common/base/mem.h

common/train/calibration.h:

common/base/err.h:

common/coll/coll.h:

common/train/evaluate.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/base/mem.h:
