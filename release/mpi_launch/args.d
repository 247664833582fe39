release/mpi_launch/args.o: mpi_launch/args.c mpi_launch/args.h \
  common/base/err.h common/base/mem.h

mpi_launch/args.h:

common/base/err.h:

common/base/mem.h:
