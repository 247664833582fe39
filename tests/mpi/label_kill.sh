#!/bin/bash
# Ranks that are killed, stopped or asked to stop in the middle of labeling: nothing is lost, nothing is
# done twice, and the labels are those of an undisturbed run.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/label.bash"

make_corpora
SLOWLY=(--size 112 --threads 1 --batch 4 --top-k 3 --device cpu) # so that there is a middle

label_args() { # OUT
    echo label --model "$TEACHER" --data "$DUMP" --out "$1" --quiet --json "${SLOWLY[@]}"
}

# start OUT N [mpirun options]: label on N ranks in the background; MPIRUN_PID is its mpirun.
start() {
    local out=$1 n=$2
    shift 2
    mkdir -p "$out"
    # shellcheck disable=SC2046 # words
    timeout $((120 * SLOWER)) "${MPIRUN[@]}" -n "$n" "$@" "$PRECEPTOR" $(label_args "$out") \
        >"$out.json" 2>"$out.err" &
    TIMEOUT_PID=$!
    sealed_at_least "$out" 2 || fail "no shard was sealed in 60 s"
    MPIRUN_PID=$(children "$TIMEOUT_PID" | tr -d " ")
}

# finish: wait for it; STATUS is its exit code.
finish() {
    STATUS=0
    wait "$TIMEOUT_PID" || STATUS=$?
}

# same_as_undisturbed OUT
same_as_undisturbed() {
    label_sums "$1" >"$WORK/got"
    cmp "$WORK/want" "$WORK/got" && no_leftovers "$1"
}

# rerun_completes OUT CASE: the same command goes on, redoes no sealed shard, gives the same bytes.
rerun_completes() {
    local before after
    before=$(find "$1" -name 'labels-??????.lmdb' -printf '%f %i\n' | sort)
    # shellcheck disable=SC2046 # words
    ranks 2 "$PRECEPTOR" $(label_args "$1") >"$1.json" 2>"$1.err" || {
        cat "$1.err"
        fail "$2: the second run"
    }
    after=$(find "$1" -name 'labels-??????.lmdb' -printf '%f %i\n' | sort)
    [ -z "$(comm -23 <(echo "$before") <(echo "$after"))" ] || fail "$2: a sealed shard was redone"
    same_as_undisturbed "$1" || fail "$2: other labels than undisturbed, or temporary files"
    [ "$(json_field "$1.json" sealed)" -eq $((SHARDS - $(echo "$before" | wc -l))) ] ||
        fail "$2: shards sealed by the second run"
}

out=$WORK/undisturbed
# shellcheck disable=SC2046 # words
ranks 2 "$PRECEPTOR" $(label_args "$out") >"$out.json" 2>"$out.err" || {
    cat "$out.err"
    fail "an undisturbed run"
}
label_sums "$out" >"$WORK/want"

out=$WORK/killed-rank
start "$out" 2
kill -9 "$(rank_pid "$MPIRUN_PID" 1)"
finish
[ "$STATUS" -ne 0 ] || fail "mpirun hides that a rank was killed"
rerun_completes "$out" "rank 1 killed"
ok a-killed-rank-ends-the-job-and-a-second-run-completes-it

out=$WORK/killed-all
start "$out" 3
# shellcheck disable=SC2046 # words
kill -9 "$MPIRUN_PID" $(children "$MPIRUN_PID")
finish
rerun_completes "$out" "all killed"
ok after-all-are-killed-a-second-run-completes-it

out=$WORK/stopped
start "$out" 2
kill -USR1 "$MPIRUN_PID"
finish
[ "$STATUS" -eq 75 ] || {
    cat "$out.err"
    fail "SIGUSR1: exit code $STATUS, not 75"
}
grep -q "stopped on request" "$out.err" || fail "SIGUSR1: rank 0 does not say so"
rerun_completes "$out" "SIGUSR1"
ok sigusr1-saves-and-ends-with-75

out=$WORK/recovered
start "$out" 3 --enable-recovery
kill -9 "$(rank_pid "$MPIRUN_PID" 2)"
finish
same_as_undisturbed "$out" || {
    cat "$out.err"
    fail "rank 2 lost: other labels than undisturbed, or temporary files"
}
[ "$(json_field "$out.json" lost)" -eq 1 ] || fail "rank 2 lost: the result does not say so"
[ "$(json_field "$out.json" sealed)" -ge $((SHARDS - 1)) ] || fail "rank 2 lost: shards sealed"
grep -q "rank 2 is lost: its process [0-9]* is gone" "$out.err" || fail "rank 2 lost: no warning"
ok with-recovery-a-lost-rank-costs-its-own-shard

out=$WORK/recovered-root
start "$out" 3 --enable-recovery
kill -9 "$(rank_pid "$MPIRUN_PID" 0)"
finish
[ ! -s "$out.json" ] || fail "rank 0 lost: a result is printed"
grep -q "rank 0 is lost" "$out.err" || {
    cat "$out.err"
    fail "rank 0 lost: the others do not say so"
}
rerun_completes "$out" "rank 0 lost"
ok with-recovery-the-loss-of-rank-0-ends-the-job

out=$WORK/paused
start "$out" 2
stopped=$(rank_pid "$MPIRUN_PID" 1)
kill -STOP "$stopped"
sleep 2
kill -CONT "$stopped"
finish
[ "$STATUS" -eq 0 ] || fail "a rank stopped for 2 s: exit code $STATUS"
same_as_undisturbed "$out" || fail "a rank stopped for 2 s: other labels than undisturbed"
ok a-rank-that-was-stopped-for-a-while-goes-on
