release/common/device/device_host.o: common/device/device_host.c \
  common/base/mem.h common/base/err.h common/device/device_impl.h \
  common/device/device.h

common/base/mem.h:

common/base/err.h:

common/device/device_impl.h:

common/device/device.h:
