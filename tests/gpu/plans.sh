#!/bin/bash
# Plans that cuDNN makes for GPUs that are only described: a representative few of those that
# `make gpu-plans` makes, and what the compiler says of our own kernels.
# environment: BUILD_DIR (build/release), set by tests/check
set -u
plans=$BUILD_DIR/tests/gpu/plans
build=${BUILD_DIR%/*}
mapfile -t logs < <(find "$build/cuda" -name 'cuda_*.o.log')
if [ ! -x "$plans" ]; then
    echo "skip plans: no CUDA toolkit: built without the cuda backend"
    exit 0
fi
export PRECEPTOR_PLAN_CACHE=$build/plan-cache # seconds for each fused graph, once
case ${MODE:-release} in
    asan | tsan)
        echo "skip plans: cuDNN's own libraries do the work, which no sanitizer sees"
        exit 0
        ;;
esac
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

# A plan that was kept is read back by another process, and one that is damaged is made again.
kept() {
    "$plans" recipes/gpus/h100.json resnetrs11_w16 8 0 28 f32 2>/dev/null
}
export PRECEPTOR_PLAN_CACHE=$TMP/plan-cache
first=$(kept)
stamps=$(stat -c '%n %Y %i' "$TMP"/plan-cache/*)
second=$(kept)
again=$(stat -c '%n %Y %i' "$TMP"/plan-cache/*)
for f in "$TMP"/plan-cache/*; do truncate -s 200 "$f"; done
third=$(kept)
if [ -n "$first" ] && [ "$first" = "$second" ] && [ "$first" = "$third" ] && [ "$stamps" = "$again" ] &&
    [ "$(find "$TMP/plan-cache" -size -2 | wc -l)" -eq 0 ]; then
    echo "ok plans-are-kept-on-disk-and-damaged-ones-made-again"
else
    echo "not ok plans-are-kept-on-disk-and-damaged-ones-made-again: the rows or files differ"
fi

# What ptxas says of each kernel for each architecture. A spill is a failure unless its kernel (a part of
# the mangled name) and architecture are in tests/gpu/spills.txt.
awk -v allowed=tests/gpu/spills.txt '
    BEGIN { while ((getline line <allowed) > 0) if (line !~ /^#|^$/) list[line] = 1 }
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4]; n[arch]++ }
    /bytes spill stores/ {
        for (i = 1; i <= NF; i++) if ($i == "spill") bytes += $(i - 2)
        if (bytes > 0) {
            for (l in list) { split(l, w, " "); if (index(kernel, w[1]) && arch == w[2]) bytes = 0 }
            if (bytes > 0) print arch " " kernel " spills " bytes " bytes"
        }
        bytes = 0
    }
    END { for (a in n) print n[a] " " a >"/dev/stderr" }' "${logs[@]}" >"$TMP/spills" 2>"$TMP/counts"
if [ "$(grep -cE ' sm_(80|90|100|120)$' "$TMP/counts")" -eq 4 ] && [ ! -s "$TMP/spills" ] &&
    [ "$(awk '{ print $1 }' "$TMP/counts" | sort -u | wc -l)" -eq 1 ]; then
    echo "ok kernels-compile-for-sm_80-90-100-120-without-spills"
else
    cat "$TMP/counts" "$TMP/spills"
    echo "not ok kernels-compile-for-sm_80-90-100-120-without-spills: see above"
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
