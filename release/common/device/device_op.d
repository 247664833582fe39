release/common/device/device_op.o: common/device/device_op.c \
  common/device/device_impl.h common/device/device.h common/base/err.h

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
