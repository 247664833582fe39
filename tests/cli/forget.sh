#!/bin/bash
# Takedown, end to end: what is forgotten is in no later label, selection or training, and the bits of
# the rest stay as they were.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need pack --out "$WORK/u" --unlabeled --shard-bytes 40K "$PHOTOS"
need train --data "$WORK/c" --out "$WORK/t" "${TINY[@]}" --steps 2
TEACHER=$WORK/t/model.safetensors
need label --model "$TEACHER" --data "$WORK/u" --out "$WORK/l" --top-k 2
images=$(sed -n 's/^ *"images": \([0-9]*\),*$/\1/p' "$WORK/u/corpus.json" | head -n 1)

picked() { # NAME: the lines of a selection by key, without where they lie
    "$PRECEPTOR" --quiet export "$WORK/s/$1" --labels "$WORK/l" --format csv |
        tail -n +2 | cut -d, -f 3- | sort >"$WORK/$1.csv"
}
choose() { # NAME ARGS...
    local name=$1
    shift
    need select --labels "$WORK/l" --out "$WORK/s/$name" --min-confidence 0 "$@"
    cp "$WORK/out" "$WORK/said"
    picked "$name"
}
student=(--data "$WORK/c" --unlabeled "$WORK/u" --labels "$WORK/l" "${TINY[@]}" --unlabeled-ratio 1
    --micro_batch 12 --steps 2)

choose before
need train "${student[@]}" --selection "$WORK/s/before.lmdb" --out "$WORK/r"
cp "$WORK/r/model.safetensors" "$WORK/model-before"
cat "$WORK"/u/images-*.lmdb "$WORK"/c/images-*.lmdb "$WORK"/l/*/labels-*.lmdb | sha256sum >"$WORK/sum"

gone=("$PHOTOS/discs/00.jpg" "$PHOTOS/discs/03.jpg")
sha256sum "${gone[@]}" >"$WORK/list"
expect forget-takes-what-sha256sum-prints 0 "" forget "$WORK/list" --data "$WORK/u" --reason "takedown 17"
has it-counts-them "$WORK/out" '^forgotten +2 of 2 images named'
expect an-image-that-is-not-there-is-no-error 0 "" forget "$WORK/list" --data "$WORK/u" --json
has again-forgets-nothing-more "$WORK/out" '"named":2,"forgotten":0,"already":2,"unknown":0,"all":2'
expect a-line-that-is-no-key-is-named 1 "line 1 of '$BAD/text.jpg'" forget "$BAD/text.jpg" --data "$WORK/u"

need forget "$WORK/list" --data "$WORK/c"
need inspect --json "$WORK/c"
has classes-count-what-is-left "$WORK/out" '"classes":\{"discs":10,"stripes":12,"tiles":12\}'
rm "$WORK/c/forgotten.bin"

expect verify-counts-them 0 "" verify "$WORK/u"
has verify-says-forgotten "$WORK/out" '^forgotten +2 images'
check no-shard-was-rewritten cmp "$WORK/sum" <(cat "$WORK"/u/images-*.lmdb "$WORK"/c/images-*.lmdb \
    "$WORK"/l/*/labels-*.lmdb | sha256sum)

choose after
has selection-says-how-many-it-left-out "$WORK/said" '^left out +2 images that were forgotten'
sed -E "s/^[^,]*,[^,]*,($(cut -c 1-32 "$WORK/list" | paste -sd '|')),.*//" "$WORK/before.csv" |
    sed '/^$/d' >"$WORK/expected.csv"
check the-list-was-not-empty test "$(wc -l <"$WORK/expected.csv")" -eq $((images - 2))
check the-rest-is-chosen-as-before cmp "$WORK/expected.csv" "$WORK/after.csv"
choose topped --per-class 3 --no-duplicate
lacks the-best-of-a-class-are-others "$WORK/topped.csv" "$(cut -c 1-32 "$WORK/list" | paste -sd '|')"

expect a-finished-run-is-another-run 1 "finished run of another recipe or data" \
    train "${student[@]}" --selection "$WORK/s/before.lmdb" --out "$WORK/r"
check the-finished-run-stays cmp "$WORK/model-before" "$WORK/r/model.safetensors"
expect an-old-selection-trains-without-them 0 "" \
    train "${student[@]}" --selection "$WORK/s/before.lmdb" --out "$WORK/r2"
has training-says-so "$WORK/out" '^forgotten +2 images left out'
expect a-new-selection-trains 0 "" \
    train "${student[@]}" --selection "$WORK/s/after.lmdb" --out "$WORK/r3"
check both-come-to-the-same-weights cmp <(tail -c 100000 "$WORK/r2/model.safetensors") \
    <(tail -c 100000 "$WORK/r3/model.safetensors")
has the-record-counts-them "$WORK/r2/result.json" '"forgotten": 2'

expect the-same-teacher-has-nothing-to-do 0 "" label --model "$TEACHER" --data "$WORK/u" --out "$WORK/l" \
    --top-k 2 --json
check labels-stay-as-they-were cmp "$WORK/sum" <(cat "$WORK"/u/images-*.lmdb "$WORK"/c/images-*.lmdb \
    "$WORK"/l/*/labels-*.lmdb | sha256sum)
need label --model "$TEACHER" --data "$WORK/u" --out "$WORK/l3" --top-k 3
"$PRECEPTOR" --quiet export "$WORK/l3" >"$WORK/labels"
check labels-made-later-say-nothing-of-them test "$(grep -c '"confidence":0,\|"confidence":0.0,' "$WORK/labels")" -eq 2
expect nothing-is-chosen-at-no-confidence 0 "" select --labels "$WORK/l3" --out "$WORK/s/l3" \
    --min-confidence 0
has they-count-nowhere "$WORK/out" "^chosen +$((images - 2)) of $((images - 2)) images"
expect nor-by-the-papers-code 0 "" select --labels "$WORK/l3" --out "$WORK/s/l3" --min-confidence 0 \
    --flavor noisystudent
has they-count-nowhere-there "$WORK/out" "^chosen +$((images - 2)) of $((images - 2)) images"

mv "$WORK/u" "$WORK/moved"
need select --labels "$WORK/l" --out "$WORK/s/blind" --min-confidence 0
has a-moved-corpus-is-said "$WORK/err" 'forgotten are not left out.*--data'
choose moved --data "$WORK/moved"
check a-moved-corpus-can-be-named cmp "$WORK/after.csv" "$WORK/moved.csv"
expect another-corpus-is-refused 1 "made for other images than '$WORK/c'" \
    select --labels "$WORK/l" --out "$WORK/s/other" --data "$WORK/c"

sha256sum "$PHOTOS/discs/01.jpg" | cut -c 1-32 >"$WORK/list"
expect labeled-images-can-be-forgotten 0 "" forget "$WORK/list" --data "$WORK/c"
expect training-goes-on-without-it 0 "" train --data "$WORK/c" --out "$WORK/t2" "${TINY[@]}" --steps 2 --json
has one-is-left-out "$WORK/out" '"forgotten":1'
printf '\0' | dd of="$WORK/c/forgotten.bin" bs=1 seek=70 conv=notrunc status=none
expect damaged-tombstones-are-named 1 "forgotten.bin" train --data "$WORK/c" --out "$WORK/t3" "${TINY[@]}"
finish
