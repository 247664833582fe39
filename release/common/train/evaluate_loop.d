release/common/train/evaluate_loop.o: common/train/evaluate_loop.c \
  common/train/evaluate_loop.h common/train/evaluate.h common/base/err.h \
  common/coll/coll.h common/nn/net.h common/base/trace.h \
  common/device/device.h common/nn/params.h common/nn/family.h \
  common/nn/quant.h common/base/mem.h common/base/progress.h \
  common/train/calibration.h

common/train/evaluate_loop.h:

common/train/evaluate.h:

common/base/err.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/base/mem.h:

common/base/progress.h:

common/train/calibration.h:
