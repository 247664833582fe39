common/coll_SRC  := coll.c coll_guard.c coll_mpi.c coll_mpi_async.c coll_mpi_mail.c coll_self.c coll_vigil.c
common/coll_DEPS := common/base
common/coll_LIBS := $(MPI_LIBS)
# The only objects of the library that can see mpi.h.
$(B)/common/coll/coll_mpi.o $(B)/common/coll/coll_mpi_async.o $(B)/common/coll/coll_mpi_mail.o: CPPFLAGS += $(MPI_CPPFLAGS)
