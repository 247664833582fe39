#!/bin/bash
# The leak guard: copies of evaluation images, to the byte, resized, requantised or converted, are neither
# packed for training nor selected, and a run says which guards its images have passed.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"
NEAR=tests/data/near
copies=$(find "$NEAR" -type f | wc -l)

# The evaluation set has the originals; the dump has all photos but those, and copies of them.
mkdir "$WORK/dump" "$WORK/clean"
for f in discs/02 stripes/05 tiles/07; do
    mkdir -p "$WORK/val/${f%/*}"
    cp "$PHOTOS/$f.jpg" "$WORK/val/$f.jpg"
done
cp -r "$PHOTOS" "$WORK/train"
rm "$WORK/train/discs/02.jpg" "$WORK/train/stripes/05.jpg" "$WORK/train/tiles/07.jpg"
for f in "$WORK"/train/*/*.jpg; do
    cp "$f" "$WORK/clean/$(basename "$(dirname "$f")")-$(basename "$f")"
done
cp "$WORK"/clean/* "$NEAR"/* "$PHOTOS/discs/02.jpg" "$WORK/dump"
clean=$(find "$WORK/clean" -type f | wc -l)

need pack --out "$WORK/val-c" "$WORK/val"
need pack --out "$WORK/c" "$WORK/train"
expect a-guard-finds-all-copies 0 "" pack --out "$WORK/u" --unlabeled --shard-bytes 40K \
    --forbid "$WORK/val-c" "$WORK/dump" --json
has it-counts-them "$WORK/out" "\"forbidden\":$((copies + 1)),\"forbidden_now\":$((copies + 1))"
list=$(echo "$WORK"/u/forbidden-*.jsonl)
check the-list-has-a-line-each test "$(wc -l <"$list")" -eq $((copies + 1))
has a-line-has-distance-and-evaluation-image "$list" \
    '^\{"corpus":".*","distance":[0-6],"evaluation":".*val-c","key":"[0-9a-f]{32}","near":"[0-9a-f]{32}"\}$'
for f in "$NEAR"/*; do
    check "found-$(basename "$f")" grep -q "\"key\":\"$(sha256sum "$f" | cut -c 1-32)\"" "$list"
done
key=$(sha256sum "$PHOTOS/discs/02.jpg" | cut -c 1-32)
has the-very-image-is-at-distance-0 "$list" "\"distance\":0,.*\"key\":\"$key\",\"near\":\"$key\""
expect verify-finds-it-whole 0 "" verify "$WORK/u"
has they-are-forgotten "$WORK/out" "^forgotten +$((copies + 1)) images"
cp "$WORK/u/corpus.json" "$WORK/manifest"
expect again-changes-nothing 0 "" pack --out "$WORK/u" --unlabeled --forbid "$WORK/val-c" "$WORK/dump"
check the-manifest-stays cmp "$WORK/manifest" "$WORK/u/corpus.json"
cp "$WORK/clean/discs-03.jpg" "$WORK/dump/more.jpg" # known already
cp "$PHOTOS/tiles/07.jpg" "$WORK/dump/later.jpg"
expect a-grown-dump-without-a-guard-is-warned-of 0 "" pack --out "$WORK/u" --unlabeled "$WORK/dump"
has the-warning-names-the-set "$WORK/err" "was guarded against '.*val-c', its last 1 shard"
expect the-guard-goes-on-where-it-ended 0 "" pack --out "$WORK/u" --unlabeled --forbid "$WORK/val-c" \
    "$WORK/dump" --json
has only-the-new-one-is-forgotten "$WORK/out" "\"forbidden\":$((copies + 2)),\"forbidden_now\":1[,}]"
check one-list-is-left test "$(find "$WORK/u" -name 'forbidden-*' | wc -l)" -eq 1
expect a-corpus-is-not-guarded-against-itself 1 "cannot be guarded against itself" \
    pack --out "$WORK/u" --unlabeled --forbid "$WORK/u" "$WORK/dump"
expect a-missing-set-is-named 1 "$WORK/none" pack --out "$WORK/u" --unlabeled --forbid "$WORK/none" \
    "$WORK/dump"

need pack --out "$WORK/open" --unlabeled "$WORK/dump"
need train --data "$WORK/c" --out "$WORK/t" "${TINY[@]}" --steps 2 --eval-data "$WORK/val-c" --json
has a-run-without-a-guard-says-so "$WORK/out" \
    "\"passed\":false,\"says\":\"none: nobody looked for images of '.*val-c' in '.*/c'"
need label --model "$WORK/t/model.safetensors" --data "$WORK/open" --out "$WORK/l" --top-k 2
need select --labels "$WORK/l" --out "$WORK/s/open" --min-confidence 0
expect selection-can-guard 0 "" select --labels "$WORK/l" --out "$WORK/s/guarded" --min-confidence 0 \
    --forbid "$WORK/val-c"
has selection-counts-them "$WORK/out" "^forbidden +$((copies + 2)) images"
has all-others-are-chosen "$WORK/out" "^chosen +$clean of $clean images"
check selection-lists-them test "$(cat "$WORK"/s/guarded.forbidden-*.jsonl | wc -l)" -eq $((copies + 2))
expect a-guarded-selection-is-whole 0 "" verify "$WORK/s/guarded"
cp "$WORK"/s/guarded.forbidden-*.jsonl "$WORK/list"
printf x >>"$(echo "$WORK"/s/guarded.forbidden-*.jsonl)"
expect a-list-that-was-changed-is-a-fault 1 "has 1 fault" verify "$WORK/s/guarded"
has the-list-is-named "$WORK/out" "guarded.forbidden-.*is damaged"
cp "$WORK/list" "$(echo "$WORK"/s/guarded.forbidden-*.jsonl)"
student=(--data "$WORK/c" --unlabeled "$WORK/open" --labels "$WORK/l" "${TINY[@]}" --unlabeled-ratio 1
    --micro_batch 12 --steps 1)
need train "${student[@]}" --selection "$WORK/s/open.lmdb" --out "$WORK/r1"
has a-student-without-a-guard-says-so "$WORK/out" "^guard +none: nobody looked .*'.*/open'"
need train "${student[@]}" --selection "$WORK/s/guarded.lmdb" --eval-data "$WORK/val-c" --out "$WORK/r2"
has a-guarded-student-says-what-it-passed "$WORK/out" \
    "^guard +'.*/open' passed that of '.*val-c': within 6 bits, $((copies + 2)) images left out"
has its-result-names-the-set "$WORK/r2/result.json" '"is_eval_data": true'
need train "${student[@]}" --selection "$WORK/s/guarded.lmdb" --out "$WORK/r4"
has a-run-that-evaluates-on-nothing-says-so "$WORK/out" \
    "^guard +'.*/open' passed that of '.*val-c': .*; this run has no --eval-data"
has its-result-says-so-too "$WORK/r4/result.json" '"is_eval_data": false'
has the-record-holds-the-guard "$WORK/r2/stores.json" '"evaluation": ".*val-c"'
need pack --out "$WORK/val2" "$WORK/train"
need train "${student[@]}" --selection "$WORK/s/guarded.lmdb" --eval-data "$WORK/val2" --out "$WORK/r3"
has another-evaluation-set-was-not-guarded "$WORK/out" "^guard +none: .*'.*/val2' in '.*/open'"

expect a-report-is-one-page 0 "" report "$WORK/r1"
page=$WORK/r1/report.html
has the-report-says-there-was-no-guard "$page" '<p class="bad">none: nobody looked for images'
has the-report-has-curves "$page" '<polyline .*points="[0-9.]+,[0-9.]+ '
has the-report-has-stores "$page" 'unlabeled images</th><td>.*/open<br><code>[0-9a-f]{16}</code>'
has the-report-has-the-recipe "$page" '^unlabeled_ratio: 1'
lacks the-report-loads-nothing "$page" 'https?://|src=|@import'
expect a-guarded-report 0 "" report "$WORK/r2" --out "$WORK/r2.html" --json
has as-json-it-has-result-and-stores "$WORK/out" '"finished":true,"result":\{.*"guards":.*"stores":\{.*"selection"'
has the-report-says-what-was-passed "$WORK/r2.html" "<p class=\"good\">'.*/open' passed that of '.*val-c'"
mv "$WORK/r2/result.json" "$WORK/result"
expect a-run-that-goes-on-has-a-report 0 "" report "$WORK/r2" --out "$WORK/r2.html"
has it-is-not-finished "$WORK/r2.html" 'This run is not finished'
mv "$WORK/result" "$WORK/r2/result.json"
expect a-corpus-is-no-run 1 "is no training run" report "$WORK/c"

cat >"$WORK/r.yaml" <<YAML
run: {out: $WORK/loop, generations: 1, guard: true}
pack:
  labeled: {source: $WORK/train}
  unlabeled: {source: $WORK/dump}
  eval: {source: $WORK/val}
teacher: {model: resnetrs11_w16, size: 32, batch: 12, micro_batch: 6, warmup_steps: 1, lr: 0.1, ema_decay: 0.9, steps: 1}
label: {top_k: 2}
select: {min_confidence: 0}
student: {model: resnetrs11_w16, size: 32, batch: 12, micro_batch: 12, warmup_steps: 1, lr: 0.1, ema_decay: 0.9, steps: 1, unlabeled_ratio: 1}
YAML
expect a-recipe-can-ask-for-the-guard 0 "" run "$WORK/r.yaml"
has the-summary-says-so "$WORK/out" "^leak guard +'.*unlabeled' passed that of"
has its-dump-is-guarded "$WORK/loop/corpus/unlabeled/corpus.json" '"guards"'
check its-student-passed test "$(grep -c '"passed": true' "$WORK/loop/runs/student-1/result.json")" -eq 2
expect its-second-run-skips-all 0 "" run "$WORK/r.yaml"
has all-is-done "$WORK/out" '^pack-unlabeled .*\(done\)'
finish
