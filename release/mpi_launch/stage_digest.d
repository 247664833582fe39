release/mpi_launch/stage_digest.o: mpi_launch/stage_digest.c \
  mpi_launch/stage_digest.h common/base/hash.h common/base/err.h \
  mpi_launch/stage.h common/base/json.h mpi_launch/args.h \
  common/base/fs.h common/base/mem.h

mpi_launch/stage_digest.h:

common/base/hash.h:

common/base/err.h:

mpi_launch/stage.h:

common/base/json.h:

mpi_launch/args.h:

common/base/fs.h:

common/base/mem.h:
