#!/bin/bash
# What a newer version wrote is refused with a sentence, by every reader.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need pack --out "$WORK/u" --unlabeled "$PHOTOS"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 4 --checkpoint-every 2
model=$WORK/r/model.safetensors
need label --model "$model" --data "$WORK/u" --out "$WORK/l"
need select --labels "$WORK/l" --out "$WORK/s" --min-confidence 0
student=(train --data "$WORK/c" --unlabeled "$WORK/u" --labels "$WORK/l" --selection "$WORK/s.lmdb"
    --out "$WORK/r2" "${TINY[@]}" --unlabeled-ratio 1 --steps 4)

# newer FILE: it says that it has the next format; older FILE: as it was.
newer() {
    cp "$1" "$WORK/before"
    sed -i -E 's/"(format|version)": 1/"\1": 2/' "$1"
}
older() {
    cp "$WORK/before" "$1"
}
sentence="(format|version) 2, this program reads up to 1: use a newer preceptor"

newer "$WORK/u/corpus.json"
expect label-refuses-a-newer-corpus 1 "$sentence" label --model "$model" --data "$WORK/u" --out "$WORK/l2"
expect train-refuses-a-newer-corpus 1 "$sentence" "${student[@]}"
expect pack-refuses-a-newer-corpus 1 "$sentence" pack --out "$WORK/u" --unlabeled "$PHOTOS"
expect verify-refuses-a-newer-corpus 1 "1 fault" verify "$WORK/u"
has verify-says-why "$WORK/out" "$sentence"
older "$WORK/u/corpus.json"

labels=$(ls "$WORK"/l/*/labels.json)
newer "$labels"
expect select-refuses-newer-labels 1 "$sentence" select --labels "$WORK/l" --out "$WORK/s2"
expect label-refuses-newer-labels 1 "$sentence" label --model "$model" --data "$WORK/u" --out "$WORK/l"
expect train-refuses-newer-labels 1 "$sentence" "${student[@]}"
older "$labels"

newer "$WORK/s.json"
expect train-refuses-a-newer-selection 1 "$sentence" "${student[@]}"
older "$WORK/s.json"

rm "$WORK/r/result.json"
newer "$WORK/r/checkpoint.json"
expect train-refuses-a-newer-checkpoint 1 "$sentence" \
    train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 4 --checkpoint-every 2
older "$WORK/r/checkpoint.json"
expect what-was-not-touched-still-works 0 "" "${student[@]}"
finish
