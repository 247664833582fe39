release/common/device/cuda_desc.o: common/device/cuda_desc.c \
  common/device/cuda_graph_impl.h common/device/cuda_impl.h \
  common/device/device_impl.h common/device/device.h common/base/err.h

common/device/cuda_graph_impl.h:

common/device/cuda_impl.h:

common/device/device_impl.h:

common/device/device.h:

common/base/err.h:
