release/common/device/cuda_time.o: common/device/cuda_time.c \
  common/base/clock.h common/device/cuda_device_impl.h \
  common/device/cuda_impl.h common/device/device_impl.h \
  common/device/device.h common/base/err.h

common/base/clock.h:

common/device/cuda_device_impl.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
