release/mpi_launch/verb_run.o: mpi_launch/verb_run.c common/base/fs.h \
  common/base/err.h common/base/log.h common/base/mem.h \
  common/base/yaml.h common/coll/coll.h mpi_launch/launch_verbs.h \
  common/base/verb.h mpi_launch/run_config.h common/base/opt.h \
  mpi_launch/recipe.h mpi_launch/args.h mpi_launch/run_plan.h \
  mpi_launch/stage.h common/base/json.h common/base/hash.h \
  mpi_launch/run_report.h

common/base/fs.h:

common/base/err.h:

common/base/log.h:

common/base/mem.h:

common/base/yaml.h:

common/coll/coll.h:

mpi_launch/launch_verbs.h:

common/base/verb.h:

mpi_launch/run_config.h:

common/base/opt.h:

mpi_launch/recipe.h:

mpi_launch/args.h:

mpi_launch/run_plan.h:

mpi_launch/stage.h:

common/base/json.h:

common/base/hash.h:

mpi_launch/run_report.h:
