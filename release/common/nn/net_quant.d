release/common/nn/net_quant.o: common/nn/net_quant.c common/nn/net_impl.h \
  common/nn/graph_impl.h common/base/err.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/nn/net.h common/base/trace.h

common/nn/net_impl.h:

common/nn/graph_impl.h:

common/base/err.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/nn/net.h:

common/base/trace.h:
