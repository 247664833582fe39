release/mpi_launch/verb_models.o: mpi_launch/verb_models.c \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/mem.h common/base/opt.h common/device/device.h \
  common/nn/family.h common/nn/net.h common/base/trace.h \
  common/nn/params.h common/nn/quant.h mpi_launch/launch_verbs.h \
  common/base/verb.h mpi_launch/models_speed.h

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

mpi_launch/models_speed.h:
