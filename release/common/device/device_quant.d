release/common/device/device_quant.o: common/device/device_quant.c \
  common/device/device_impl.h common/device/device.h common/base/err.h

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
