release/mpi_launch/models_speed.o: mpi_launch/models_speed.c \
  mpi_launch/models_speed.h common/base/err.h common/device/device.h \
  common/nn/family.h common/base/clock.h common/base/mem.h \
  common/nn/net.h common/base/trace.h common/nn/params.h \
  common/nn/quant.h

mpi_launch/models_speed.h:

common/base/err.h:

common/device/device.h:

common/nn/family.h:

common/base/clock.h:

common/base/mem.h:

common/nn/net.h:

common/base/trace.h:

common/nn/params.h:

common/nn/quant.h:
