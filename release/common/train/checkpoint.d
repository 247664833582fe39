release/common/train/checkpoint.o: common/train/checkpoint.c \
  common/train/checkpoint.h common/base/err.h common/train/model.h \
  common/nn/params.h common/nn/family.h common/train/trainer.h \
  common/base/hash.h common/coll/coll.h common/nn/net.h \
  common/base/trace.h common/device/device.h common/nn/quant.h \
  common/train/schedule.h common/base/fs.h common/base/json.h \
  common/base/log.h common/base/mem.h common/train/model_impl.h \
  common/train/safetensors.h

common/train/checkpoint.h:

common/base/err.h:

common/train/model.h:

common/nn/params.h:

common/nn/family.h:

common/train/trainer.h:

common/base/hash.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/quant.h:

common/train/schedule.h:

common/base/fs.h:

common/base/json.h:

common/base/log.h:

common/base/mem.h:

common/train/model_impl.h:

common/train/safetensors.h:
