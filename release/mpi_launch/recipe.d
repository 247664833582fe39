release/mpi_launch/recipe.o: mpi_launch/recipe.c mpi_launch/recipe.h \
  common/base/err.h common/base/opt.h common/base/verb.h \
  mpi_launch/args.h common/base/mem.h common/base/nearest.h \
  common/base/yaml.h

mpi_launch/recipe.h:

common/base/err.h:

common/base/opt.h:

common/base/verb.h:

mpi_launch/args.h:

common/base/mem.h:

common/base/nearest.h:

common/base/yaml.h:
