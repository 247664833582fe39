#!/bin/bash
# NCCL on the fakes (docs/GPU.md): buckets reduced behind the work that computes them, ranks that differ,
# training as over MPI and on the CPU, and failures of one rank that end all with the cause named.
set -u
program=$BUILD_DIR/tests/gpu/preceptor
if [ ! -x "$BUILD_DIR/tests/gpu/nccl_ranks" ]; then
    echo "skip nccl: no CUDA toolkit with NCCL: built without it"
    exit 0
fi
PRECEPTOR=$program
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/../mpi/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/../mpi/label.bash"
export PRECEPTOR_PLAN_CACHE=$WORK/plans
export FAKE_CUDA_DEVICES=3
LIMIT=240

# buckets N CASE: the lines of all ranks in $WORK/out
buckets() {
    LIMIT=60 ranks "$1" "$BUILD_DIR/tests/gpu/nccl_ranks" "$2" >"$WORK/out" 2>&1 || true
}

# says COUNT PATTERN NAME
says() {
    [ "$(grep -cE "$2" "$WORK/out")" -ge "$1" ] || {
        tail -20 "$WORK/out"
        fail "$3: not $1 times '$2'"
    }
    ok "$3"
}

for n in 2 3; do
    buckets "$n" sum
    says "$n" '^ok$' "buckets-still-being-computed-are-summed-on-$n-ranks"
done
FAKE_CUDA_EAGER=1 buckets 2 sum
says 2 '^ok$' buckets-are-summed-where-queues-run-early
buckets 2 counts
says 2 'rc -1 .*: rank 1 reduces bucket 1 of 2001 numbers as its call 2, rank 0 bucket 1 of 2000 as call 2' \
    counts-that-differ-are-named-on-every-rank
buckets 3 counts
says 3 'rc -1 .*: rank 2 reduces bucket 1 of 2001 numbers .*, most ranks, as 0 bucket 1 of 2000' \
    the-rank-whose-count-differs-is-named
buckets 3 order
says 3 'rc -1 .*: rank 2 reduces bucket 1 of 1000 numbers as its call 1, most ranks, as 0 bucket 0 of 1000' \
    the-rank-with-buckets-in-another-order-is-named
buckets 2 unsaid
says 1 'fake nccl: call 2 of rank 0 reduces 1000 numbers at 0, of rank 1 1000 at 40000' \
    the-fake-sees-buckets-in-another-order
buckets 2 late
# rank 0 speaks after its patience of 2 s, and looks by the clock however slow each question is
soon='[2-9]'
[ "$SLOWER" -eq 1 ] || soon='[0-9]+'
says 1 "rank 0: rc -7 after $soon s: (rank 1|of the ranks one) has been waited for" \
    a-wait-in-nccl-ends-with-the-watchdog

FAKE_CUDA_DEVICES=1 buckets 2 sum
says 2 'rank 1 of this host has no GPU, there is 1: start one rank a GPU' a-second-rank-on-a-gpu-is-refused

make_corpora

# train_as NAME OPTION...: three steps of two ranks; the losses to $WORK/loss-NAME
train_as() {
    local name=$1
    shift
    ranks 2 "$PRECEPTOR" train --data "$WORK/labeled" --out "$WORK/run-$name" --model resnetrs11_w16 \
        --in-channels 1 --size 28 --batch 16 --micro-batch 8 --steps 3 --log-every 1 "$@" >"$WORK/out" 2>&1 || {
        tail -20 "$WORK/out"
        fail "train on two ranks as $name"
    }
    sed -n 's/.*"loss": *\([0-9.e+-]*\).*/\1/p' "$WORK/run-$name/metrics.jsonl" >"$WORK/loss-$name"
}

# near NAME A B
near() {
    paste "$WORK/loss-$2" "$WORK/loss-$3" | awk '
        NF != 2 { bad = 1 }
        { d = $1 - $2; d = d < 0 ? -d : d; if (!(d <= 1e-4)) bad = 1; if (d > worst) worst = d }
        END { if (NR != 3 || bad) { print "worst difference " worst " of " NR; exit 1 } }' ||
        fail "$1: the losses of $2 and $3 differ by more than 1e-4"
    ok "$1"
}

train_as cpu --device cpu
train_as nccl --device cuda --collective nccl
train_as mpi --device cuda --collective mpi
near gpus-that-reduce-by-nccl-train-as-cpus cpu nccl
near gpus-that-reduce-by-mpi-train-as-by-nccl nccl mpi
FAKE_NCCL_ABSENT=1 train_as absent --device cuda
says 1 'gradients go through host memory and MPI: NCCL is not on this machine' \
    a-machine-without-nccl-trains-over-mpi-and-says-so
cmp -s "$WORK/loss-mpi" "$WORK/loss-absent" || fail "without NCCL the losses are not those of MPI"

# fails_on_1 NAME SECONDS PATTERN VARIABLE=VALUE...: rank 1 alone has the fault; all end in time
fails_on_1() {
    local name=$1 most=$2 pattern=$3 status=0 start=$EPOCHREALTIME
    shift 3
    rm -rf "$WORK/run-fail"
    # shellcheck disable=SC2016 # the inner bash expands
    ranks 2 bash -c '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || export '"$*"'; exec "$0" "$@"' "$PRECEPTOR" \
        train --data "$WORK/labeled" --out "$WORK/run-fail" --model resnetrs11_w16 --in-channels 1 \
        --size 28 --batch 16 --micro-batch 8 --steps 3 --device cuda --collective nccl \
        >"$WORK/out" 2>&1 || status=$?
    if [ "$status" -eq 0 ] || [ "$status" -ge 124 ] ||
        awk -v a="$start" -v b="$EPOCHREALTIME" -v m="$most" 'BEGIN { exit b - a < m }'; then
        tail -20 "$WORK/out"
        fail "$name: exit code $status after more than $most s, or none"
    fi
    says 1 "$pattern" "$name"
}

fails_on_1 nccl-that-does-not-start-ends-all-ranks 20 \
    'rank 1: NCCL on rank 1: its start: unhandled system error: the network is unreachable' \
    FAKE_NCCL_FAIL_AT=0
fails_on_1 an-error-of-nccl-ends-all-ranks 20 \
    'rank 1: NCCL on rank 1: .*all-reduce.*: the network is unreachable' FAKE_NCCL_FAIL_AT=4
fails_on_1 a-gpu-that-one-rank-loses-ends-all-ranks 20 \
    'rank 1: .*GPU 1: .*fallen off the bus' FAKE_CUDA_FAIL_AT=400
fails_on_1 gpu-memory-that-one-rank-lacks-ends-all-ranks 20 \
    'rank 1: GPU 1: out of memory: .* MiB for .*' FAKE_CUDA_MEMORY=3000000
