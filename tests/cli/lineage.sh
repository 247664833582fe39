#!/bin/bash
# Lineage: every source of an image, its labels by each teacher, what used it, and its state.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

mkdir "$WORK/dump1" "$WORK/dump2"
cp "$PHOTOS"/discs/0[0-5].jpg "$WORK/dump1"
cp "$PHOTOS"/tiles/0[0-5].jpg "$WORK/dump2"
cp "$PHOTOS/discs/00.jpg" "$WORK/dump1/copy.jpg"
cp "$PHOTOS/discs/00.jpg" "$WORK/dump2/again.jpg"
cp "$BAD/truncated.jpg" "$WORK/dump2/torn.jpg"
need pack --out "$WORK/w/c" "$PHOTOS"
need pack --out "$WORK/w/u" --unlabeled "$WORK/dump1"
need pack --out "$WORK/w/u" --unlabeled "$WORK/dump2"
need train --data "$WORK/w/c" --out "$WORK/w/runs/t" "${TINY[@]}" --steps 1
need label --model "$WORK/w/runs/t/model.safetensors" --data "$WORK/w/u" --out "$WORK/w/l" --top-k 2
need select --labels "$WORK/w/l" --out "$WORK/w/s/all" --min-confidence 0 --per-class 40
student=(--data "$WORK/w/c" --unlabeled "$WORK/w/u" --labels "$WORK/w/l" "${TINY[@]}" --micro_batch 12
    --unlabeled-ratio 1 --steps 1)
need train "${student[@]}" --selection "$WORK/w/s/all.lmdb" --out "$WORK/w/runs/student"
need train "${student[@]}" --out "$WORK/w/runs/plain"
need label --model "$WORK/w/runs/student/model.safetensors" --data "$WORK/w/u" --out "$WORK/w/l2" --top-k 2
cd "$WORK/w" || exit 1
PROGRAM=$(cd "$OLDPWD" && realpath "$PRECEPTOR")
IMAGE=$OLDPWD/$PHOTOS/discs/00.jpg
FREE=$OLDPWD/$PHOTOS/stripes/00.jpg
PRECEPTOR=$PROGRAM
key=$(sha256sum "$IMAGE" | cut -c 1-32)

expect an-image-is-found-by-its-file 0 "" lineage "$IMAGE"
cp "$WORK/out" "$WORK/text"
has the-key-is-said "$WORK/text" "^image +$key$"
has both-corpora-hold-it "$WORK/text" '^corpus +\./u: image [0-9]+ of shard 0, [0-9]+ bytes, sealed 20'
has the-labeled-one-too "$WORK/text" 'discs/00.jpg, class discs'
for source in dump1/00.jpg dump1/copy.jpg; do
    has "source-$source" "$WORK/text" "^  source +.*$source$"
done
has a-later-dump-is-a-source-too "$WORK/text" '^  source +.*dump2/again.jpg \(met again later\)'
check two-teachers-labeled-it test "$(grep -c '^label ' "$WORK/text")" -eq 2
has a-teacher-has-weights-and-precision "$WORK/text" \
    '^  teacher +resnetrs11_w16, weights [0-9a-f]{16}\.\.\., f32 on .*, sealed 20[0-9-]+T[0-9:]+Z'
has and-preprocessing "$WORK/text" '^  pixels +[a-z]'
has the-selection-has-copies "$WORK/text" '^selection +\./s/all.*: [0-9]+ cop.* as (discs|stripes|tiles) \(flavor exact'
has the-teacher-trained-on-it "$WORK/text" '^run +\./runs/t: as data$'
has the-student-by-the-selection "$WORK/text" '^run +\./runs/student: as unlabeled, by \./s/all'
has a-run-without-selection-used-all "$WORK/text" '^run +\./runs/plain: as unlabeled$'
expect a-key-does-as-well 0 "" lineage "$key"
check it-says-the-same cmp "$WORK/text" "$WORK/out"
expect so-does-a-sha256 0 "" lineage "$(sha256sum "$IMAGE" | cut -d ' ' -f 1)" .
check it-says-the-same-too cmp "$WORK/text" "$WORK/out"
expect as-json 0 "" lineage "$key" --json
has json-has-all-parts "$WORK/out" '^\{"key":"[0-9a-f]{32}","corpora":\[\{.*"quarantine":\[\],"labels":\[\{.*"runs":\[\{.*"unreadable":\[\]\}$'
expect only-labeled 0 "" lineage "$FREE" "$WORK/w"
has nobody-labeled-it "$WORK/out" '^label +none'

expect quarantine-is-known-by-key 0 "" lineage "$WORK/dump2/torn.jpg"
has quarantine-has-source-and-reason "$WORK/out" '^quarantine \./u: .*dump2/torn.jpg, truncated'
expect an-unknown-key-is-an-error 1 "no corpus knows the image 00112233445566778899aabbccddeeff" \
    lineage 00112233445566778899aabbccddeeff
expect a-word-that-is-no-key-is-an-error 1 "neither a file nor a key" lineage zebra
expect lineage-needs-something 2 "lineage needs a KEY or FILE" lineage
expect a-missing-folder-is-named 1 "$WORK/none" lineage "$key" "$WORK/none"

echo "$key" >"$WORK/list"
need forget "$WORK/list" --data u --reason "takedown 17"
expect forgotten-images-are-found 0 "" lineage "$key"
has why-and-when-they-were-forgotten "$WORK/out" '^  forgotten 20[0-9-]+T[0-9:]+Z takedown 17'
has earlier-runs-are-still-said "$WORK/out" '^run +\./runs/student: as unlabeled'
need train "${student[@]}" --selection "$WORK/w/s/all.lmdb" --out "$WORK/w/runs/after"
expect later-runs-did-not-use-it 0 "" lineage "$key"
lacks the-later-run-is-not-there "$WORK/out" '^run +\./runs/after: as unlabeled'
mv u elsewhere
expect moved-stores-are-joined-all-the-same 0 "" lineage "$key"
has by-digest "$WORK/out" '^run +\./runs/student: as unlabeled'
printf x | dd of="$(echo l/*/labels-000000.lmdb)" bs=1 seek=8192 conv=notrunc status=none
printf x >>s/all.lmdb
expect damaged-stores-are-said 0 "" lineage "$key"
has what-cannot-be-read-is-named "$WORK/out" '^unreadable \./s/all'
finish
