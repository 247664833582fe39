#!/bin/bash
# The whole loop from a recipe, on our own photos: done, done again in no time, stopped and gone on
# with, and redone where something changed.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

out=$WORK/run
recipe=$WORK/r.yaml
cp -r "$PHOTOS" "$WORK/dump"
cat >"$recipe" <<YAML
name: a test
run: {out: $out, ranks: 2, generations: 2, threads: 1}
pack:
  labeled: {source: $PHOTOS, limit_per_class: 4}
  unlabeled: {source: $WORK/dump, skip_per_class: 4, unlabeled: true, shard_bytes: 40K}
  eval: {source: $PHOTOS}
teacher: &t
YAML
tiny="{model: resnetrs11_w16, size: 32, batch: 12, micro_batch: 6, steps: 20, warmup_steps: 2, lr: 0.4, ema_decay: 0.8, bn_momentum: 0.1}"
sed -i "s|^teacher: .*|teacher: $tiny|" "$recipe"
{
    echo "student: ${tiny%\}}, unlabeled_ratio: 1, micro_batch: 12}" | sed 's/micro_batch: 6, //'
    echo "student2: {steps: 10}"
    echo "label: {top_k: all}"
    echo "select: {min_confidence: 0}"
} >>"$recipe"

# done_in_table N: so many stages are marked as done already.
done_in_table() {
    check "$1" test "$(grep -c '(done)$' "$WORK/out")" -eq "$2"
}
# field NAME: a number of summary.json.
field() {
    sed -nE "s/^ *\"$1\": ([-0-9.e]+),?$/\1/p" "$out/summary.json" | head -n 1
}
# until_trained: the teacher that runs in the background has made a step.
until_trained() {
    for _ in $(seq $((600 * SLOWER))); do
        [ -s "$out/runs/teacher/metrics.jsonl" ] && break
        sleep 0.05
    done
}

expect the-loop-runs-on-two-ranks 0 "" run "$recipe"
cp "$WORK/out" "$WORK/table"
check table-has-every-stage test "$(grep -cE '^(pack-|teacher +[0-9]|eval-|label-|select-|student-)' "$WORK/table")" -eq 13
check table-shows-the-teacher grep -qE '^teacher top-1 +[0-9.]+ %' "$WORK/table"
check table-shows-the-student grep -qE '^student top-1 +[0-9.]+ %' "$WORK/table"
check table-shows-the-difference grep -qE '^difference +[-+][0-9.]+ points' "$WORK/table"
check summary-has-the-teacher test -n "$(field teacher_top1)"
check summary-has-the-student test -n "$(field student_top1)"
check summary-has-the-seconds test -n "$(field seconds)"
check model-of-generation-2-is-there test -s "$out/runs/student-2/model.safetensors"
check generation-2-has-its-own-steps grep -qE '^steps: 10 ' "$out/runs/student-2/recipe.yaml"
check recipe-is-kept cmp "$recipe" "$out/recipe.yaml"
expect the-dump-can-be-inspected 0 "" inspect "$out/corpus/unlabeled"
has the-dump-has-no-labels "$WORK/out" '^labeled +no$'

expect again-it-is-done 0 "" run "$recipe"
done_in_table again-every-stage-is-done 13
expect json-prints-the-summary 0 "" run "$recipe" --json
check json-is-the-summary-file cmp "$WORK/out" "$out/summary.json"

expect other-ranks-and-threads-change-nothing 0 "" run "$recipe" --ranks 1 --threads 2
done_in_table other-ranks-and-threads-redo-nothing 13
rm -r "$out/runs/student-2"
expect a-lost-result-is-made-again 0 "" run "$recipe"
done_in_table a-lost-result-alone-is-made-again 12
check a-lost-result-is-there-again test -s "$out/runs/student-2/model.safetensors"
expect another-option-redoes-what-depends-on-it 0 "" run "$recipe" --set student2.steps=6
done_in_table another-option-redoes-that-alone 11
check another-option-keeps-the-earlier-result test -s "$out/old/student-2-1/student-2/model.safetensors"

cp "$WORK/dump/discs/05.jpg" "$WORK/dump/discs/90.jpg"
printf 'grown' >>"$WORK/dump/discs/90.jpg"
expect a-grown-dump-is-added-to 0 "" run "$recipe" --generations 1
check a-grown-dump-labels-the-new-alone grep -qE '"labeled": 1,' "$out/stages/label-1.json"

# Stopped in the middle: saved, and the same command goes on.
rm -rf "$out"
"$PRECEPTOR" run "$recipe" --generations 0 --set teacher.steps=400 >"$WORK/out" 2>"$WORK/err" </dev/null &
child=$!
until_trained
expect a-second-run-in-the-same-place-is-refused 1 "another .preceptor run. is working in '$out'" \
    run "$recipe" --generations 0 --set teacher.steps=400
kill -USR1 "$child"
wait "$child"
check a-stop-exits-with-75 test "$?" -eq 75
expect a-stopped-run-goes-on 0 "" run "$recipe" --generations 0 --set teacher.steps=400
check a-stopped-run-goes-on-from-its-step grep -qE '"first_step": [1-9]' "$out/stages/teacher.json"

# kill -9 of run itself: its stage is told to end, saves, and the same command goes on.
rm -rf "$out"
"$PRECEPTOR" run "$recipe" --generations 0 --ranks 1 --set teacher.steps=4000 >"$WORK/out" 2>"$WORK/err" </dev/null &
child=$!
until_trained
stage=$(pgrep -P "$child")
kill -KILL "$child"
wait "$child" 2>/dev/null
for _ in $(seq 200); do
    kill -0 "$stage" 2>/dev/null || break
    sleep 0.05
done
check a-killed-run-leaves-no-process-behind test ! -e "/proc/$stage"
check a-killed-run-has-a-checkpoint test -s "$out/runs/teacher/checkpoint.json"

echo "localhost slots=2" >"$WORK/hosts"
expect a-hostfile-starts-the-ranks 0 "" run "$recipe" --out "$WORK/hosts.d" --generations 0 \
    --launcher hostfile --hostfile "$WORK/hosts"
has a-hostfile-is-given-to-mpirun "$WORK/hosts.d/stages/teacher.json" "--hostfile $WORK/hosts"

# A stage that fails is named, with its code, below its own sentence.
printf 'x' >"$WORK/w.safetensors"
"$PRECEPTOR" run "$recipe" --generations 0 --ranks 1 --set "teacher.weights=$WORK/w.safetensors" \
    >"$WORK/out" 2>"$WORK/err" </dev/null
check a-failed-stage-exits-with-1 test "$?" -eq 1
check a-failed-stage-is-named \
    grep -q "^preceptor: stage 'eval-teacher' failed with exit code 1; its message stands above" "$WORK/err"
check a-failed-stage-says-why grep -q "^preceptor: .*$WORK/w.safetensors" "$WORK/err"
finish
