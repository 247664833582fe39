release/common/device/ref_map.o: common/device/ref_map.c \
  common/device/ref_impl.h common/device/device_impl.h \
  common/device/device.h common/base/err.h

common/device/ref_impl.h:

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
