release/common/train/trainer.o: common/train/trainer.c \
  common/train/trainer.h common/base/err.h common/base/hash.h \
  common/coll/coll.h common/nn/net.h common/base/trace.h \
  common/device/device.h common/nn/params.h common/nn/family.h \
  common/nn/quant.h common/train/schedule.h common/base/mem.h \
  common/train/trainer_impl.h

common/train/trainer.h:

common/base/err.h:

common/base/hash.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/schedule.h:

common/base/mem.h:

common/train/trainer_impl.h:
