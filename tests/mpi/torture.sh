#!/bin/bash
# The short torture: ten kills at random instants through the stages (tests/torture/run has the long one).
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"

IMAGES=500 STEPS=20 "$(dirname "$0")/../torture/run" 10 "${TORTURE_SEED:-3}" >"$WORK/out" 2>&1 || {
    cat "$WORK/out"
    fail "torture: $(tail -n 1 "$WORK/out")"
}
[ "$(tail -n 1 "$WORK/out")" = "10 kills, 0 lost, 0 duplicated, 0 different" ] ||
    fail "torture: '$(tail -n 1 "$WORK/out")'"
ok ten-kills-lose-and-repeat-nothing
