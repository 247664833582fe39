#!/bin/bash
# Labels are the same bits for any number of ranks and threads and any batch, in f32 and bf16.
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

# A second run has nothing to do.
again=$(label_with 1 1 32 f32)
[ "$(json_field "$again.json" labeled)" -eq 0 ] || fail "a second run labels again"
ok nothing-is-labeled-twice

# The order of the dump: other shards, the same labels.
"$PRECEPTOR" pack --unlabeled --shard-bytes 40K --out "$WORK/dump2" "$WORK/dump-images-idx3-ubyte" \
    >/dev/null 2>&1 || fail "packing in larger shards"
DUMP=$WORK/dump2
ranks 2 "$PRECEPTOR" label --model "$TEACHER" --data "$DUMP" --out "$WORK/other" --quiet \
    --device cpu --top-k 3 >/dev/null || fail "label in other shards"
"$PRECEPTOR" export "$WORK/labels-1-1-32-f32"/* --format jsonl | sort >"$WORK/a.jsonl"
"$PRECEPTOR" export "$WORK/other"/* --format jsonl | sort >"$WORK/b.jsonl"
[ "$(wc -l <"$WORK/a.jsonl")" -eq "$IMAGES" ] || fail "export gives $(wc -l <"$WORK/a.jsonl") labels"
cmp "$WORK/a.jsonl" "$WORK/b.jsonl" || fail "labels depend on the shard that an image is in"
ok labels-do-not-depend-on-the-order-of-the-dump
