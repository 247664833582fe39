release/student/train_folder.o: student/train_folder.c \
  student/train_folder.h common/base/err.h student/train_config.h \
  common/base/opt.h common/image/augment.h common/base/rng.h \
  common/base/hash.h common/image/image.h common/train/trainer.h \
  common/coll/coll.h common/nn/net.h common/base/trace.h \
  common/device/device.h common/nn/params.h common/nn/family.h \
  common/nn/quant.h common/train/schedule.h common/base/fs.h \
  common/base/mem.h

student/train_folder.h:

common/base/err.h:

student/train_config.h:

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

common/base/fs.h:

common/base/mem.h:
