common/coll_SRC  := coll.c coll_self.c coll_mpi.c
common/coll_DEPS := common/base
common/coll_LIBS := $(MPI_LIBS)
# The only object of the library that can see mpi.h.
$(B)/common/coll/coll_mpi.o: CPPFLAGS += $(MPI_CPPFLAGS)
