#!/bin/bash
# The first run on a machine with GPUs: what it is, whether every operation agrees with ref, how fast
# plans, inference and training are. Writes one report to send back.
# usage: tests/gpu/first-contact.sh [REPORT]
# environment: BUILD_DIR (build/release); PRECEPTOR, UNITS: the program and the folder of its tests,
#              so that the flow can be run on the fakes
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD_DIR:-build/release}
program=${PRECEPTOR:-$build/preceptor}
units=${UNITS:-$build/tests}
report=${1:-${TMP:-.}/first-contact.txt}
failed=0

step() { # NAME COMMAND...: its output goes to the report, its outcome to both
    local name=$1 start=$EPOCHREALTIME status=0
    shift
    echo "==== $name: $*" >>"$report"
    "$@" >>"$report" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || failed=1
    awk -v n="$name" -v s="$status" -v a="$start" -v b="$EPOCHREALTIME" \
        'BEGIN { printf "%s first-contact-%s: %.1f s\n", s ? "not ok" : "ok", n, b - a }' |
        tee -a "$report"
}

have_gpu() {
    "$program" doctor | tee -a "$report" | grep '^device cuda' | grep -v 'cannot start'
}

: >"$report"
if ! have_gpu; then
    echo "skip first-contact: no GPU can be used here, \`preceptor doctor\` says why"
    exit 0
fi
command -v nvidia-smi >/dev/null && step driver nvidia-smi
step operations "$units/common/device/test_device_ops"
step gradients "$units/common/device/test_device_grad"
step device "$units/common/device/test_device"
[ -n "${QUICK:-}" ] || step times "$units/common/device/test_device_ops" --bench cuda
echo "report: $report"
exit "$failed"
