#!/bin/bash
# Images that pack took by their headers and that do not decode: label goes on, lists them once, and
# nothing behind it meets them. On two ranks, killed in between, again and again.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/label.bash"

make_corpora
PHOTOS=tests/data/photos
N=$(find "$PHOTOS" -name '*.jpg' | wc -l)

# The photos, one that ends in its middle and one with the start of a JPEG in its middle.
mkdir "$WORK/in"
cp -r "$PHOTOS" "$WORK/in/whole"
victim=$(find "$PHOTOS" -name '*.jpg' | sort | head -n 1)
half=$(($(stat -c %s "$victim") / 2))
head -c "$half" "$victim" >"$WORK/in/torn.jpg"
{
    head -c "$half" "$victim"
    printf '\377\330\377\330'
    tail -c +$((half + 5)) "$victim"
} >"$WORK/in/spoilt.jpg"
"$PRECEPTOR" pack --unlabeled --check header --shard-bytes 24K --out "$WORK/photos" "$WORK/in" \
    --quiet --json >"$WORK/pack.json"
if [ "$(json_field "$WORK/pack.json" unchecked)" -ne $((N + 2)) ] ||
    [ "$(json_field "$WORK/pack.json" in_quarantine)" -ne 0 ]; then
    fail "pack --check header: $(cat "$WORK/pack.json")"
fi
[ "$("$PRECEPTOR" inspect --json "$WORK/photos" | grep -c "\"checked_by_header\": *$((N + 2))")" -eq 1 ] ||
    fail "inspect does not tell how many images nobody has decoded"
SHARDS=$(find "$WORK/photos" -name 'images-*.lmdb' | wc -l)
[ "$SHARDS" -ge 4 ] || fail "set-up: only $SHARDS shards"
ok pack-by-headers-takes-what-begins-as-an-image

label_args() { # OUT
    echo label --model "$TEACHER" --data "$WORK/photos" --out "$1" --quiet --json --size 64 \
        --threads 1 --batch 2 --top-k 3 --device cpu
}

# listed OUT: the ledger names both files, once, with the reason, and verify is content.
listed() {
    local store ledger
    store=$(dirname "$(find "$1" -name labels.json)")
    ledger=$store/quarantine.jsonl
    [ "$(wc -l <"$ledger")" -eq 2 ] &&
        grep '"reason":"truncated"' "$ledger" | grep -q '/in/torn.jpg"' &&
        grep '"reason":"broken"' "$ledger" | grep -q '/in/spoilt.jpg"' &&
        "$PRECEPTOR" verify --quiet "$store" >"$WORK/verify.out" 2>&1
}

out=$WORK/labels
# shellcheck disable=SC2046 # words
ranks 2 "$PRECEPTOR" $(label_args "$out") >"$out.json" 2>"$out.err" || {
    cat "$out.err"
    fail "label of a corpus with two bad images"
}
if [ "$(json_field "$out.json" bad)" -ne 2 ] || [ "$(json_field "$out.json" labeled)" -ne "$N" ] ||
    [ "$(json_field "$out.json" sealed)" -ne "$SHARDS" ]; then
    fail "what label says of it: $(cat "$out.json")"
fi
listed "$out" || fail "the ledger: $(cat "$out"/*/quarantine.jsonl "$WORK/verify.out")"
label_sums "$out" >"$WORK/want"
ok label-goes-on-and-lists-what-it-cannot-decode

# shellcheck disable=SC2046 # words
ranks 2 "$PRECEPTOR" $(label_args "$out") >"$out.json" 2>"$out.err" || fail "label again"
if [ "$(json_field "$out.json" bad_now)" -ne 0 ] || [ "$(json_field "$out.json" labeled)" -ne 0 ] ||
    [ "$(json_field "$out.json" bad)" -ne 2 ]; then
    fail "what label says the second time: $(cat "$out.json")"
fi
listed "$out" || fail "the ledger after a second run"
ok again-nothing-is-tried-or-listed-twice

out=$WORK/killed
mkdir -p "$out"
for ((sealed = 1; sealed < SHARDS; sealed += 3)); do # killed whenever some more are sealed
    # shellcheck disable=SC2046 # words
    timeout $((120 * SLOWER)) "${MPIRUN[@]}" -n 2 "$PRECEPTOR" $(label_args "$out") \
        >"$out.json" 2>"$out.err" &
    TIMEOUT_PID=$!
    sealed_at_least "$out" "$sealed" || fail "no shard was sealed in 60 s"
    MPIRUN_PID=$(children "$TIMEOUT_PID" | tr -d " ")
    # shellcheck disable=SC2046 # words
    kill -9 "$MPIRUN_PID" $(children "$MPIRUN_PID" 2>/dev/null) 2>/dev/null || true
    wait "$TIMEOUT_PID" 2>/dev/null || true
done
# shellcheck disable=SC2046 # words
ranks 2 "$PRECEPTOR" $(label_args "$out") >"$out.json" 2>"$out.err" || {
    cat "$out.err"
    fail "label after kills"
}
label_sums "$out" >"$WORK/got"
cmp "$WORK/want" "$WORK/got" || fail "other labels after kills"
listed "$out" || fail "the ledger after kills: $(cat "$out"/*/quarantine.jsonl)"
[ -z "$(find "$out" -name '*.tmp.*')" ] || fail "temporary files are left"
ok kills-in-between-change-nothing

store=$(dirname "$(find "$out" -name labels.json)")
rm "$store/quarantine.jsonl"
"$PRECEPTOR" verify --quiet "$store" >"$WORK/out" 2>&1 && fail "verify does not miss the ledger"
grep -q "label again, which mends it" "$WORK/out" || fail "verify: $(cat "$WORK/out")"
# shellcheck disable=SC2046 # words
ranks 2 "$PRECEPTOR" $(label_args "$out") >"$out.json" 2>"$out.err" || fail "label mends the ledger"
listed "$out" || fail "the ledger, mended"
ok a-lost-ledger-is-made-again-from-the-labels

"$PRECEPTOR" select --labels "$store" --out "$WORK/s.lmdb" --min-confidence 0 --quiet --json \
    >"$WORK/select.json" || fail "select"
"$PRECEPTOR" export "$WORK/s.lmdb" --labels "$store" --format csv >"$WORK/chosen.csv"
for name in torn spoilt; do
    key=$(sha256sum "$WORK/in/$name.jpg" | cut -c 1-32)
    ! grep -q "$key" "$WORK/chosen.csv" || fail "select took $name.jpg"
    "$PRECEPTOR" lineage "$WORK/in/$name.jpg" "$WORK/photos" "$store" >"$WORK/lineage"
    grep -q "none, it cannot be decoded: " "$WORK/lineage" || fail "lineage: $(cat "$WORK/lineage")"
done
[ "$(grep -c '^' "$WORK/chosen.csv")" -gt $((N / 2)) ] || fail "select took too few"
train=(train --data "$WORK/labeled" --unlabeled "$WORK/photos" --labels "$store" --quiet
    --model resnetrs11_w16 --in-channels 1 --size 28 --batch 8 --steps 1 --device cpu)
"$PRECEPTOR" "${train[@]}" --out "$WORK/r1" >"$WORK/out" 2>&1 &&
    fail "train takes labels with bad images whole"
grep -q "2 images of .* could not be decoded .* give --selection" "$WORK/out" ||
    fail "train: $(cat "$WORK/out")"
"$PRECEPTOR" "${train[@]}" --selection "$WORK/s.lmdb" --out "$WORK/r2" >"$WORK/out" 2>&1 || {
    cat "$WORK/out"
    fail "train on the selection"
}
ok select-and-train-never-meet-them

precision=f32
! "$PRECEPTOR" doctor 2>&1 | grep -q 'avx.*vnni\|avx512_core_bf16\|amx' || precision=int8
ranks 2 "$PRECEPTOR" label --model "$TEACHER" --data "$WORK/photos" --out "$WORK/audited" --quiet \
    --json --size 64 --device cpu --threads 1 --audit 64 --precision "$precision" >"$WORK/audit.json" 2>"$WORK/out" || {
    cat "$WORK/out"
    fail "label with an audit"
}
grep -q "\"images\": *$N\b" "$WORK/audit.json" || fail "the audit: $(cat "$WORK/audit.json")"
"$PRECEPTOR" dedupe "$WORK/photos" --out "$WORK/pairs.jsonl" >"$WORK/out" 2>&1 || {
    cat "$WORK/out"
    fail "dedupe"
}
[ "$(grep -c "cannot be decoded: nobody can tell" "$WORK/out")" -ge 1 ] ||
    fail "dedupe does not say what it could not look at: $(cat "$WORK/out")"
ok audits-leave-them-out-and-dedupe-says-what-it-cannot-see
