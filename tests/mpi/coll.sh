#!/bin/bash
# The collective seam and the work service on 1, 2 and 3 ranks of a real mpirun.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"

# on_ranks N PROGRAM: every rank of a cmocka program passes.
on_ranks() {
    local program=$BIN/tests/$2 name
    name="${2##*/}-on-$1-ranks"
    [ -x "$program" ] || fail "$name: '$program' is not built: run 'make tests'"
    ranks "$1" "$program" >"$WORK/out" 2>&1 || {
        cat "$WORK/out"
        fail "$name: a case failed"
    }
    [ "$(grep -c '^\[  PASSED  \]' "$WORK/out")" -eq "$1" ] || fail "$name: a rank did not finish"
    ok "$name"
}

for n in 1 2 3; do
    on_ranks "$n" common/coll/test_coll
    on_ranks "$n" labeler/test_work
    on_ranks "$n" labeler/test_undecoded
    on_ranks "$n" labeler/test_label_run
    grep -ao "labels [0-9a-f]\{64\}" "$WORK/out" >"$WORK/labels-$n" || fail "no digest of labels on $n ranks"
done
for n in 2 3; do
    cmp "$WORK/labels-1" "$WORK/labels-$n" || fail "label shards on $n ranks differ from those on 1"
    ok "label-shards-on-$n-ranks-are-those-on-1"
done
