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

gpu-plans: $(GPU_TESTS)
	@tests/gpu/all-plans $(GPU_PLANS) $(BUILD)
else
gpu-plans:
	@echo "no CUDA toolkit: built without the cuda backend"
endif
