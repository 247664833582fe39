# What can be said of the cuda backend without a GPU (docs/GPU.md). GPU_TESTS is empty without the
# toolkit, and the scripts then say that they skip.
ifeq ($(HAVE_CUDA),1)
GPU_PLANS := $(B)/tests/gpu/plans
# A libcuda without a driver: cuDNN's compiled plans want to load their kernels when they are made.
FAKE_LIBCUDA := $(BUILD)/fakes/libcuda.so.1
GPU_TESTS := $(GPU_PLANS) $(FAKE_LIBCUDA)

$(GPU_PLANS): $(B)/%: %.c $(PROG_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD $*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< \
	    -Wl,--start-group $(PROG_LIBS) -Wl,--end-group $(LDFLAGS) $(call libs,mpi_launch) -lm
-include $(GPU_PLANS).d

$(FAKE_LIBCUDA): tests/fakes/libcuda.c
	@mkdir -p $(@D)
	@echo "  TEST-LD $(@F)"
	$(Q)$(CC) -std=c11 -Wall -Wextra -Werror -O1 -shared -fPIC -Wl,-soname,$(@F) -o $@ $<

# The unit tests of the device and the network again, as programs in which CUDA's runtime and cuDNN
# are the fakes and our kernels are compiled for the host; all else is what the program is made of.
FAKES    := $(patsubst %,$(B)/tests/fakes/%.o,fake_cudart fake_cudnn $(CUDA_KERNELS))
ifeq ($(HAVE_NCCL),1)
FAKES    += $(B)/tests/fakes/fake_nccl.o
# The program looks NCCL up when it runs: it finds the fake in itself.
FAKES_LD := -Wl,--wrap=dlopen -Wl,--export-dynamic-symbol='nccl*' -lrt
endif
DOUBLES  := $(patsubst tests/%.c,$(B)/tests/gpu/%,$(wildcard tests/common/device/test_*.c))
# These ask for the cpu backend by name, and get cuda.
ON_CUDA  := $(patsubst %,$(B)/tests/gpu/common/%,nn/test_net nn/test_net_golden nn/test_net_stage train/test_trainer)
CXXFLAGS := -std=c++17 -Wall -Wextra -Werror -I. -D_GNU_SOURCE -isystem $(CUDA_HOME)/include \
            $(OPT_$(MODE)) -ffp-contract=off -pthread
CXX_OF   := $(if $(findstring clang,$(CC)),clang++,g++)

$(B)/tests/fakes/%.o: tests/fakes/%.cpp tests/fakes/cuda_host.hpp
	@mkdir -p $(@D)
	@echo "  CXX $*"
	$(Q)$(CXX_OF) $(CXXFLAGS) -c -o $@ $<
$(CUDA_KERNELS:%=$(B)/tests/fakes/%.o): $(B)/tests/fakes/%.o: common/device/%.cu \
    common/device/cuda_kernels.cuh tests/fakes/cuda_host.hpp common/device/cuda_impl.h
	@mkdir -p $(@D)
	@echo "  CXX $* (for the host)"
	$(Q)$(CXX_OF) $(CXXFLAGS) -x c++ -c -o $@ $<

DOUBLE_DIRS := common/train common/nn common/device common/coll common/base
DOUBLE_LIBS := $(foreach d,$(DOUBLE_DIRS),$(call lib,$(d)))
$(ON_CUDA): DOUBLE_MORE := -Wl,--wrap=device_create $(B)/tests/fakes/on_cuda.o
$(ON_CUDA): $(B)/tests/fakes/on_cuda.o
$(DOUBLES) $(ON_CUDA): $(B)/tests/gpu/%: tests/%.c $(FAKES) $(DOUBLE_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD gpu/$*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(DOUBLE_MORE) $(FAKES) \
	    -Wl,--start-group $(DOUBLE_LIBS) -Wl,--end-group $(LDFLAGS) -ldnnl $(MPI_LIBS) \
	    $(common/base_LIBS) $(common/train_LIBS) -lcmocka $(FAKES_LD) -lstdc++ -ldl -lm

# How fast it is, on the fakes; and what first-contact.sh runs on a real GPU.
GPU_SPEED := $(B)/tests/gpu/gpu/speed
$(GPU_SPEED): tests/gpu/speed.c $(FAKES) $(DOUBLE_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD gpu/speed"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(FAKES) \
	    -Wl,--start-group $(DOUBLE_LIBS) -Wl,--end-group $(LDFLAGS) -ldnnl $(MPI_LIBS) \
	    $(common/base_LIBS) $(common/train_LIBS) $(FAKES_LD) -lstdc++ -ldl -lm
ON_GPU := $(patsubst %,$(B)/tests/on_gpu/%,gpu/speed common/nn/test_net_golden \
            common/nn/test_net_stage common/train/test_trainer)
$(ON_GPU): $(B)/tests/on_gpu/%: tests/%.c $(B)/tests/fakes/on_cuda.o $(PROG_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD on_gpu/$*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< -Wl,--wrap=device_create \
	    $(B)/tests/fakes/on_cuda.o -Wl,--start-group $(PROG_LIBS) -Wl,--end-group $(LDFLAGS) \
	    $(call libs,mpi_launch) -lcmocka -lm
GPU_TESTS += $(GPU_SPEED) $(ON_GPU)
-include $(GPU_SPEED).d $(ON_GPU:%=%.d)

# What the fakes must notice, done on purpose.
MISDEEDS := $(B)/tests/gpu/misdeeds
$(MISDEEDS): tests/gpu/misdeeds.cpp $(FAKES) $(DOUBLE_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD gpu/misdeeds"
	$(Q)$(CXX_OF) $(CXXFLAGS) -DHAVE_NCCL=$(HAVE_NCCL) -MMD -MP -MF $@.d -o $@ $< $(FAKES) \
	    -Wl,--start-group $(DOUBLE_LIBS) -Wl,--end-group $(LDFLAGS) -ldnnl $(MPI_LIBS) \
	    $(common/base_LIBS) $(common/train_LIBS) $(FAKES_LD) -ldl -lm
GPU_TESTS += $(MISDEEDS)
-include $(MISDEEDS).d

# The whole program on the fakes.
GPU_PROG := $(B)/tests/gpu/preceptor
$(GPU_PROG): $(B)/mpi_launch/main.o $(FAKES) $(PROG_LIBS)
	@mkdir -p $(@D)
	@echo "  LD $@"
	$(Q)$(CC) -o $@ $(B)/mpi_launch/main.o $(FAKES) -Wl,--start-group $(PROG_LIBS) -Wl,--end-group \
	    $(LDFLAGS) $(filter-out -lcudnn -lcudart,$(call libs,mpi_launch)) $(FAKES_LD) -lstdc++ -ldl -lm
GPU_TESTS += $(DOUBLES) $(ON_CUDA) $(GPU_PROG)
-include $(DOUBLES:%=%.d) $(ON_CUDA:%=%.d)

ifeq ($(HAVE_NCCL),1)
NCCL_RANKS := $(B)/tests/gpu/nccl_ranks
$(NCCL_RANKS): tests/gpu/nccl_ranks.c $(FAKES) $(DOUBLE_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD gpu/nccl_ranks"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(FAKES) \
	    -Wl,--start-group $(DOUBLE_LIBS) -Wl,--end-group $(LDFLAGS) -ldnnl $(MPI_LIBS) \
	    $(common/base_LIBS) $(common/train_LIBS) $(FAKES_LD) -lstdc++ -ldl -lm
GPU_TESTS += $(NCCL_RANKS)
-include $(NCCL_RANKS).d
endif

gpu-plans: $(GPU_PLANS) $(FAKE_LIBCUDA)
	@tests/gpu/all-plans $(GPU_PLANS) $(BUILD)
else
gpu-plans:
	@echo "no CUDA toolkit: built without the cuda backend"
endif
