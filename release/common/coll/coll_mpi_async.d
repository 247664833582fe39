release/common/coll/coll_mpi_async.o: common/coll/coll_mpi_async.c \
  common/coll/coll_mpi_impl.h \
  /usr/lib/x86_64-linux-gnu/openmpi/include/mpi.h \
  /usr/lib/x86_64-linux-gnu/openmpi/include/mpi_portable_platform.h \
  common/coll/coll_impl.h common/coll/coll.h common/base/err.h \
  common/coll/coll_vigil_impl.h

common/coll/coll_mpi_impl.h:

/usr/lib/x86_64-linux-gnu/openmpi/include/mpi.h:

/usr/lib/x86_64-linux-gnu/openmpi/include/mpi_portable_platform.h:

common/coll/coll_impl.h:

common/coll/coll.h:

common/base/err.h:

common/coll/coll_vigil_impl.h:
