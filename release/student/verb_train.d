release/student/verb_train.o: student/verb_train.c common/base/mem.h \
  common/base/err.h common/coll/coll.h student/student_verbs.h \
  common/base/verb.h student/train_dry_run.h student/train_config.h \
  common/base/opt.h common/image/augment.h common/base/rng.h \
  common/base/hash.h common/image/image.h common/train/trainer.h \
  common/nn/net.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/schedule.h student/train_run.h common/base/json.h

common/base/mem.h:

common/base/err.h:

common/coll/coll.h:

student/student_verbs.h:

common/base/verb.h:

student/train_dry_run.h:

student/train_config.h:

common/base/opt.h:

common/image/augment.h:

common/base/rng.h:

common/base/hash.h:

common/image/image.h:

common/train/trainer.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/schedule.h:

student/train_run.h:

common/base/json.h:
