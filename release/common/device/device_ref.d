release/common/device/device_ref.o: common/device/device_ref.c \
  common/base/mem.h common/base/err.h common/device/ref_impl.h \
  common/device/device_impl.h common/device/device.h

common/base/mem.h:

common/base/err.h:

common/device/ref_impl.h:

common/device/device_impl.h:

common/device/device.h:
