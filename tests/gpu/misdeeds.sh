#!/bin/bash
# The fakes notice what they promise to notice (docs/GPU.md): each misdeed is done once on purpose.
set -u
program=$BUILD_DIR/tests/gpu/misdeeds
if [ ! -x "$program" ]; then
    echo "skip misdeeds: no CUDA toolkit: built without the cuda backend"
    exit 0
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # the process ends in the middle

# seen NAME EXIT_CODE PATTERN
seen() {
    local status=0
    timeout 60 "$program" "$1" >"$TMP/out" 2>&1 || status=$?
    if [ "$status" -eq "$2" ] && grep -qE "$3" "$TMP/out"; then
        echo "ok the-fake-sees-$1"
    else
        cat "$TMP/out"
        echo "not ok the-fake-sees-$1: exit code $status, expected $2 and '$3'"
    fi
}

seen none 0 'the last sum is 1998'
seen no-sync 1 'the last sum is 0'
seen no-event 1 'the last sum is 0'
FAKE_CUDA_EAGER=1 seen in-order 0 'the last sum is 1998'
FAKE_CUDA_EAGER=1 seen overtaken 1 'the last sum is 0'
seen leak 99 'fake cuda: 1 pieces of device memory, 4000 bytes, were never freed'
seen free-twice 99 'fake cuda: cudaFree of what was not allocated, or is free already'
seen use-after-free 99 'fake cuda: .*device memory .*after it was freed'
seen touch-from-host 99 'fake cuda: .*device memory .*by the host'
seen behind-the-end 99 'fake cuda: something was written behind the end of device memory'
seen far-behind-the-end 99 'fake cuda: .*device memory .*beyond its end'
seen default-stream 99 'fake cuda: work on a stream that does not exist'
seen sync-in-a-branch 99 'fake cuda: __syncthreads that only some threads of a block reach'
seen block-too-large 1 '^refused$'
seen wrong-channels 1 'shapes do not fit'
seen wrong-pixels 1 'shapes do not fit'
if [ -x "$BUILD_DIR/tests/gpu/nccl_ranks" ]; then
    seen nccl-not-asked 99 'fake nccl: a call on a communicator that is not ready'
    seen nccl-behind-the-end 99 'fake cuda: an address that is not of device memory'
    seen nccl-leak 99 'fake nccl: a communicator was never destroyed'
fi
