release/common/device/device.o: common/device/device.c \
  common/device/device_impl.h common/device/device.h common/base/err.h \
  common/device/cuda_impl.h

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:

common/device/cuda_impl.h:
