release/mpi_launch/run_report.o: mpi_launch/run_report.c \
  mpi_launch/run_report.h common/base/json.h common/base/err.h \
  common/base/hash.h mpi_launch/run_plan.h common/base/verb.h \
  mpi_launch/run_config.h common/base/opt.h mpi_launch/recipe.h \
  mpi_launch/args.h mpi_launch/stage.h common/base/clock.h \
  common/base/mem.h

mpi_launch/run_report.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

mpi_launch/run_plan.h:

common/base/verb.h:

mpi_launch/run_config.h:

common/base/opt.h:

mpi_launch/recipe.h:

mpi_launch/args.h:

mpi_launch/stage.h:

common/base/clock.h:

common/base/mem.h:
