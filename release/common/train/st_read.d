release/common/train/st_read.o: common/train/st_read.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/fs.h \
  common/base/mem.h common/device/device.h common/train/st_impl.h \
  common/train/safetensors.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:

common/device/device.h:

common/train/st_impl.h:

common/train/safetensors.h:
