# `make parity`: everything that is pinned to an outside reference, against the live libraries.
PARITY_TOOL := $(B)/tests/parity/parity_tool
$(PARITY_TOOL): $(B)/%: %.c $(PROG_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD $*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< \
	    -Wl,--start-group $(PROG_LIBS) -Wl,--end-group $(LDFLAGS) $(call libs,mpi_launch) -lm

-include $(PARITY_TOOL).d

# Where tests/golden/relu_masks.h says which ReLUs are open.
$(PARITY_TOOL) $(foreach w,tests tests/gpu tests/on_gpu,$(B)/$(w)/common/nn/test_net_golden): \
    private LDFLAGS += -Wl,--wrap=plan_run

.PHONY: parity
parity: $(PROG) $(PARITY_TOOL) ## against torch, timm, Pillow, TensorFlow: build/parity.json (SEED=n PHOTOS=dir)
	@BUILD_DIR=$(B) PARITY_BUILD=$(BUILD) SEED=$(SEED) PHOTOS="$(PHOTOS)" tests/parity/run
