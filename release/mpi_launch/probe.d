release/mpi_launch/probe.o: mpi_launch/probe.c mpi_launch/probe.h \
  common/base/mem.h common/base/err.h mpi_launch/child.h

mpi_launch/probe.h:

common/base/mem.h:

common/base/err.h:

mpi_launch/child.h:
