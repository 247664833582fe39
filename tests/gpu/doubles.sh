#!/bin/bash
# The tests of the device, the network and the trainer on the cuda backend, where CUDA's runtime and
# cuDNN are the fakes of tests/fakes. Then a few operations that the real cuDNN plans first.
# environment: BUILD_DIR (build/release), set by tests/check
set -u
here=$BUILD_DIR/tests/gpu/common
if [ ! -x "$here/device/test_device_ops" ]; then
    echo "skip doubles: no CUDA toolkit: built without the cuda backend"
    exit 0
fi

# passes NAME PROGRAM: every case of a cmocka program; the fakes end it with 99 when memory leaks
passes() {
    if timeout 300 "$here/$2" >"$TMP/out" 2>&1; then
        echo "ok $1"
    else
        grep -vE '^\[ *(RUN|OK) *\]' "$TMP/out" | tail -20
        echo "not ok $1: exit code $?, see above"
    fi
}

for t in device/test_device device/test_device_ops device/test_device_bits device/test_device_grad \
    nn/test_net nn/test_net_golden train/test_trainer; do
    passes "${t#*/}-on-the-fakes" "$t"
done
