release/student/train_progress.o: student/train_progress.c \
  student/train_progress.h common/base/progress.h common/train/trainer.h \
  common/base/err.h common/base/hash.h common/coll/coll.h \
  common/nn/net.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/schedule.h

student/train_progress.h:

common/base/progress.h:

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
