release/common/device/device_cpu.o: common/device/device_cpu.c \
  common/base/mem.h common/base/err.h common/device/cpu_impl.h \
  common/device/device_impl.h common/device/device.h

common/base/mem.h:

common/base/err.h:

common/device/cpu_impl.h:

common/device/device_impl.h:

common/device/device.h:
