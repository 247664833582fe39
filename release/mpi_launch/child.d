release/mpi_launch/child.o: mpi_launch/child.c mpi_launch/child.h \
  common/base/err.h common/base/clock.h common/base/log.h \
  common/base/mem.h

mpi_launch/child.h:

common/base/err.h:

common/base/clock.h:

common/base/log.h:

common/base/mem.h:
