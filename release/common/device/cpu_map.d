release/common/device/cpu_map.o: common/device/cpu_map.c \
  common/device/cpu_impl.h common/device/device_impl.h \
  common/device/device.h common/base/err.h

common/device/cpu_impl.h:

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
