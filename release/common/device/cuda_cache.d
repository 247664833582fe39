release/common/device/cuda_cache.o: common/device/cuda_cache.c \
  common/base/fs.h common/base/err.h common/base/hash.h \
  common/base/json.h common/base/mem.h common/device/cuda_impl.h \
  common/device/device_impl.h common/device/device.h

common/base/fs.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

common/base/mem.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:
