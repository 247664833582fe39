# Preceptor: one non-recursive make. `make help` lists the targets; each folder's module.mk lists
# its sources (<dir>_SRC), the folders below it (<dir>_DEPS) and its libraries (<dir>_LIBS).
MODE  ?= release
BUILD ?= build
V     ?= 0
Q     := $(if $(filter 1,$(V)),,@)
SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

ifeq ($(origin CC),default)
CC := gcc
endif
# One folder for each mode and compiler, side by side.
B := $(BUILD)/$(MODE)$(if $(findstring clang,$(CC)),-clang)

WARN := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wundef -Wvla -Wformat=2 -Wwrite-strings -Wcast-qual -Wswitch-enum \
        -Wdouble-promotion -Werror
OPT_release := -O3 -g -DNDEBUG
# -Wno-pass-failed: clang reports loops that it leaves scalar where it hardly optimises.
OPT_debug   := -O0 -g3 -Wno-pass-failed
OPT_asan    := -O1 -g -Wno-pass-failed -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -Wno-pass-failed -fsanitize=thread -fno-omit-frame-pointer
OPT_cov     := -O0 -g -Wno-pass-failed --coverage
OPT_fuzz    := -O1 -g -Wno-pass-failed -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
ifeq ($(OPT_$(MODE)),)
$(error MODE=$(MODE) is unknown: expected release, debug, asan, tsan, cov or fuzz)
endif

# -ffp-contract=off: equal bits from every compiler and for every vector width (Pillow parity, labels).
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS   += $(WARN) $(OPT_$(MODE)) -ffp-contract=off -fno-math-errno -fopenmp -pthread
LDFLAGS  += $(filter -fsanitize=% --coverage,$(OPT_$(MODE))) -fopenmp -pthread

MPI_CPPFLAGS = $(shell mpicc --showme:compile 2>/dev/null)
MPI_LIBS     = $(shell mpicc --showme:link 2>/dev/null)

DIRS := common/base common/device common/coll common/image common/nn common/train shards \
        teacher labeler student mpi_launch
include $(DIRS:%=%/module.mk)

lib   = $(B)/lib/$(subst /,-,$(1)).a
objs  = $(patsubst %.c,$(B)/%.o,$(addprefix $(1)/,$($(1)_SRC)))
chain = $(1) $($(1)_DEPS)
libs  = $(foreach d,$(call chain,$(1)),$($(d)_LIBS))

define dir_rules
$(call lib,$(1)): $(call objs,$(1)) $($(1)_OBJS)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcsD $$@ $$^
ALL_OBJS += $(call objs,$(1))
TESTS_$(1) := $$(patsubst %.c,$$(B)/%,$$(wildcard tests/$(1)/test_*.c))
ALL_TESTS += $$(TESTS_$(1))
# A test links its own folder whole and those below: an upward call does not link.
$$(TESTS_$(1)): $$(B)/tests/%: tests/%.c $(foreach d,$(call chain,$(1)),$(call lib,$(d)))
	@mkdir -p $$(@D)
	@echo "  TEST-LD $$*"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(TEST_CPPFLAGS) -MMD -MP -MF $$@.d -o $$@ $$< \
	    -Wl,--whole-archive $(call lib,$(1)) -Wl,--no-whole-archive \
	    $(foreach d,$($(1)_DEPS),$(call lib,$(d))) \
	    $$(LDFLAGS) $(call libs,$(1)) -lcmocka -lm
endef
$(foreach d,$(DIRS),$(eval $(call dir_rules,$(d))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

PROG      := $(B)/preceptor
PROG_LIBS := $(foreach d,$(call chain,mpi_launch),$(call lib,$(d)))
$(PROG): $(PROG_LIBS)
	@echo "  LD $@"
	$(Q)$(CC) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LDFLAGS) $(call libs,mpi_launch) -lm

# Programs that the scripts of tests/mpi run under mpirun.
MPI_TESTS := $(patsubst %.c,$(B)/%,$(wildcard tests/mpi/*.c))
$(MPI_TESTS): $(B)/%: %.c $(PROG_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD $*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< \
	    -Wl,--start-group $(PROG_LIBS) -Wl,--end-group $(LDFLAGS) $(call libs,mpi_launch) -lm

include tests/fakes/module.mk

include tests/gpu/module.mk

include tests/parity/module.mk

include tests/bench/module.mk

# tests/fuzz/fuzz_X.c: libFuzzer runs it (MODE=fuzz), else replay_main.c does on files.
FUZZERS  := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_$(or $(F),*).c))
FUZZ_DIRS ?= $(DIRS)
FUZZ_LIBS := $(foreach d,$(FUZZ_DIRS),$(call lib,$(d)))
FUZZ_MAIN := $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer,tests/fuzz/replay_main.c)
$(FUZZERS): $(B)/%: %.c tests/fuzz/replay_main.c $(FUZZ_LIBS)
	@mkdir -p $(@D)
	@echo "  TEST-LD $*"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(FUZZ_MAIN) \
	    -Wl,--start-group $(FUZZ_LIBS) -Wl,--end-group $(LDFLAGS) \
	    $(foreach d,$(FUZZ_DIRS),$($(d)_LIBS)) -lm

-include $(ALL_OBJS:.o=.d) $(addsuffix .d,$(ALL_TESTS) $(MPI_TESTS) $(FUZZERS))

.PHONY: all setup tests unit lint check demo demo-photos study-demo torture mutations hosts clean help
.PHONY: gpu-plans format fuzz fuzz-programs print-build-dir print-tests print-strict-flags
all: $(PROG) ## build the program (MODE=release|debug|asan|tsan|cov, CC=gcc|clang)

setup: ## install the Debian packages that the build needs (nothing when all are there)
	@scripts/setup

tests: $(ALL_TESTS) $(MPI_TESTS) $(FAULTS) $(PARITY_TOOL) $(GPU_TESTS) ## build every test program

UNITS := $(if $(D),$(TESTS_$(D)),$(ALL_TESTS))
unit: $(UNITS) ## run unit tests; D=common/image runs one folder's
	@tests/run-unit $(UNITS)

lint: ## format, clang (if installed), layering, header homes, banned functions, headers that compile alone
	@BUILD_DIR=$(B) tests/lint/run

T ?= 60
fuzz: ## libFuzzer (clang) on every tests/fuzz/fuzz_*.c (F=yaml: on one), T=60 seconds each
	@scripts/setup --clang
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-programs
	@tests/fuzz/run $(T) $(FUZZERS:$(B)/%=$(BUILD)/fuzz-clang/%)

fuzz-programs: $(FUZZERS)

print-build-dir:
	@echo $(B)
print-strict-flags:
	@echo $(CPPFLAGS) $(MPI_CPPFLAGS) $(WARN)
print-tests:
	@printf '%s\n' $(ALL_TESTS)

format: ## clang-format on every tracked .c file
	@git ls-files '*.c' | xargs clang-format -i

check: ## set up, build, lint, and run every test; ends with 'N passed, M failed, K skipped'
	@scripts/setup
	@tests/check $(MODE)

demo: ## teacher, labels and student on Fashion-MNIST, under 10 minutes
	@scripts/setup
	@$(MAKE) --no-print-directory all
	@scripts/demo

demo-photos: ## the same on photos: make demo-photos DATA=DIR_OR_TAR
	@scripts/setup
	@$(MAKE) --no-print-directory all
	@scripts/demo-photos "$(DATA)"

study-demo: ## five seeds of the demo and three of the photos' (DATA=...): the table of docs/RESULTS.md
	@scripts/setup
	@$(MAKE) --no-print-directory all
	@scripts/study-demo "$(DATA)"

N    ?= 200
SEED ?= 1
torture: all $(FAULTS) ## kills at random instants through all stages: N=200 of them, SEED=1
	@PRECEPTOR=$(B)/preceptor tests/torture/run $(N) $(SEED)

mutations: ## wrong constants in a copy, one at a time: a test catches each (minutes)
	@BUILD_DIR=$(B) tests/mutations/run

hosts: all $(B)/tests/mpi/overlap ## hosts out of network namespaces: one killed, cut off, slow (root, iproute2)
	@PRECEPTOR=$(B)/preceptor tests/hosts/run
	@PRECEPTOR=$(B)/preceptor tests/hosts/overlap

gpu-plans: ## every plan of the family for described GPUs: build/gpu-plans.json (an hour; no GPU needed)

clean: ## remove build/$(MODE)
	rm -rf $(B)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile tests/*/module.mk | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
	    awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'
