#!/bin/bash
# The tests of the device, the network and the trainer on the cuda backend, where CUDA's runtime and
# cuDNN are the fakes of tests/fakes. Then a few operations that the real cuDNN plans first.
# environment: BUILD_DIR (build/release), set by tests/check
set -u
build=${BUILD_DIR%/*}
here=$BUILD_DIR/tests/gpu/common
if [ ! -x "$here/device/test_device_ops" ]; then
    echo "skip doubles: no CUDA toolkit: built without the cuda backend"
    exit 0
fi

export PRECEPTOR_PLAN_CACHE=

# passes NAME PROGRAM: every case of a cmocka program; the fakes end it with 99 when memory leaks
passes() {
    local status=0
    timeout $((300 * ${SLOWER:-1})) "$here/$2" >"$TMP/out" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        echo "ok $1"
    else
        grep -vE '^\[ *(RUN|OK) *\]' "$TMP/out" | tail -20
        echo "not ok $1: exit code $status, see above"
    fi
}

# What a machine with a GPU is asked to run first: every operation against ref, and the rest.
case ${MODE:-release} in asan | tsan) export BRIEF=1 ;; esac # the minutes of gradients and bits: not there
FAKE_CUDA_DEVICES=2 QUICK=1 PRECEPTOR=$BUILD_DIR/tests/gpu/preceptor UNITS=$BUILD_DIR/tests/gpu \
    tests/gpu/first-contact.sh "$TMP/report" || cat "$TMP/report"

# The network's with every plan finalised by the real cuDNN, for a described H100, before it is run.
library=$(ldd "$BUILD_DIR/tests/gpu/plans" | awk '/libcudnn[.]so/ { print $3 }')
export FAKE_CUDNN_LIBRARY=${library%/*}/libcudnn_graph.so.9
export FAKE_CUDNN_DEVICE=recipes/gpus/h100.json
export LD_LIBRARY_PATH=$build/fakes${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# Under sanitizers fewer networks of it, since each plan is compiled without a cache. cuBLASLt, which
# cuDNN opens, leaks and is closed again, so that no frame names it; what we leak the runs above find.
export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
case ${MODE:-release} in
asan | tsan) passes test_net_stage-as-cudnn-plans-it nn/test_net_stage ;;
*) passes test_net-as-cudnn-plans-it nn/test_net ;;
esac
