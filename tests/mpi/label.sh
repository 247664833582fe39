#!/bin/bash
# Labels are the same bits for any number of ranks and threads and any batch, in f32, bf16 and int8.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/label.bash"

make_corpora

# label_with RANKS THREADS BATCH PRECISION: into $WORK/labels-...; prints its name.
label_with() {
    local out=$WORK/labels-$1-$2-$3-$4
    ranks "$1" "$PRECEPTOR" label --model "$TEACHER" --data "$DUMP" --out "$out" --quiet --json \
        --device cpu --threads "$2" --batch "$3" --precision "$4" --top-k 3 \
        >"$out.json" 2>"$out.err" || {
        cat "$out.err"
        fail "label on $1 ranks, $2 threads, batch $3, $4"
    }
    echo "$out"
}

for precision in f32 bf16; do
    first=$(label_with 1 1 32 "$precision")
    label_sums "$first" >"$WORK/want"
    [ "$(wc -l <"$WORK/want")" -eq "$SHARDS" ] || fail "$precision: not every shard is labeled"
    [ "$(json_field "$first.json" labeled)" -eq "$IMAGES" ] || fail "$precision: images labeled"
    no_leftovers "$first" || fail "$precision: temporary files are left"
    for how in "1 2 7" "2 1 1" "2 2 32" "3 1 7"; do
        read -r n threads batch <<<"$how"
        label_sums "$(label_with "$n" "$threads" "$batch" "$precision")" >"$WORK/got"
        cmp "$WORK/want" "$WORK/got" ||
            fail "$precision labels of $n ranks, $threads threads, batch $batch are other bits"
        ok "$precision-bits-of-$n-ranks-$threads-threads-batch-$batch"
    done
done

# int8 in a short form: its calibration is made anew each time, by another number of decoders.
if grep -q 'avx512_vnni\|avx_vnni' /proc/cpuinfo; then
    first=$(label_with 1 1 32 int8)
    label_sums "$first" >"$WORK/want"
    [ "$(wc -l <"$WORK/want")" -eq "$SHARDS" ] || fail "int8: not every shard is labeled"
    no_leftovers "$first" || fail "int8: temporary files are left"
    for how in "2 2 7" "3 1 1"; do
        read -r n threads batch <<<"$how"
        label_sums "$(label_with "$n" "$threads" "$batch" int8)" >"$WORK/got"
        cmp "$WORK/want" "$WORK/got" ||
            fail "int8 labels of $n ranks, $threads threads, batch $batch are other bits"
        ok "int8-bits-of-$n-ranks-$threads-threads-batch-$batch"
    done
    [ "$(find "$WORK" -name 'calibration-*.json' -exec sha256sum {} + | cut -d ' ' -f 1 |
        sort -u | wc -l)" -eq 1 ] || fail "int8: calibrations differ"
    ok calibrations-are-the-same-bits
fi

# A second run has nothing to do.
again=$(label_with 1 1 32 f32)
[ "$(json_field "$again.json" labeled)" -eq 0 ] || fail "a second run labels again"
ok nothing-is-labeled-twice

# The order of the dump, and what else lies in the batch: two halves packed either way round.
idx_images "$WORK/half-a" "$IMAGES" 23
idx_images "$WORK/half-b" "$IMAGES" 29
for order in "a b" "b a"; do
    read -r one two <<<"$order"
    store=$WORK/order-$one$two
    "$PRECEPTOR" pack --unlabeled --out "$store-dump" "$WORK/half-$one" "$WORK/half-$two" \
        >"$store.out" 2>&1 || {
        cat "$store.out"
        fail "packing two halves"
    }
    ranks 2 "$PRECEPTOR" label --model "$TEACHER" --data "$store-dump" --out "$store" --quiet \
        --device cpu --top-k 3 >"$store.out" || fail "label in the order $order"
    label_sums "$store" >"$store.sums"
done
[ -s "$WORK/order-ab.sums" ] || fail "no labels of two halves"
cmp "$WORK/order-ab.sums" "$WORK/order-ba.sums" || fail "labels depend on the order of the dump"
ok labels-do-not-depend-on-the-order-of-the-dump
