#!/bin/bash
# Selection and export: what they print and write, and wrong use of them.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need pack --out "$WORK/u" --unlabeled "$PHOTOS"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 2
need label --model "$WORK/r/model.safetensors" --data "$WORK/u" --out "$WORK/l" --top-k 2
images=$(sed -n 's/^ *"images": \([0-9]*\),*$/\1/p' "$WORK/u/corpus.json" | tail -n 1)

select_to() { # NAME ARGS...
    local name=$1
    shift
    expect "select-$name" 0 "" select --labels "$WORK/l" --out "$WORK/s/$name" --min-confidence 0 "$@"
}
select_to all
has all-are-chosen "$WORK/out" "^chosen +$images of $images images, $images with copies \\(100.0 % unique\\)"
has classes-are-named "$WORK/out" '^  discs +[0-9]+ +[0-9]+'
select_to balanced --per-class 7 --json
has json-says-the-rule "$WORK/out" '"rule":"flavor exact, min_confidence 0, per_class 7, duplicate yes'
cp "$WORK/s/balanced.lmdb" "$WORK/first"
select_to balanced --per-class 7
check again-gives-the-same-bytes cmp "$WORK/first" "$WORK/s/balanced.lmdb"
select_to drawn --per-class 7 --flavor noisystudent --seed 3
expect select-needs-labels 2 "select needs --labels" select --out "$WORK/s/x"
expect select-takes-no-file 2 "select" select --labels "$WORK/l" --out "$WORK/s/x" more
expect missing-labels-are-named 1 "$WORK/none" select --labels "$WORK/none" --out "$WORK/s/x"
expect nothing-confident-says-so 1 "no label in .* has a confidence of 1 or more" \
    select --labels "$WORK/l" --out "$WORK/s/x" --min-confidence 1
check nothing-is-written test ! -e "$WORK/s/x.lmdb"

expect export-labels 0 "" export "$WORK/l"
check a-line-a-label test "$(wc -l <"$WORK/out")" -eq "$images"
has lines-have-the-members "$WORK/out" '^\{"key":"[0-9a-f]{32}","shard":0,"position":0,"confidence":0\.[0-9]+,"classes":\[[0-2],[0-2]\],"logp":\['
key=$(sha256sum "$PHOTOS/discs/00.jpg" | cut -c 1-32)
check keys-are-those-of-sha256sum grep -q "\"key\":\"$key\"" "$WORK/out"
expect export-selection 0 "" export "$WORK/s/balanced" --labels "$WORK/l" --format csv --out "$WORK/s.csv"
has the-header-names-the-columns "$WORK/s.csv" '^shard,position,class,copies,key,confidence$'
check copies-add-up test "$(awk -F, 'NR > 1 { n[$3] += $4 } END { for (c in n) print n[c] }' "$WORK/s.csv" | sort -u)" = 7
expect export-corpus 0 "" export "$WORK/c" --format csv
has rows-have-class-and-source "$WORK/out" "^$key,0,[0-9]+,[0-9]+,[0-2],\"discs\",\".*discs/00.jpg\"\$"
expect export-arrays 0 "" export "$WORK/l" --format npy --out "$WORK/arrays"
check arrays-have-the-size test "$(stat -c %s "$WORK/arrays/classes.npy")" -eq $((128 + 4 * images))
expect arrays-need-a-folder 2 "name it with --out" export "$WORK/l" --format npy
expect export-needs-a-store 2 "export needs one STORE" export
expect labels-go-with-a-selection 2 "--labels goes with a selection" export "$WORK/l" --labels "$WORK/l"
need label --model "$WORK/r/model.safetensors" --data "$WORK/u" --out "$WORK/l2" --top-k 1
expect other-labels-are-refused 1 "made from other labels" export "$WORK/s/balanced" --labels "$WORK/l2"
"$PRECEPTOR" export "$WORK/l" >/dev/full 2>"$WORK/err"
check a-full-disk-fails test $? -eq 1
has a-full-disk-is-said "$WORK/err" "^preceptor: cannot write 'standard output': No space left"
finish
