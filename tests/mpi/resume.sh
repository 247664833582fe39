#!/bin/bash
# Training that is asked to stop and goes on: saved within a step, the same bits on the same ranks, the same
# batches and losses on another number of them; a step that is not finite stops with layer and images, and
# what was saved is clean.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/label.bash"

make_corpora
STEPS=60
TRAIN=(train --data "$WORK/labeled" --model resnetrs11_w16 --in-channels 1 --size 28 --batch 12 --micro-batch 2
    --steps "$STEPS" --checkpoint-every 20 --log-every 1 --lr 0.02 --device cpu --threads 1 --quiet --json)

train_on() { # RANKS OUT ARGS...: STATUS
    local n=$1 out=$2
    shift 2
    STATUS=0
    ranks "$n" "$PRECEPTOR" "${TRAIN[@]}" --out "$out" "$@" >"$out.json" 2>"$out.err" || STATUS=$?
}

losses() { # OUT: 'step loss' of each step
    sed -nE 's/.*"step": ?([0-9]+).*"loss": ?([^,}]+).*/\1 \2/p' "$1/metrics.jsonl"
}

last_step() { # OUT
    losses "$1" 2>/dev/null | tail -n 1 | cut -d ' ' -f 1 || true
}

train_on 2 "$WORK/whole"
[ "$STATUS" -eq 0 ] || fail "undisturbed: $(cat "$WORK/whole.err")"
losses "$WORK/whole" >"$WORK/want"
[ "$(wc -l <"$WORK/want")" -eq "$STEPS" ] || fail "undisturbed: not a loss for each of $STEPS steps"

# SIGUSR1 to mpirun in the middle.
OUT=$WORK/stopped
timeout $((120 * SLOWER)) "${MPIRUN[@]}" -n 2 "$PRECEPTOR" "${TRAIN[@]}" --out "$OUT" >"$OUT.json" 2>"$OUT.err" &
TIMEOUT_PID=$!
for ((i = 0; i < 3000; i++)); do
    step=$(last_step "$OUT")
    [ "${step:-0}" -lt 10 ] || break
    sleep 0.01
done
kill -USR1 "$(children "$TIMEOUT_PID" | tr -d " ")"
before=$(last_step "$OUT")
STATUS=0
wait "$TIMEOUT_PID" || STATUS=$?
[ "$STATUS" -eq 75 ] || fail "SIGUSR1: exit code $STATUS, not 75: $(cat "$OUT.err")"
saved=$(json_field "$OUT/checkpoint.json" step | tail -n 1)
# The step under way when the signal came, and one more that a line may lag behind.
if [ "$saved" -lt "$before" ] || [ "$saved" -gt $((before + 3)) ] || [ "$saved" -ge "$STEPS" ]; then
    fail "SIGUSR1 after step $before of $STEPS: saved at step $saved"
fi
[ "$(last_step "$OUT")" -le "$saved" ] || fail "SIGUSR1: it went on after saving"
cp -r "$OUT" "$WORK/elsewhere"
ok sigusr1-saves-within-a-step-and-ends-with-75

train_on 2 "$OUT"
[ "$STATUS" -eq 0 ] || fail "going on: $(cat "$OUT.err")"
[ "$(json_field "$OUT.json" first_step)" -eq "$saved" ] || fail "going on: not from step $saved"
losses "$OUT" | cmp - "$WORK/want" || fail "going on: other losses than undisturbed"
for file in model.safetensors model-00000040.safetensors state-00000040.safetensors; do
    cmp "$OUT/$file" "$WORK/whole/$file" || fail "going on: another $file than undisturbed"
done
ok going-on-gives-the-same-weights-momentum-and-losses

train_on 3 "$WORK/elsewhere"
[ "$STATUS" -eq 0 ] || fail "going on with 3 ranks: $(cat "$WORK/elsewhere.err")"
losses "$WORK/elsewhere" | join - "$WORK/want" | awk -v want="$STEPS" '
    { n++; d = ($2 - $3) / $3; if (d < 0) d = -d; if (d > worst) worst = d }
    END { printf "worst %.2g of %d steps\n", worst, n; exit !(n == want && worst < 1e-3) }' >"$WORK/worst" ||
    fail "going on with 3 ranks: other losses than with 2: $(cat "$WORK/worst")"
ok going-on-with-other-ranks-sees-the-same-batches

# A rate and a decay that no weights survive. What was saved before is clean: the same command comes to the
# same step, and fails there in the same way. (Unit tests have the images' names.)
OUT=$WORK/wild
for again in first second; do
    train_on 2 "$OUT" --lr 1000 --no-lr-scaling --weight-decay 1 --warmup-steps 0 --checkpoint-every 1
    [ "$STATUS" -eq 1 ] || fail "a wild rate: exit code $STATUS: $(cat "$OUT.err")"
    grep -oE "preceptor: .*step [0-9]+: a loss or gradient is not finite, first at [a-z0-9_.]+.*; the weights are as before the step" \
        "$OUT.err" >"$OUT.$again" || fail "a wild rate: said $(cat "$OUT.err")"
done
[ "$(json_field "$OUT/checkpoint.json" step | tail -n 1)" -ge 1 ] || fail "a wild rate: nothing was saved before"
cmp "$OUT.first" "$OUT.second" || fail "a wild rate: going on it fails elsewhere"
ok a-step-that-is-not-finite-stops-with-its-layer-and-clean-weights
