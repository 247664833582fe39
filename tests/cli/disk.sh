#!/bin/bash
# A full disk is an ordinary error: it is named, and what was sealed stays whole.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

mkdir "$WORK/small"
if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=1m none "$WORK/small" 2>/dev/null; then
    echo "skip full-disk: needs root and tmpfs mounts"
    exit 0
fi
trap 'umount "$WORK/small"; rm -rf "$WORK"' EXIT

mkdir -p "$WORK/first/discs" "$WORK/first/tiles"
cp "$PHOTOS"/discs/0[0-2].jpg "$WORK/first/discs/"
cp "$PHOTOS"/tiles/0[0-2].jpg "$WORK/first/tiles/"
need pack --out "$WORK/small/c" "$WORK/first"
need pack --out "$WORK/c" "$PHOTOS"
free=$(df --output=avail -B1 "$WORK/small" | tail -n 1)
head -c $((free - 64 * 1024)) /dev/zero >"$WORK/small/filler" # less than the photos to come have

mkdir "$WORK/two"
cp -r "$PHOTOS/discs" "$PHOTOS/tiles" "$WORK/two/"
expect pack-on-a-full-disk-says-so 1 "No space left on device|full" \
    pack --out "$WORK/small/c" "$WORK/two"
expect what-was-sealed-is-whole 0 "" verify "$WORK/small/c"
check what-was-sealed-is-all-there grep -qE '6 records' "$WORK/out"
expect train-on-a-full-disk-says-so 1 "No space left on device|full" \
    train --data "$WORK/c" --out "$WORK/small/r" "${TINY[@]}" --steps 4
rm "$WORK/small/filler"
mount -o remount,size=64m "$WORK/small"
expect with-space-the-same-command-trains 0 "" \
    train --data "$WORK/c" --out "$WORK/small/r" "${TINY[@]}" --steps 4
check with-space-there-is-a-model test -s "$WORK/small/r/model.safetensors"

# label, select and train on a full disk: what was committed stays, and the same command goes on.
need pack --out "$WORK/u" --unlabeled "$PHOTOS"
model=$WORK/small/r/model.safetensors
cp "$model" "$WORK/model.safetensors"
need label --model "$WORK/model.safetensors" --data "$WORK/u" --out "$WORK/l"
need select --labels "$WORK/l" --out "$WORK/s" --min-confidence 0
fill() {
    cat /dev/zero >"$WORK/small/filler" 2>/dev/null
}
label=(label --model "$WORK/model.safetensors" --data "$WORK/u" --out "$WORK/small/l")
select=(select --labels "$WORK/l" --out "$WORK/small/s" --min-confidence 0)
fill
expect label-on-a-full-disk-says-so 1 "No space left on device|full" "${label[@]}"
expect select-on-a-full-disk-says-so 1 "No space left on device|full" "${select[@]}"
rm "$WORK/small/filler"
expect with-space-the-same-command-labels 0 "" "${label[@]}"
expect with-space-the-same-command-selects 0 "" "${select[@]}"
check labels-after-a-full-disk-are-the-undisturbed-ones cmp "$WORK"/l/*/labels-000000.lmdb \
    "$WORK"/small/l/*/labels-000000.lmdb
check selection-after-a-full-disk-is-the-undisturbed-one cmp "$WORK/s.lmdb" "$WORK/small/s.lmdb"
find "$WORK/small" -name '*.tmp.*' >"$WORK/list"
lacks nothing-half-written-stays "$WORK/list" .

# A limit on the size of files is met as a full disk is.
train=(train --data "$WORK/c" --out "$WORK/limited" "${TINY[@]}" --steps 4)
(
    ulimit -f 64
    "$PRECEPTOR" "${train[@]}" >"$WORK/out" 2>"$WORK/err" </dev/null
    echo $? >"$WORK/code"
)
check a-file-at-its-limit-is-an-error test "$(cat "$WORK/code")" -eq 1
has a-file-at-its-limit-is-named "$WORK/err" "^preceptor: .*$WORK/limited/.*File too large"

# Stores on read-only media are read; writing there says so.
mount -o remount,ro "$WORK/small"
expect read-only-labels-are-selected 0 "" select --labels "$WORK/small/l" --out "$WORK/s2" --min-confidence 0
expect a-read-only-corpus-is-verified 0 "" verify "$WORK/small/c"
expect a-read-only-model-and-selection-train 0 "" train --data "$WORK/c" --unlabeled "$WORK/u" \
    --labels "$WORK/small/l" --selection "$WORK/small/s.lmdb" --init "$model" --out "$WORK/r2" "${TINY[@]}" \
    --unlabeled-ratio 1 --steps 4
expect a-read-only-corpus-is-trained-on 0 "" train --data "$WORK/small/c" --out "$WORK/r3" "${TINY[@]}" --steps 2 \
    --batch 6
expect packing-into-read-only-says-so 1 "Read-only file system" pack --out "$WORK/small/c2" "$PHOTOS"
expect labeling-into-read-only-says-so 1 "Read-only file system" label --model "$model" --data "$WORK/u" \
    --out "$WORK/small/l2"
expect selecting-into-read-only-says-so 1 "Read-only file system" select --labels "$WORK/l" --out "$WORK/small/s3"
expect training-into-read-only-says-so 1 "Read-only file system" \
    train --data "$WORK/c" --out "$WORK/small/r2" "${TINY[@]}" --steps 2
finish
