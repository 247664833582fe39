release/common/train/trainer_noise.o: common/train/trainer_noise.c \
  common/base/rng.h common/base/hash.h common/base/err.h \
  common/train/trainer_impl.h common/train/trainer.h common/coll/coll.h \
  common/nn/net.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/schedule.h

common/base/rng.h:

common/base/hash.h:

common/base/err.h:

common/train/trainer_impl.h:

common/train/trainer.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/schedule.h:
