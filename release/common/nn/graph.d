release/common/nn/graph.o: common/nn/graph.c common/nn/graph_impl.h \
  common/base/err.h common/device/device.h common/nn/params.h \
  common/nn/family.h common/nn/quant.h common/base/mem.h

common/nn/graph_impl.h:

common/base/err.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/base/mem.h:
