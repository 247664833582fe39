release/mpi_launch/run_config.o: mpi_launch/run_config.c \
  mpi_launch/run_config.h common/base/opt.h common/base/err.h \
  mpi_launch/recipe.h common/base/verb.h mpi_launch/args.h \
  common/base/mem.h

mpi_launch/run_config.h:

common/base/opt.h:

common/base/err.h:

mpi_launch/recipe.h:

common/base/verb.h:

mpi_launch/args.h:

common/base/mem.h:
