#!/bin/bash
# What dumps hold: every format under any name, archives in archives, sparse and lying files, links and
# devices, names in no encoding, the same name twice. One bad file costs one file.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"
GOLDEN=tests/golden/image

reason() { # CASE LEDGER SOURCE REASON: the ledger has that reason for the source
    check "$1" grep -qE "\"reason\":\"$4\",\"source(_hex)?\":\"[^\"]*$3\"" "$2"
}

# Formats by content.
mkdir -p "$WORK/in/sub"
n=0
for f in gray16.png la16.png palette.png palette4-alpha.png interlaced.png alpha.webp lossless.webp moving.webp \
    moving.gif interlaced.gif 565.bmp palette.bmp cmyk.jpg exif-turned.jpg gray.pgm one-pixel.jpg; do
    n=$((n + 1))
    cp "$GOLDEN/$f" "$WORK/in/sub/$n.txt"
done
expect formats-are-known-by-content 0 "" pack --out "$WORK/formats" --unlabeled "$WORK/in" --json
has all-are-packed "$WORK/out" "\"images\":$n,"
expect they-are-whole 0 "" verify "$WORK/formats"

# Files that lie about what they are.
mkdir "$WORK/odd"
cp "$PHOTOS/discs/00.jpg" "$WORK/odd/good.jpg"
: >"$WORK/odd/empty.jpg"
truncate -s 20G "$WORK/odd/sparse.jpg"
cp "$PHOTOS/discs/01.jpg" "$WORK/odd/long.jpg"
truncate -s 300M "$WORK/odd/long.jpg"
printf 'II*\0aaaa' >"$WORK/odd/scan.jpg"
printf '\0\0\0\040ftypavif0000' >"$WORK/odd/new.png"
cp "$GOLDEN/bomb.jpg" "$GOLDEN/cut.png" "$WORK/odd/"
echo "seen in May" >"$WORK/odd/notes.csv" # no list, since nobody named it
ln -s /dev/zero "$WORK/odd/zero.jpg"
ln -s good.jpg "$WORK/odd/link.jpg"
ln -s nowhere "$WORK/odd/dangling.jpg"
ln -s . "$WORK/odd/loop"
mkfifo "$WORK/odd/pipe.jpg"
cp "$PHOTOS/discs/02.jpg" "$WORK/odd/"$'caf\xe9\n\x01.jpg'
start=$SECONDS
expect odd-files-cost-themselves 0 "" pack --out "$WORK/u" --unlabeled "$WORK/odd" --json
check holes-are-not-read test $((SECONDS - start)) -lt 60
has two-pictures-are-left "$WORK/out" '"images":2,'
ledger=$WORK/u/quarantine.jsonl
reason an-empty-file "$ledger" empty.jpg empty
reason a-sparse-file "$ledger" sparse.jpg too-large
reason a-file-with-a-long-tail "$ledger" long.jpg too-large
reason a-tiff "$ledger" scan.jpg unsupported-kind
has a-tiff-is-named-as-such "$ledger" 'TIFF is not read: make it a JPEG, PNG or WebP'
reason an-avif "$ledger" new.png unsupported-kind
reason a-decompression-bomb "$ledger" bomb.jpg too-large
reason a-cut-png "$ledger" cut.png truncated
reason a-device "$ledger" zero.jpg not-a-file
reason a-pipe "$ledger" pipe.jpg not-a-file
has a-name-in-no-encoding-comes-through <("$PRECEPTOR" --quiet export "$WORK/u" --format jsonl) \
    "\"source_hex\":\"[0-9a-f]*$(printf 'caf\xe9\n\x01.jpg' | od -An -tx1 | tr -d ' \n')\""
lines=$(wc -l <"$ledger")
expect again-adds-no-line 0 "" pack --out "$WORK/u" --unlabeled "$WORK/odd"
check the-ledger-is-as-long test "$(wc -l <"$ledger")" -eq "$lines"
cp "$PHOTOS/discs/03.jpg" "$WORK/odd/empty.jpg"
rm "$WORK/odd/good.jpg"
expect retry-tries-those-alone 0 "" pack --out "$WORK/u" --retry --json
has one-is-recovered "$WORK/out" '"recovered":1,'
has and-packed "$WORK/out" '"images":3,'
check the-others-stay-in-the-ledger test "$(wc -l <"$ledger")" -eq $((lines - 1))

# Archives: in archives, compressed, sparse, cut, with one name twice.
mkdir -p "$WORK/tar/cat" "$WORK/tar/dog"
cp "$PHOTOS"/discs/0[0-2].jpg "$WORK/tar/cat"
cp "$PHOTOS"/tiles/0[0-2].jpg "$WORK/tar/dog"
tar -C "$WORK/tar" -czf "$WORK/a.tar.gz" cat
tar -C "$WORK/tar" -cf - dog | zstd -q >"$WORK/b.tar.zst"
tar -C "$WORK" -cf "$WORK/both.tar" a.tar.gz b.tar.zst
expect archives-in-archives 0 "" pack --out "$WORK/n" "$WORK/both.tar" --json
has classes-are-the-folders-within "$WORK/out" '"images":6,.*"classes":2,'
mkdir "$WORK/sp"
truncate -s 8G "$WORK/sp/0.jpg"
cp "$PHOTOS/stripes/00.jpg" "$WORK/sp/1.jpg"
tar -C "$WORK/sp" --sparse -cf "$WORK/sparse.tar" 0.jpg 1.jpg
start=$SECONDS
expect a-sparse-member-costs-itself 0 "" pack --out "$WORK/sparse" --unlabeled "$WORK/sparse.tar" --json
check its-hole-is-not-kept test $((SECONDS - start)) -lt 60
has the-one-behind-it-is-packed "$WORK/out" '"images":1,'
reason a-sparse-member "$WORK/sparse/quarantine.jsonl" 'sparse.tar!0.jpg' too-large
tar -C "$WORK/tar/cat" -cf "$WORK/twice.tar" 00.jpg
tar -C "$WORK/tar/dog" -rf "$WORK/twice.tar" 00.jpg
expect one-name-twice-is-two-images 0 "" pack --out "$WORK/twice" --unlabeled "$WORK/twice.tar" --json
has both-are-packed "$WORK/out" '"images":2,'
head -c 6000 "$WORK/both.tar" >"$WORK/cut.tar"
expect a-cut-archive-gives-what-it-has 0 "" pack --out "$WORK/n" "$WORK/both.tar" "$WORK/cut.tar"
has a-cut-archive-is-in-the-ledger "$WORK/n/quarantine.jsonl" '"reason":"broken-archive","source":".*cut.tar'

# WebDataset and lists.
mkdir "$WORK/w"
for i in 0 1 2; do
    cp "$PHOTOS/discs/0$i.jpg" "$WORK/w/s$i.jpg"
    echo "a caption" >"$WORK/w/s$i.txt"
done
echo 1 >"$WORK/w/s0.cls"
echo '{"label": 0}' >"$WORK/w/s1.json"
echo '{"class": 1}' >"$WORK/w/s2.json"
printf 'zero\none\n' >"$WORK/names"
tar -C "$WORK/w" --sort=name -cf "$WORK/w.tar" .
expect webdataset 0 "" pack --out "$WORK/wds" --classes "$WORK/names" "$WORK/w.tar" --json
has captions-are-left-alone "$WORK/out" '"images":3,.*"quarantined":0,'
"$PRECEPTOR" --quiet export "$WORK/wds" --format csv >"$WORK/csv"
has a-cls-is-a-class "$WORK/csv" ',"one",.*s0.jpg'
has a-json-label-too "$WORK/csv" ',"zero",.*s1.jpg'
: >"$WORK/w/late.jpg"
printf 'path,class\n%s,one\n%s,zero\n%s,zero\n' "$WORK/w/s0.jpg" "$WORK/w/s1.jpg" \
    "$WORK/w/late.jpg" >"$WORK/list.csv"
printf '{"path": "%s", "class": "one"}\n' "$WORK/w/s2.jpg" >"$WORK/list.jsonl"
expect lists 0 "" pack --out "$WORK/lists" "$WORK/list.csv" "$WORK/list.jsonl" --json
has lists-have-classes "$WORK/out" '"images":3,.*"classes":2,'
cp "$PHOTOS/discs/05.jpg" "$WORK/w/late.jpg"
expect a-retried-image-has-the-class-it-came-with 0 "" pack --out "$WORK/lists" --retry
has it-is-packed "$WORK/out" '^recovered +1 '
"$PRECEPTOR" --quiet export "$WORK/lists" --format csv >"$WORK/csv"
has with-its-class "$WORK/csv" ',"zero",.*late.jpg'
finish
