release/common/device/device_cuda.o: common/device/device_cuda.c \
  common/base/mem.h common/base/err.h common/device/cuda_device_impl.h \
  common/device/cuda_impl.h common/device/device_impl.h \
  common/device/device.h

common/base/mem.h:

common/base/err.h:

common/device/cuda_device_impl.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:
