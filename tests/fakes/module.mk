# Disks and clocks that misbehave on request (LD_PRELOAD); without sanitizers in any mode.
FAULTS := $(B)/tests/fakes/faults.so
$(FAULTS): tests/fakes/faults.c
	@mkdir -p $(@D)
	@echo "  TEST-LD $(@F)"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -shared -fPIC -o $@ $< -ldl
