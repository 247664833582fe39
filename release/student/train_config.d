release/student/train_config.o: student/train_config.c \
  student/train_config.h common/base/err.h common/base/opt.h \
  common/image/augment.h common/base/rng.h common/base/hash.h \
  common/image/image.h common/train/trainer.h common/coll/coll.h \
  common/nn/net.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/schedule.h common/base/mem.h common/base/yaml.h

student/train_config.h:

common/base/err.h:

common/base/opt.h:

common/image/augment.h:

common/base/rng.h:

common/base/hash.h:

common/image/image.h:

common/train/trainer.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/schedule.h:

common/base/mem.h:

common/base/yaml.h:
