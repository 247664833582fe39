#!/bin/bash
# A rank that is stopped, or dies while MPI's own launcher looks away, ends the job with a sentence: a
# hang is never an outcome.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/label.bash"

make_corpora
TRAIN=(train --data "$WORK/labeled" --model resnetrs11_w16 --in-channels 1 --size 28 --batch 16
    --micro-batch 4 --steps 100000 --checkpoint-every 10 --device cpu --threads 1 --quiet)

# start OUT N [mpirun options]: a training run in the background that has saved something; RANK_PIDS.
start() {
    local out=$1 n=$2 i
    shift 2
    timeout $((120 * SLOWER)) "${MPIRUN[@]}" -n "$n" "$@" "$PRECEPTOR" "${TRAIN[@]}" --watchdog 3 --out "$out" \
        >"$out.out" 2>"$out.err" &
    TIMEOUT_PID=$!
    for ((i = 0; i < 3000; i++)); do
        [ ! -e "$out/checkpoint.json" ] || break
        sleep 0.01
    done
    MPIRUN_PID=$(children "$TIMEOUT_PID" | tr -d " ")
    [ -e "$out/checkpoint.json" ] || fail "no checkpoint in 30 s"
}

# ended CASE SENTENCE: it ends within seconds, and says so.
ended() {
    local begun=$SECONDS
    wait "$TIMEOUT_PID" || true
    [ $((SECONDS - begun)) -le 60 ] || { # seconds where the machine is not full
        cat "$OUT.err"
        fail "$1: it took $((SECONDS - begun)) s"
    }
    grep -qE "preceptor: .*$2" "$OUT.err" || {
        cat "$OUT.err"
        fail "$1: not said: $2"
    }
    ok "$1"
}

OUT=$WORK/stopped
start "$OUT" 3
kill -STOP "$(rank_pid "$MPIRUN_PID" 2)"
ended a-stopped-rank-is-named "rank 2 has been waited for during [3-9] s"

OUT=$WORK/stopped-root
start "$OUT" 2
kill -STOP "$(rank_pid "$MPIRUN_PID" 0)"
ended a-stopped-rank-0-is-named "rank 1: rank 0 has been waited for during [3-9] s"

OUT=$WORK/dead
start "$OUT" 3 --enable-recovery
kill -9 "$(rank_pid "$MPIRUN_PID" 1)"
ended a-dead-rank-is-named "rank 1 is lost: its process [0-9]* is gone"

# Up to two thirds of the patience is no reason to end.
OUT=$WORK/slow
start "$OUT" 2
stopped=$(rank_pid "$MPIRUN_PID" 1)
kill -STOP "$stopped"
sleep 2
kill -CONT "$stopped"
before=$(grep -o '"step": *[0-9]*' "$OUT/checkpoint.json" | tail -n 1 | grep -o '[0-9]*')
for ((i = 0; i < 1000; i++)); do
    after=$(grep -o '"step": *[0-9]*' "$OUT/checkpoint.json" | tail -n 1 | grep -o '[0-9]*') || true
    [ "${after:-0}" -le "$((before + 20))" ] || break
    sleep 0.02
done
[ "${after:-0}" -gt "$((before + 20))" ] || fail "a rank stopped for 2 s: the run does not go on"
kill -USR1 "$MPIRUN_PID"
STATUS=0
wait "$TIMEOUT_PID" || STATUS=$?
[ "$STATUS" -eq 75 ] || fail "SIGUSR1 after a stop: exit code $STATUS, not 75"
ok a-rank-that-was-stopped-for-a-while-goes-on
