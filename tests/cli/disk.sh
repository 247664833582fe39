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
head -c 800k /dev/zero >"$WORK/small/filler" 2>/dev/null

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
finish
