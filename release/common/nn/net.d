release/common/nn/net.o: common/nn/net.c common/nn/net.h \
  common/base/err.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/base/mem.h common/nn/net_impl.h common/nn/graph_impl.h

common/nn/net.h:

common/base/err.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/base/mem.h:

common/nn/net_impl.h:

common/nn/graph_impl.h:
