#!/bin/bash
# docs/FORMAT.md is enough to write a reader: its own Python programs, with a stock LMDB binding, read
# what this program wrote, and find what `export` says.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

# Debian's, not one that stands before it on the PATH and knows no Debian package.
python=/usr/bin/python3
if ! "$python" -c 'import hashlib, lmdb; hashlib.file_digest' 2>/dev/null; then
    echo "skip format: needs python3 (3.11) with lmdb (Debian: python3-lmdb)"
    finish
fi

# The n-th program of the page.
program() { # N
    awk -v n="$1" '/^```python/ { at++; inside = 1; next }
                   /^```/ { inside = 0 }
                   inside && at == n' docs/FORMAT.md
}
program 1 >"$WORK/corpus.py"
program 2 >"$WORK/labels.py"

# export's rows as FORMAT.md's programs print theirs.
cat >"$WORK/rows.py" <<'TEXT'
import itertools, json, struct, sys

rows = [json.loads(line) for line in sys.stdin]
def half(v):
    return float("-inf") if v is None else struct.unpack("<e", struct.pack("<e", v))[0]
if sys.argv[1] == "corpus":
    for (key, size), group in itertools.groupby(rows, lambda r: (r["key"], r["bytes"])):
        print(key, size, [(r["class"], r["source"]) for r in group])
else:
    for r in rows:
        single = struct.unpack("<f", struct.pack("<f", r["confidence"]))[0]
        print(r["key"], single, tuple(r["classes"]), tuple(map(half, r["logp"])), half(r["rest_logp"]))
TEXT

same() { # CASE KIND STORE ROWS
    if ! "$python" "$WORK/$2.py" "$3" >"$WORK/theirs" 2>"$WORK/err"; then
        fail "$1: $(tail -n 1 "$WORK/err")"
        return
    fi
    need export "$3"
    "$python" "$WORK/rows.py" "$2" <"$WORK/out" >"$WORK/ours"
    check "$1-is-read-as-it-is" cmp "$WORK/theirs" "$WORK/ours"
    check "$1-is-read-whole" test "$(wc -l <"$WORK/theirs")" -eq "$4"
}

mkdir "$WORK/more"
cp "$PHOTOS/discs/00.jpg" "$WORK/more/met-twice.jpg"
need pack --out "$WORK/c" "$PHOTOS"
need pack --out "$WORK/u" --unlabeled --shard-bytes 20K "$PHOTOS" "$WORK/more"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 2
need label --model "$WORK/r/model.safetensors" --data "$WORK/u" --out "$WORK/l" --top-k 2
images=$(sed -n 's/^ *"images": \([0-9]*\),*$/\1/p' "$WORK/u/corpus.json" | sort -n | tail -n 1)
same a-labeled-corpus corpus "$WORK/c" "$images"
same a-corpus-of-many-shards corpus "$WORK/u" "$images"
same a-label-store labels "$(echo "$WORK"/l/*)" "$images"
finish
