#!/bin/bash
# The whole program on the fakes (docs/GPU.md): two ranks on two fake GPUs train and label as on the
# CPU, and what goes wrong on a GPU ends all ranks with the cause named.
set -u
program=$BUILD_DIR/tests/gpu/preceptor
if [ ! -x "$program" ]; then
    echo "skip ranks: no CUDA toolkit: built without the cuda backend"
    exit 0
fi
PRECEPTOR=$program
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/../mpi/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/../mpi/label.bash"
export PRECEPTOR_PLAN_CACHE=$WORK/plans
export FAKE_CUDA_DEVICES=2
LIMIT=400
make_corpora

# train_on DEVICE: three steps of two ranks; the losses to $WORK/loss-DEVICE
train_on() {
    ranks 2 "$PRECEPTOR" train --data "$WORK/labeled" --out "$WORK/run-$1" --model resnetrs11_w16 \
        --in-channels 1 --size 28 --batch 16 --micro-batch 8 --steps 3 --log-every 1 --device "$1" >"$WORK/train-$1.out" 2>&1 || {
        tail -20 "$WORK/train-$1.out"
        fail "train on two ranks with device $1"
    }
    sed -n 's/.*"loss": *\([0-9.e+-]*\).*/\1/p' "$WORK/run-$1/metrics.jsonl" >"$WORK/loss-$1"
}

# near NAME TOLERANCE FILE FILE: as many numbers, each within the tolerance
near() {
    paste "$3" "$4" | awk -v most="$2" '
        NF != 2 { bad = 1 }
        { d = $1 - $2; d = d < 0 ? -d : d; if (!(d <= most)) bad = 1; if (d > worst) worst = d }
        END { if (NR < 3 || bad) { print "worst difference " worst " of " NR " numbers"; exit 1 } }' ||
        fail "$1: the numbers of cuda and cpu differ by more than $2"
    ok "$1"
}

train_on cpu
train_on cuda
near two-ranks-on-two-gpus-train-as-on-the-cpu 1e-4 "$WORK/loss-cpu" "$WORK/loss-cuda"

# label_on DEVICE PRECISION RANKS: confidences in the order of shards and keys
label_on() {
    local out=$WORK/labels-$1-$2-$3
    ranks "$3" "$PRECEPTOR" label --model "$TEACHER" --data "$DUMP" --out "$out" --quiet --top-k 3 \
        --device "$1" --precision "$2" >"$out.out" 2>&1 || {
        cat "$out.out"
        fail "label on $3 ranks with device $1"
    }
    "$PRECEPTOR" export "$out"/* --format jsonl --out "$out.jsonl" >/dev/null ||
        fail "export of the labels of $1"
    sed -n 's/.*"confidence": *\([0-9.e+-]*\).*/\1/p' "$out.jsonl" >"$out.numbers"
}

for precision in f32 bf16; do
    label_on cpu "$precision" 1
    label_on cuda "$precision" 2
done
near two-ranks-on-two-gpus-label-in-f32 1e-4 "$WORK/labels-cpu-f32-1.numbers" \
    "$WORK/labels-cuda-f32-2.numbers"
near two-ranks-on-two-gpus-label-in-bf16 2e-2 "$WORK/labels-cpu-bf16-1.numbers" \
    "$WORK/labels-cuda-bf16-2.numbers"

# fails NAME RANKS PATTERN VARIABLE=VALUE: training ends by itself, not well, and says why
fails() {
    local status=0
    rm -rf "$WORK/run-fail"
    LIMIT=120 ranks "$2" env "$4" "$PRECEPTOR" train --data "$WORK/labeled" --out "$WORK/run-fail" \
        --model resnetrs11_w16 --in-channels 1 --size 28 --batch 16 --steps 3 --device cuda \
        >"$WORK/fail.out" 2>&1 || status=$?
    if [ "$status" -eq 0 ] || [ "$status" -ge 124 ] || ! grep -qE "$3" "$WORK/fail.out"; then
        tail -20 "$WORK/fail.out"
        fail "$1: exit code $status, expected a sentence like '$3'"
    fi
    ok "$1"
}

fails gpu-memory-that-runs-out-is-named 2 \
    'out of memory: .* MiB for activations, .* smaller batch; of the batch of 16 about [1-9] images fit' \
    FAKE_CUDA_MEMORY=3000000
fails gpu-memory-that-parameters-lack-is-named 2 \
    'out of memory: .* MiB for (gradients|momentum|EMA), .* of the batch of 16 about 1[0-5] images fit' \
    FAKE_CUDA_MEMORY=14500000
fails a-gpu-that-is-lost-ends-all-ranks 2 'GPU [01]: .*fallen off the bus' FAKE_CUDA_FAIL_AT=150
fails more-ranks-than-gpus-is-said 3 'rank 2 of this host has no GPU, there are 2' \
    FAKE_CUDA_DEVICES=2
