#!/bin/bash
# Labels in int8: calibrated by themselves, audited beside f32, not sealed where they drift.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need pack --unlabeled --out "$WORK/u" "$PHOTOS/discs" "$PHOTOS/tiles"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 60
model=$WORK/r/model.safetensors
label=(label --model "$model" --data "$WORK/u" --device cpu --quiet)

# number FILE NAME: of a JSON result.
number() {
    sed -n "s/.*\"$2\": *\\([0-9.e+-]*\\).*/\\1/p" "$1"
}

# apart FILE FILE: how far lines of logits are from each other, relative to the second's norm.
apart() {
    # shellcheck disable=SC2016 # awk's $
    awk 'NR == FNR { for (i = 1; i <= NF; i++) v[FNR, i] = $i; next }
        { for (i = 1; i <= NF; i++) { d += ($i - v[FNR, i]) ^ 2; s += $i ^ 2 } }
        END { print (FNR > 20 ? sqrt(d / s) : 1) }' "$1" "$2"
}

if ! "$PRECEPTOR" doctor 2>&1 | grep -q 'avx.*vnni\|avx512_core_bf16\|amx'; then
    expect int8-without-vnni-says-so 1 "does not compute in int8" "${label[@]}" --out "$WORK/l" \
        --precision int8
    finish
fi

need "${label[@]}" --out "$WORK/l" --precision int8 --json
cp "$WORK/out" "$WORK/first"
check labels-in-int8-are-audited-whole-where-the-shard-is-small \
    [ "$(sed -n 's/.*"audit": *{"images": *\([0-9]*\).*/\1/p' "$WORK/first")" -eq \
    "$(number "$WORK/first" labeled)" ]
# What is promised of a trained network: see docs/PAPER.md.
check int8-agrees-with-f32-on-a-trained-network \
    awk "BEGIN { exit !($(number "$WORK/first" agreement) >= 0.95) }"
check int8-moves-no-probability-far \
    awk "BEGIN { exit !($(number "$WORK/first" difference) <= 0.02) }"
need inspect "$WORK/l" --json
has inspect-shows-the-audit "$WORK/out" '"audit_agreement": *(1|0\.9)'
has inspect-names-the-calibration "$WORK/out" '"calibration": *"[0-9a-f]{64}"'
need verify "$WORK/l"
need select --labels "$WORK/l" --out "$WORK/s.lmdb" --min-confidence 0

# A corpus that has grown keeps the ranges of the first, so nothing is labeled twice.
need pack --unlabeled --out "$WORK/u" "$PHOTOS/stripes"
need "${label[@]}" --out "$WORK/l" --precision int8 --json
check a-grown-corpus-keeps-its-calibration \
    [ "$(number "$WORK/out" labeled)" -lt "$(number "$WORK/out" images)" ]
check one-calibration-is-kept [ "$(find "$WORK/l" -name 'calibration-*.json' | wc -l)" -eq 1 ]

# A drift above the limit: nothing is sealed, and the same command with another limit goes on.
expect labels-that-drift-are-not-sealed 1 \
    "labels of 'images-000000.lmdb' drift from f32 by 0[.0-9]*, more than --max-drift 0: .*resumes" \
    "${label[@]}" --out "$WORK/d" --precision int8 --max-drift 0
check no-shard-that-drifts-is-sealed [ -z "$(find "$WORK/d" -name 'labels-??????.lmdb')" ]
expect a-larger-limit-goes-on 0 "" "${label[@]}" --out "$WORK/d" --precision int8 --json
check nothing-is-labeled-again [ "$(number "$WORK/out" resumed)" -gt 0 ]

# bf16 on request; f32 agrees with itself.
need "${label[@]}" --out "$WORK/b" --precision bf16 --audit 5 --json
has bf16-is-audited-on-request "$WORK/out" '"audit": *\{"images": *[1-9]'
need "${label[@]}" --out "$WORK/f" --audit 1000 --max-drift 0 --json
has f32-does-not-drift-from-itself "$WORK/out" '"agreement": *1.0, *"difference": *0.0'
need "${label[@]}" --out "$WORK/g" --json
lacks f32-is-not-audited-by-itself "$WORK/out" '"audit"'

calibration=$(find "$WORK/l" -name 'calibration-*.json')
sed -i 's/"seed":/"sead":/' "$calibration"
expect a-damaged-calibration-is-named 1 "$(basename "$calibration")" "${label[@]}" --out "$WORK/l" \
    --precision int8

need eval --model "$model" --data "$WORK/c" --device cpu --precision int8 --json
cp "$WORK/out" "$WORK/one"
if timeout 120 mpirun --oversubscribe -n 3 "$PRECEPTOR" eval --model "$model" --data "$WORK/c" \
    --device cpu --precision int8 --json --threads 1 >"$WORK/out" 2>"$WORK/err"; then
    check eval-in-int8-is-the-same-on-3-ranks \
        [ "$(number "$WORK/out" top1)" = "$(number "$WORK/one" top1)" ]
else
    fail "eval-in-int8-is-the-same-on-3-ranks: $(cat "$WORK/err")"
fi
need predict --model "$model" --device cpu --precision int8 --logits "$PHOTOS"/*/*.jpg
cp "$WORK/out" "$WORK/int8"
need predict --model "$model" --device cpu --logits "$PHOTOS"/*/*.jpg
relative=$(apart "$WORK/int8" "$WORK/out")
check predicted-logits-are-near-f32 awk "BEGIN { exit !($relative > 0 && $relative < 0.05) }"
finish
