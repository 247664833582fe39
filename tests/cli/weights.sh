#!/bin/bash
# Weights from elsewhere: f32, f16 and bf16 files, tensors that are missing or unknown, other classes.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"
tool=$BUILD_DIR/tests/parity/parity_tool

need pack --out "$WORK/c" "$PHOTOS"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 2
model=$WORK/r/model.safetensors

# recast FILE TYPE CHANGE [FROM]: a file without metadata of ours, as another program writes it.
recast() {
    "$tool" recast "${4:-$model}" "$WORK/$1.safetensors" "$2" "$3" ||
        fail "setup: parity_tool recast $*"
}
# logits FILE: of three photos.
logits() {
    need predict --logits --json --size 32 --model "$WORK/$1.safetensors" "$PHOTOS"/*/00.jpg
    sed 's/.*"logits"://' "$WORK/out" >"$WORK/$1.logits"
}

recast f32 f32 =
need predict --logits --json --size 32 --model "$model" "$PHOTOS"/*/00.jpg
sed 's/.*"logits"://' "$WORK/out" >"$WORK/own.logits"
logits f32
check f32-weights-of-another-program-give-the-same-logits cmp -s "$WORK/own.logits" "$WORK/f32.logits"
for type in f16 bf16; do
    recast "$type" "$type" =
    recast "wide-$type" f32 = "$WORK/$type.safetensors"
    logits "$type"
    logits "wide-$type"
    check "$type-weights-are-read-exactly" cmp -s "$WORK/$type.logits" "$WORK/wide-$type.logits"
    check "$type-weights-are-rounded" test "$(cat "$WORK/$type.logits")" != "$(cat "$WORK/own.logits")"
done

recast missing f32 -layer1.0.conv2.weight
expect a-missing-tensor-is-named 1 \
    "does not hold the tensors of resnetrs11_w16: 1 missing \('layer1.0.conv2.weight'\), 0 unknown" \
    eval --model "$WORK/missing.safetensors" --data "$WORK/c" --size 32
expect training-from-a-missing-tensor-names-it 1 "1 missing \('layer1.0.conv2.weight'\)" \
    train --data "$WORK/c" --out "$WORK/r2" "${TINY[@]}" --steps 2 --init "$WORK/missing.safetensors"
recast extra bf16 +layer9.0.conv1.weight
expect an-unknown-tensor-is-named 1 "0 missing \(\), 1 unknown \('layer9.0.conv1.weight'\)" \
    predict --size 32 --model "$WORK/extra.safetensors" "$PHOTOS/discs/00.jpg"

mkdir "$WORK/two"
cp -r "$PHOTOS/discs" "$PHOTOS/tiles" "$WORK/two/"
need pack --out "$WORK/c2" "$WORK/two"
expect another-class-count-offers-a-new-head 1 \
    "has 3 classes where 2 are needed: its head can be replaced by a new one \(replace_head\)" \
    train --data "$WORK/c2" --out "$WORK/r3" "${TINY[@]}" --steps 2 --init "$WORK/f16.safetensors"
expect a-new-head-on-f16-weights-trains 0 "" train --data "$WORK/c2" --out "$WORK/r3" "${TINY[@]}" \
    --steps 2 --init "$WORK/f16.safetensors" --replace_head
finish
