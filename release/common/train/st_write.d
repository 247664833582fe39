release/common/train/st_write.o: common/train/st_write.c \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/fs.h common/base/mem.h common/train/st_impl.h \
  common/train/safetensors.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:

common/train/st_impl.h:

common/train/safetensors.h:
