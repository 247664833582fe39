release/common/device/cuda_described.o: common/device/cuda_described.c \
  common/base/hash.h common/base/err.h common/base/mem.h \
  common/device/cuda_impl.h common/device/device_impl.h \
  common/device/device.h

common/base/hash.h:

common/base/err.h:

common/base/mem.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:
