release/mpi_launch/verb_plan.o: mpi_launch/verb_plan.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/mem.h \
  common/base/opt.h common/device/device.h common/nn/family.h \
  common/nn/net.h common/base/trace.h common/nn/params.h \
  common/nn/quant.h mpi_launch/launch_verbs.h common/base/verb.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

common/device/device.h:

common/nn/family.h:

common/nn/net.h:

common/base/trace.h:

common/nn/params.h:

common/nn/quant.h:

mpi_launch/launch_verbs.h:

common/base/verb.h:
