#!/bin/bash
# Plans that cuDNN makes for GPUs that are only described: a representative few of those that
# `make gpu-plans` makes, and what the compiler says of our own kernels.
# environment: BUILD_DIR (build/release), set by tests/check
set -u
plans=$BUILD_DIR/tests/gpu/plans
build=${BUILD_DIR%/*}
log=$build/cuda/cuda_kernels.o.log
if [ ! -x "$plans" ]; then
    echo "skip plans: no CUDA toolkit: built without the cuda backend"
    exit 0
fi
export LD_LIBRARY_PATH=$build/fakes${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # cuDNN's own libraries keep what they loaded

# makes NAME DEVICE MODEL BATCH TRAIN_SIZE TEST_SIZE [TYPE]: every operation has a plan that is ok
makes() {
    local rows
    if rows=$("$plans" "recipes/gpus/$2.json" "${@:3}" 2>"$TMP/why") && [ -n "$rows" ] &&
        ! grep -q '"ok": false' <<<"$rows"; then
        echo "ok $1"
    else
        cat "$TMP/why"
        grep '"ok": false' <<<"$rows"
        echo "not ok $1: a plan is missing, without tensor cores, or over the workspace cap"
    fi
}

makes h100-labels-photos-in-bf16 h100 resnetrs14_w32 256 0 128
makes b200-trains-small-images-in-bf16 b200 resnetrs11_w16 64 28 0
makes a100-labels-in-f32 a100 resnetrs50 64 0 224 f32

if [ "$(grep -c 'Compiling entry function' "$log")" -gt 0 ] &&
    ! grep -E '[1-9][0-9]* bytes spill' "$log"; then
    echo "ok kernels-compile-for-sm_80-90-100-120-without-spills"
else
    echo "not ok kernels-compile-for-sm_80-90-100-120-without-spills: see $log"
fi

# The same in a sandbox of a described device that does not exist.
echo '{"deviceName": "none"}' >"$TMP/bad.json"
if "$plans" "$TMP/bad.json" resnetrs50 1 0 160 >/dev/null 2>"$TMP/why"; then
    echo "not ok a-description-that-lacks-members-is-refused: it was taken"
elif grep -q 'cuDNN' "$TMP/why"; then
    echo "ok a-description-that-lacks-members-is-refused"
else
    echo "not ok a-description-that-lacks-members-is-refused: $(cat "$TMP/why")"
fi
