release/mpi_launch/stage.o: mpi_launch/stage.c mpi_launch/stage.h \
  common/base/err.h common/base/json.h common/base/hash.h \
  mpi_launch/args.h common/base/clock.h common/base/fs.h \
  common/base/log.h common/base/mem.h mpi_launch/child.h \
  mpi_launch/stage_digest.h

mpi_launch/stage.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

mpi_launch/args.h:

common/base/clock.h:

common/base/fs.h:

common/base/log.h:

common/base/mem.h:

mpi_launch/child.h:

mpi_launch/stage_digest.h:
