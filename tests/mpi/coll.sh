#!/bin/bash
# The collective seam on 1, 2 and 3 ranks of a real mpirun.
. "$(dirname "$0")/mpi.bash"

test_coll=$BIN/tests/common/coll/test_coll
[ -x "$test_coll" ] || fail "'$test_coll' is not built: run 'make tests'"

for n in 1 2 3; do
    ranks "$n" "$test_coll" >"$WORK/out" 2>&1 || {
        cat "$WORK/out" >&2
        fail "the collective seam on $n ranks"
    }
    passed=$(grep -c '^\[  PASSED  \] 1[67] test' "$WORK/out")
    [ "$passed" -eq "$n" ] || fail "$passed of $n ranks passed all tests"
    echo "ok: $n ranks"
done
