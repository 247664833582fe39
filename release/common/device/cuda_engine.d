release/common/device/cuda_engine.o: common/device/cuda_engine.c \
  common/base/mem.h common/base/err.h common/device/cuda_graph_impl.h \
  common/device/cuda_impl.h common/device/device_impl.h \
  common/device/device.h

common/base/mem.h:

common/base/err.h:

common/device/cuda_graph_impl.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:
