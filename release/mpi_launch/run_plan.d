release/mpi_launch/run_plan.o: mpi_launch/run_plan.c \
  mpi_launch/run_plan.h common/base/verb.h common/base/err.h \
  mpi_launch/run_config.h common/base/opt.h mpi_launch/recipe.h \
  mpi_launch/args.h mpi_launch/stage.h common/base/json.h \
  common/base/hash.h common/base/mem.h

mpi_launch/run_plan.h:

common/base/verb.h:

common/base/err.h:

mpi_launch/run_config.h:

common/base/opt.h:

mpi_launch/recipe.h:

mpi_launch/args.h:

mpi_launch/stage.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:
