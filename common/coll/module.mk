common/coll_SRC  := coll.c coll_calls.c coll_guard.c coll_mpi.c coll_mpi_async.c coll_mpi_mail.c coll_self.c coll_vigil.c
common/coll_DEPS := common/device common/base
common/coll_LIBS := $(MPI_LIBS)
# The only objects of the library that can see mpi.h.
$(B)/common/coll/coll_mpi.o $(B)/common/coll/coll_mpi_async.o $(B)/common/coll/coll_mpi_mail.o: CPPFLAGS += $(MPI_CPPFLAGS)

# NCCL is built in where the cuda backend is and nccl.h is found; its library is loaded when it is used.
HAVE_NCCL ?= $(if $(and $(filter 1,$(HAVE_CUDA)),$(wildcard $(CUDA_HOME)/include/nccl.h)),1,0)
$(B)/have_nccl_$(HAVE_NCCL):
	@mkdir -p $(@D)
	@rm -f $(B)/have_nccl_*
	@touch $@
$(B)/common/coll/coll.o: CPPFLAGS += -DHAVE_NCCL=$(HAVE_NCCL)
$(B)/common/coll/coll.o: $(B)/have_nccl_$(HAVE_NCCL)

ifeq ($(HAVE_NCCL),1)
common/coll_SRC  += coll_nccl.c
common/coll_LIBS += -ldl
$(B)/common/coll/coll_nccl.o: CPPFLAGS += -isystem $(CUDA_HOME)/include
endif
