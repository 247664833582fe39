#!/bin/bash
# kill -9 in the middle of label and of train, then the same command again: it goes on, and ends with
# the same bytes as a run that nobody disturbed. SIGUSR1: saved within a step, exit code 75.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need train --data "$WORK/c" --out "$WORK/first" "${TINY[@]}" --steps 2
mkdir "$WORK/dump"
for i in $(seq 400); do # gray noise of our own: each file another image
    { printf 'P5 24 24 255\n' && seq -s, "$i" 999 | head -c 576; } >"$WORK/dump/$i.pgm"
done
need pack --out "$WORK/u" --unlabeled "$WORK/dump"

# start ARGS...: the program in the background; its process is $child.
start() {
    "$PRECEPTOR" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null &
    child=$!
}
# wait_for FILE...: until one of the files (patterns allowed) is there, at most 30 s.
wait_for() {
    for _ in $(seq 3000); do
        # shellcheck disable=SC2086 # patterns
        ls $1 >/dev/null 2>&1 && return
        kill -0 "$child" 2>/dev/null || return 1
        sleep 0.01
    done
    return 1
}
# killed CASE SIGNAL CODE: end the child, which must still be at work.
killed() {
    local code
    check "$1-is-at-work-when-killed" kill -0 "$child"
    kill "-$2" "$child"
    wait "$child" 2>/dev/null
    code=$?
    check "$1-ends-with-$3" test "$code" -eq "$3"
}

# ref is slow enough to be caught in the middle.
label=(label --model "$WORK/first/model.safetensors" --data "$WORK/u" --device ref --batch 4 --threads 1)
need "${label[@]}" --out "$WORK/l"
digest=$(basename "$WORK"/l/*)
for signal in KILL USR1; do
    start "${label[@]}" --out "$WORK/l-$signal"
    wait_for "$WORK/l-$signal/*/labels-000000.lmdb.tmp.*" || fail "label-$signal: no partial shard appeared"
    sleep 0.4
    killed "label-$signal" "$signal" "$([ "$signal" = KILL ] && echo 137 || echo 75)"
    check "label-$signal-has-no-sealed-shard" test ! -e "$WORK/l-$signal/$digest/labels-000000.lmdb"
    expect "label-$signal-again-goes-on" 0 "" "${label[@]}" --out "$WORK/l-$signal" --json
    check "label-$signal-again-redoes-no-committed-label" grep -qE '"resumed": ?[1-9]' "$WORK/out"
    check "label-$signal-ends-with-the-same-labels" \
        cmp "$WORK/l/$digest/labels-000000.lmdb" "$WORK/l-$signal/$digest/labels-000000.lmdb"
    ls "$WORK/l-$signal/$digest" >"$WORK/list"
    lacks "label-$signal-leaves-no-partial" "$WORK/list" '\.tmp\.'
done

train=(train --data "$WORK/c" "${TINY[@]}" --steps 120 --checkpoint_every 10)
need "${train[@]}" --out "$WORK/r"
for signal in KILL USR1; do
    start "${train[@]}" --out "$WORK/r-$signal"
    wait_for "$WORK/r-$signal/checkpoint.json" || fail "train-$signal: no checkpoint appeared"
    killed "train-$signal" "$signal" "$([ "$signal" = KILL ] && echo 137 || echo 75)"
    check "train-$signal-has-no-result" test ! -e "$WORK/r-$signal/result.json"
    expect "train-$signal-again-goes-on" 0 "" "${train[@]}" --out "$WORK/r-$signal" --json
    check "train-$signal-again-starts-at-a-checkpoint" grep -qE '"first_step": ?[1-9]' "$WORK/out"
    check "train-$signal-ends-with-the-same-weights" \
        cmp "$WORK/r/model.safetensors" "$WORK/r-$signal/model.safetensors"
done
expect finished-training-again-is-recognised 0 "" "${train[@]}" --out "$WORK/r"
expect another-recipe-in-the-same-run-is-refused 1 "finished run of another recipe" \
    train --data "$WORK/c" "${TINY[@]}" --steps 60 --out "$WORK/r"
finish
