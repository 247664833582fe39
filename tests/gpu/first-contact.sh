#!/bin/bash
# The first run on a machine with GPUs: what it is, whether every operation agrees with ref, whether
# networks train and label as on the CPU, how fast they are against timm's published figures, and how
# that scales over the GPUs with NCCL. Writes one report to send back.
# usage: make tests && tests/gpu/first-contact.sh [REPORT]
# environment: BUILD_DIR (build/release); PRECEPTOR, UNITS: the program and the folder of its tests, so
#              that the flow can be run on the fakes; QUICK=1: the same in seconds, with tiny networks
# shellcheck disable=SC2317 # step calls the functions
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD_DIR:-build/release}
program=${PRECEPTOR:-$build/preceptor}
units=${UNITS:-$build/tests/on_gpu}
report=${1:-${TMP:-.}/first-contact.txt}
quick=${QUICK:-}
failed=0
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PRECEPTOR_PLAN_CACHE=${PRECEPTOR_PLAN_CACHE-$WORK/plans}
MPIRUN=(mpirun --oversubscribe --bind-to none)

step() { # NAME COMMAND...: its output goes to the report, its outcome to both
    local name=$1 start=$EPOCHREALTIME status=0
    shift
    echo "==== $name: $*" >>"$report"
    "$@" >"$WORK/step" 2>&1 </dev/null || status=$?
    cat "$WORK/step" >>"$report"
    [ "$status" -eq 0 ] || failed=1
    awk -v n="$name" -v s="$status" -v a="$start" -v b="$EPOCHREALTIME" \
        'BEGIN { printf "%s first-contact-%s: %.1f s\n", s ? "not ok" : "ok", n, b - a }' |
        tee -a "$report"
}

have_gpu() {
    "$program" doctor | tee -a "$report" | grep '^device cuda' | grep -v 'cannot start'
}

# unit NAME: a program whose "cpu" is the GPU, else the common one, which knows all devices
unit() {
    if [ -x "$units/$1" ]; then echo "$units/$1"; else echo "$build/tests/$1"; fi
}

count_gpus() {
    if [ -n "${FAKE_CUDA_DEVICES:-}" ]; then
        echo "$FAKE_CUDA_DEVICES"
    else
        nvidia-smi --list-gpus | grep -c '^GPU'
    fi
}

# ---- networks train and label as on the CPU ---------------------------------------------------------

# curve DEVICE: the losses of five steps
curve() {
    "$program" train --data "$WORK/labeled" --out "$WORK/run-$1" --model resnetrs11_w16 \
        --in-channels 1 --size 28 --batch 32 --steps 5 --log-every 1 --device "$1" >"$WORK/log" 2>&1 ||
        { cat "$WORK/log"; return 1; }
    sed -n 's/.*"loss": *\([0-9.e+-]*\).*/\1/p' "$WORK/run-$1/metrics.jsonl" >"$WORK/curve-$1"
}

# confidences DEVICE PRECISION
confidences() {
    if ! "$program" label --model "$WORK/run-cpu/model.safetensors" --data "$WORK/labeled" --device "$1" \
        --precision "$2" --out "$WORK/labels-$1-$2" --quiet >"$WORK/log" 2>&1; then
        cat "$WORK/log"
        return 1
    fi
    "$program" export "$WORK/labels-$1-$2"/* --format jsonl --out "$WORK/labels.jsonl" >/dev/null || return 1
    sed -n 's/.*"confidence": *\([0-9.e+-]*\).*/\1/p' "$WORK/labels.jsonl" >"$WORK/confidences-$1-$2"
}

# near TOLERANCE FILE FILE
near() {
    paste "$2" "$3" | awk -v most="$1" '
        NF != 2 { bad = 1 }
        { d = $1 - $2; d = d < 0 ? -d : d; if (!(d <= most)) bad = 1; if (d > worst) worst = d }
        END { print "worst difference " worst " of " NR " numbers, allowed " most; exit bad || NR < 5 }'
}

data() {
    # shellcheck disable=SC2030,SC2031 # for make_corpora alone
    (
        PRECEPTOR=$program
        # shellcheck source=tests/mpi/label.bash
        . tests/mpi/label.bash
        fail() {
            echo "$*"
            exit 1
        }
        make_corpora
    )
}

trains_as_the_cpu() {
    data && curve cpu && curve cuda && near 1e-4 "$WORK/curve-cpu" "$WORK/curve-cuda"
}

labels_as_the_cpu() { # PRECISION TOLERANCE
    confidences cpu "$1" && confidences cuda "$1" &&
        near "$2" "$WORK/confidences-cpu-$1" "$WORK/confidences-cuda-$1"
}

# ---- speed ---------------------------------------------------------------------------------------------

# Images a second that timm's tables give for AMP in NHWC: of an RTX 4090 (inference, eager, PyTorch 2.4)
# and an RTX 3090 (training). Other cards: what they should be faster by is in docs/GPU.md.
published="infer resnetrs50 224 256 4033
infer resnetrs152 256 256 1435
infer resnetrs420 320 128 334
train resnetrs50 160 128 1686
train resnetrs152 256 64 282
train resnetrs420 320 16 56"
if [ -n "$quick" ]; then
    published="infer resnetrs11_w16 28 8 1
train resnetrs11_w16 28 8 1"
fi

speeds() {
    local kind model size batch theirs ours passes=30
    [ -z "$quick" ] || passes=2
    while read -r kind model size batch theirs; do
        ours=$("$(unit gpu/speed)" "$kind" "$model" "$size" "$batch" bf16 "$passes" cuda auto) || return 1
        awk -v o="$ours" -v t="$theirs" -v w="$kind $model $size px, batch $batch, bf16" \
            'BEGIN { split(o, p, " "); printf "%s: %.0f images/s, timm %d, %.2f times\n", w, p[3], t, p[3] / t }'
    done <<<"$published"
}

# scaling COLLECTIVE: images a second of 1, 2, 4, ... GPUs
scaling() {
    local n one="" line gpus args=(train resnetrs50 160 128 bf16 20)
    [ -z "$quick" ] || args=(train resnetrs11_w16 28 8 bf16 2)
    gpus=$(count_gpus)
    for n in 1 2 4 8; do
        [ "$n" -le "$gpus" ] || break
        line=$("${MPIRUN[@]}" -n "$n" "$(unit gpu/speed)" "${args[@]}" cuda "$1") || return 1
        [ -n "$one" ] || one=${line##* }
        awk -v l="$line" -v one="$one" 'BEGIN {
            split(l, p, " ")
            printf "%d GPUs by %s: %.0f images/s, %.2f of the ideal\n", p[1], p[2], p[3], p[3] / one / p[1] }'
    done
}

: >"$report"
if ! have_gpu; then
    echo "skip first-contact: no GPU can be used here, \`preceptor doctor\` says why"
    exit 0
fi
if command -v nvidia-smi >/dev/null; then
    step driver nvidia-smi
    step topology nvidia-smi topo -m
fi
step operations "$(unit common/device/test_device_ops)"
[ -n "${BRIEF:-}" ] || step gradients "$(unit common/device/test_device_grad)"
step device env PRECEPTOR_PLAN_CACHE= "$(unit common/device/test_device)"
[ -n "${BRIEF:-}" ] || step bits "$(unit common/device/test_device_bits)"
step logits-are-pytorchs "$(unit common/nn/test_net_golden)"
step copies-ahead "$(unit common/nn/test_net_stage)"
step trainer "$(unit common/train/test_trainer)"
step trains-as-the-cpu trains_as_the_cpu
step labels-as-the-cpu-in-f32 labels_as_the_cpu f32 1e-4
step labels-as-the-cpu-in-bf16 labels_as_the_cpu bf16 2e-2
[ -n "$quick" ] || step times "$(unit common/device/test_device_ops)" --bench cuda
step speed-against-timm speeds
cat "$WORK/step"
if grep '^nccl' "$report" | grep -q 'not here'; then
    echo "skip first-contact-scaling-by-nccl: the program has no NCCL, \`preceptor doctor\` says why"
else
    step scaling-by-nccl scaling nccl
    cat "$WORK/step"
fi
step scaling-by-mpi scaling mpi
cat "$WORK/step"
echo "report: $report"
exit "$failed"
