release/common/train/model_tensors.o: common/train/model_tensors.c \
  common/base/mem.h common/base/err.h common/train/model_impl.h \
  common/nn/params.h common/nn/family.h common/train/safetensors.h

common/base/mem.h:

common/base/err.h:

common/train/model_impl.h:

common/nn/params.h:

common/nn/family.h:

common/train/safetensors.h:
