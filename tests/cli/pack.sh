#!/bin/bash
# Packing what is missing, empty, broken or disguised: one bad file costs one file.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

expect missing-source-is-named 1 "cannot read the source '$WORK/nowhere': No such file" \
    pack --out "$WORK/c" "$WORK/nowhere"
check missing-source-leaves-no-corpus test ! -e "$WORK/c/corpus.json"
mkdir "$WORK/empty"
expect empty-folder-says-what-was-expected 1 "no images with a class found in '$WORK/empty'" \
    pack --out "$WORK/c" "$WORK/empty"
check empty-folder-leaves-no-corpus test ! -e "$WORK/c/corpus.json"
expect no-source-is-wrong-usage 2 "source" pack --out "$WORK/c"
expect no-out-is-wrong-usage 2 "--out" pack "$PHOTOS"

mkdir "$WORK/dump"
cp "$BAD"/*.jpg "$PHOTOS/discs/00.jpg" "$WORK/dump/"
mkfifo "$WORK/dump/pipe.jpg"
expect bad-files-cost-themselves-alone 0 "" pack --out "$WORK/u" --unlabeled "$WORK/dump"
for why in truncated not-identified empty; do
    check "quarantine-says-$why" grep -q "\"reason\":\"$why\"" "$WORK/u/quarantine.jsonl"
done
check text-named-jpg-is-in-quarantine grep -q 'text.jpg' "$WORK/u/quarantine.jsonl"
expect good-files-are-in-the-corpus 0 "" inspect "$WORK/u"
check png-named-jpg-is-an-image grep -qE '^images +2$' "$WORK/out"
expect packing-again-changes-nothing 0 "" pack --out "$WORK/u" --unlabeled "$WORK/dump"
check packing-again-adds-nothing grep -qE '^new +0 of 2 images \(0\.0 %\)' "$WORK/out"
expect verify-finds-it-whole 0 "" verify "$WORK/u"

expect photos-are-packed 0 "" pack --out "$WORK/c" "$PHOTOS"
mkdir -p "$WORK/more/cubes"
cp "$PHOTOS/discs/01.jpg" "$WORK/more/cubes/"
expect class-that-the-corpus-lacks-is-named 1 "cubes" pack --out "$WORK/c" "$WORK/more"
check class-that-the-corpus-lacks-loses-nothing "$PRECEPTOR" --quiet verify "$WORK/c"
expect labeled-and-unlabeled-do-not-mix 1 "label" pack --out "$WORK/c" --unlabeled "$PHOTOS"
expect inspect-of-no-store-is-named 1 "$WORK/nowhere" inspect "$WORK/nowhere"
finish
