release/common/device/cpu_quant.o: common/device/cpu_quant.c \
  common/device/cpu_impl.h common/device/device_impl.h \
  common/device/device.h common/base/err.h

common/device/cpu_impl.h:

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
