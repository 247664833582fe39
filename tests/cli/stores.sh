#!/bin/bash
# Damaged stores, models that are missing or of other classes: one sentence, nothing wrong returned.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need pack --out "$WORK/u" --unlabeled "$PHOTOS"
mkdir "$WORK/two"
cp -r "$PHOTOS/discs" "$PHOTOS/tiles" "$WORK/two/"
need pack --out "$WORK/c2" "$WORK/two"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 2
model=$WORK/r/model.safetensors
need label --model "$model" --data "$WORK/u" --out "$WORK/l"

expect missing-model-is-named 1 "$WORK/none.safetensors" eval --model "$WORK/none.safetensors" --data "$WORK/c"
echo "not a model" >"$WORK/text.safetensors"
expect text-as-model-is-named 1 "$WORK/text.safetensors" eval --model "$WORK/text.safetensors" --data "$WORK/c"
head -c 5000 "$model" >"$WORK/short.safetensors"
expect truncated-model-is-named 1 "$WORK/short.safetensors" eval --model "$WORK/short.safetensors" --data "$WORK/c"
expect missing-corpus-is-named 1 "$WORK/none" eval --model "$model" --data "$WORK/none"
expect evaluating-without-labels-says-so 1 "'$WORK/u' has no labels" eval --model "$model" --data "$WORK/u"
expect model-of-another-class-count-says-both 1 "has 3 classes, the corpus '$WORK/c2' has 2" \
    eval --model "$model" --data "$WORK/c2"
expect init-of-another-class-count-says-what-to-do 1 "replace_head" \
    train --data "$WORK/c2" --out "$WORK/r2" "${TINY[@]}" --steps 2 --init "$model"
expect init-with-a-new-head-works 0 "" \
    train --data "$WORK/c2" --out "$WORK/r3" "${TINY[@]}" --steps 2 --init "$model" --replace_head
expect unknown-member-is-named 1 "resnetrs51" train --data "$WORK/c" --out "$WORK/r4" --model resnetrs51
expect predict-missing-file-fails-at-the-end 1 "1 of 2 files could not be used" \
    predict --model "$model" "$PHOTOS/discs/00.jpg" "$WORK/none.jpg"
check predict-answers-for-the-others grep -q '%  discs' "$WORK/out"
expect predict-text-named-jpg-is-refused 1 "1 of 1 files could not be used" \
    predict --model "$model" "$BAD/text.jpg"
expect predict-truncated-jpg-is-refused 1 "1 of 1 files could not be used" \
    predict --model "$model" "$BAD/truncated.jpg"

# flip FILE OFFSET: change one byte.
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "%b" "\\x$(printf %02x $((byte ^ 255)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
shard=$WORK/c/images-000000.lmdb
cp "$shard" "$WORK/whole"
for offset in 16 5000 "$(($(stat -c %s "$shard") - 100))"; do
    chmod u+w "$shard"
    cp "$WORK/whole" "$shard"
    flip "$shard" "$offset"
    expect "damaged-at-$offset-eval-names-the-shard" 1 "images-000000" eval --model "$model" --data "$WORK/c"
    expect "damaged-at-$offset-train-names-the-shard" 1 "images-000000" \
        train --data "$WORK/c" --out "$WORK/r5" "${TINY[@]}" --steps 2
    expect "damaged-at-$offset-verify-fails" 1 "images-000000|1 fault" verify "$WORK/c"
done
cp "$WORK/whole" "$shard"
truncate -s -4096 "$shard"
expect truncated-shard-is-named 1 "images-000000" eval --model "$model" --data "$WORK/c"
rm -f "$shard"
expect missing-shard-is-named 1 "images-000000" eval --model "$model" --data "$WORK/c"
cp "$WORK/whole" "$shard"

expect a-run-is-whole 0 "" verify "$WORK/r" "$WORK/u" "$WORK/l"
has a-run-is-looked-at "$WORK/out" '^run +.*/r$'
for file in "$WORK"/r/model.safetensors "$WORK"/r/stores.json "$WORK"/r/result.json; do
    cp "$file" "$WORK/file"
    flip "$file" "$(($(stat -c %s "$file") / 2))"
    expect "a-flip-in-$(basename "$file")-is-found" 1 "1 fault" verify "$WORK/r"
    cp "$WORK/file" "$file"
done
need train --data "$WORK/c" --out "$WORK/r7" "${TINY[@]}" --steps 4 --checkpoint_every 2
for file in "$WORK"/r7/checkpoint.json "$WORK"/r7/model-*.safetensors "$WORK"/r7/state-*.safetensors; do
    cp "$file" "$WORK/file"
    flip "$file" "$(($(stat -c %s "$file") / 2))"
    expect "a-flip-in-$(basename "$file")-is-found" 1 "1 fault" verify "$WORK/r7"
    cp "$WORK/file" "$file"
done
expect the-mended-run-is-whole 0 "" verify "$WORK/r7"

labels=$(echo "$WORK"/l/*/labels-000000.lmdb)
chmod u+w "$labels"
flip "$labels" 9000
expect damaged-labels-verify-fails 1 "labels-000000|1 fault" verify "$WORK/l"
expect damaged-labels-training-names-the-shard 1 "labels-000000" \
    train --data "$WORK/c" --unlabeled "$WORK/u" --labels "$WORK/l" --unlabeled_ratio 1 \
    --out "$WORK/r6" "${TINY[@]}" --steps 2
echo "{" >"$WORK/u/corpus.json"
expect broken-manifest-is-named 1 "$WORK/u/corpus.json" inspect "$WORK/u"
finish
