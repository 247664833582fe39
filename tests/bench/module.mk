# `make bench`: our side against bounds.
BENCHES := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
$(BENCHES): $(B)/%: %.c $(PROG_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD $*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< \
	    -Wl,--start-group $(PROG_LIBS) -Wl,--end-group $(LDFLAGS) $(call libs,mpi_launch) \
	    -lcmocka -lm

-include $(addsuffix .d,$(BENCHES))

.PHONY: bench bench-peers scale
bench: $(PROG) $(BENCHES) ## our speed against bounds on this machine: build/bench.json (ONLY=row)
	@BUILD_DIR=$(B) BENCH_OUT=$(BUILD) tests/bench/run
bench-peers: $(PROG) $(BENCHES) ## the same against OpenVINO, torch, DALI, DuckDB, alternately (ONLY=row)
	@BUILD_DIR=$(B) BENCH_OUT=$(BUILD) tests/bench/run --peers

scale: $(PROG) $(BENCHES) ## stores of up to N=130000000 labels on disk: time, memory, manifests (docs/SCALE.md)
	@BUILD_DIR=$(B) tests/bench/scale $(if $(filter command,$(firstword $(origin N))),$(N),130000000)
