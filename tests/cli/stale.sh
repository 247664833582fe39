#!/bin/bash
# Labels are stale by digest alone: another teacher, class list, preprocessing or precision makes others,
# beside the first, and nothing mixes them. A grown dump costs what is new.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

mkdir "$WORK/two" "$WORK/dump"
cp -r "$PHOTOS/discs" "$PHOTOS/tiles" "$WORK/two/"
for f in "$PHOTOS"/*/0*.jpg; do
    cp "$f" "$WORK/dump/$(basename "$(dirname "$f")")-$(basename "$f")"
done
need pack --out "$WORK/c" "$PHOTOS"
need pack --out "$WORK/c2" "$WORK/two"
need pack --out "$WORK/u" --unlabeled --shard-bytes 40K "$WORK/dump"
need train --data "$WORK/c" --out "$WORK/a" "${TINY[@]}" --steps 1
need train --data "$WORK/c" --out "$WORK/b" "${TINY[@]}" --steps 2
need train --data "$WORK/c2" --out "$WORK/d" "${TINY[@]}" --steps 1
L=$WORK/l
label() { # CASE MODEL ARGS...
    local name=$1 model=$2
    shift 2
    expect "$name" 0 "" label --model "$WORK/$model/model.safetensors" --data "$WORK/u" --out "$L" "$@" --json
}
stores() {
    check "$1" test "$(find "$L" -name labels.json | wc -l)" -eq "$2"
}

label the-first-labels a
has all-images-are-labeled "$WORK/out" '"labeled":30,'
first=$(dirname "$(find "$L" -name labels.json)")
find "$first" -type f -exec sha256sum {} + | sort >"$WORK/sums"
label the-same-again-does-nothing a
has nothing-was-labeled "$WORK/out" '"labeled":0,'
stores no-store-came 1
label another-teacher b
stores has-its-own-store 2
label another-size a --size 40
stores size-is-preprocessing 3
label another-crop a --crop-pct 0.5
stores crop-is-preprocessing 4
label another-precision a --precision bf16
stores precision-counts 5
label another-k a --top-k 2
stores k-counts 6
label another-class-list d
stores classes-count 7
find "$first" -type f -exec sha256sum {} + | sort >"$WORK/sums2"
check the-first-is-as-it-was cmp "$WORK/sums" "$WORK/sums2"

expect several-stores-are-asked-about 1 "label stores" select --labels "$L" \
    --out "$WORK/s/x" --min-confidence 0
store_of() { # MODEL ARGS...: the store that labeling again comes to
    local model=$1
    shift
    "$PRECEPTOR" --quiet label --model "$WORK/$model/model.safetensors" --data "$WORK/u" --out "$L" "$@" \
        --json | sed 's/.*"store":"\([^"]*\)".*/\1/'
}
other=$(store_of b)
foreign=$(store_of d)
check stores-are-told-apart test "$other" != "$first" -a "$foreign" != "$other"
need select --labels "$first" --out "$WORK/s/a" --min-confidence 0
student=("${TINY[@]}" --unlabeled "$WORK/u" --unlabeled-ratio 1 --micro_batch 12 --steps 1)
expect a-selection-of-other-labels-is-refused 1 "made from other labels" train --data "$WORK/c" \
    --labels "$other" --selection "$WORK/s/a.lmdb" --out "$WORK/r" "${student[@]}"
expect labels-of-another-class-list-are-refused 1 "have 2 classes and the corpus .* has 3" train \
    --data "$WORK/c" --labels "$foreign" --out "$WORK/r" "${student[@]}"
need pack --out "$WORK/other" --unlabeled "$PHOTOS"
expect labels-of-other-images-are-refused 1 "made for other images" train --data "$WORK/c" --labels "$first" \
    --out "$WORK/r" "${TINY[@]}" --unlabeled "$WORK/other" --unlabeled-ratio 1 --micro_batch 12 --steps 1

# A shard of another teacher cannot come in, neither in place of one nor as a missing one.
shard=$first/labels-000000.lmdb
cp "$shard" "$WORK/keep"
cp "$other/labels-000000.lmdb" "$shard"
expect a-foreign-shard-is-a-fault 1 "1 fault" verify "$first"
expect and-not-selected-from 1 "labels-000000" select --labels "$first" --out "$WORK/s/x" --min-confidence 0
cp "$WORK/keep" "$shard"
for c in discs stripes tiles; do cp "$PHOTOS/$c/11.jpg" "$WORK/dump/new-$c.jpg"; done
need pack --out "$WORK/u" --unlabeled --shard-bytes 40K "$WORK/dump"
has pack-adds-what-is-new "$WORK/out" '^new +3 of 33 images \(9\.1 %\) in'
has pack-reads-nothing-again "$WORK/out" '^known +30 images; 30 files unchanged and not read again, 0 images read again$'
need pack --out "$WORK/u" --unlabeled --shard-bytes 40K "$WORK/dump" --json
has pack-says-the-same-in-json "$WORK/out" '"unchanged":33,"new":0,'
n=$(find "$WORK/u" -name 'images-*.lmdb' | wc -l)
last=$(printf 'labels-%06d.lmdb' $((n - 1)))
need label --model "$WORK/b/model.safetensors" --data "$WORK/u" --out "$WORK/l2"
cp "$WORK"/l2/*/"$last" "$first/"
expect a-foreign-shard-does-not-enter 1 "$last' was made by other weights" label \
    --model "$WORK/a/model.safetensors" --data "$WORK/u" --out "$L"
rm "$first/$last"
label a-grown-dump a
has costs-what-is-new "$WORK/out" '"labeled":3,'
need label --model "$WORK/a/model.safetensors" --data "$WORK/u" --out "$L"
has nothing-new-is-said "$WORK/out" '^images +0 new of 33 \(0\.0 %\), 33 known and not labeled again$'
grep labels-0 "$WORK/sums" >"$WORK/shards"
check earlier-shards-are-as-they-were sha256sum --quiet -c "$WORK/shards"
expect an-older-selection-is-refused 1 "made from other labels" train --data "$WORK/c" --labels "$first" \
    --selection "$WORK/s/a.lmdb" --out "$WORK/r" "${student[@]}"
need select --labels "$first" --out "$WORK/s/a" --min-confidence 0
has the-new-one-sees-all "$WORK/out" '^chosen +33 of 33'
finish
