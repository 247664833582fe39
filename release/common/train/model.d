release/common/train/model.o: common/train/model.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  common/train/model.h common/nn/params.h common/nn/family.h \
  common/train/model_impl.h common/train/safetensors.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/train/model.h:

common/nn/params.h:

common/nn/family.h:

common/train/model_impl.h:

common/train/safetensors.h:
