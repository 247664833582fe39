release/common/device/cuda_graph.o: common/device/cuda_graph.c \
  common/base/mem.h common/base/err.h common/device/cuda_graph_impl.h \
  common/device/cuda_impl.h common/device/device_impl.h \
  common/device/device.h

common/base/mem.h:

common/base/err.h:

common/device/cuda_graph_impl.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:
