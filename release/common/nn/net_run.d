release/common/nn/net_run.o: common/nn/net_run.c common/base/clock.h \
  common/base/mem.h common/base/err.h common/nn/net_impl.h \
  common/nn/graph_impl.h common/device/device.h common/nn/params.h \
  common/nn/family.h common/nn/quant.h common/nn/net.h \
  common/base/trace.h

common/base/clock.h:

common/base/mem.h:

common/base/err.h:

common/nn/net_impl.h:

common/nn/graph_impl.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/nn/net.h:

common/base/trace.h:
