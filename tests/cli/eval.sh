#!/bin/bash
# `eval --temperature`: fitted to held-out images, judged on the others, the same on any ranks.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

need pack --out "$WORK/c" "$PHOTOS"
need train --data "$WORK/c" --out "$WORK/r" "${TINY[@]}" --steps 30
model=$WORK/r/model.safetensors
need eval --model "$model" --data "$WORK/c" --temperature
has eval-prints-the-temperature "$WORK/out" \
    '^fit +temperature [0-9.]+, to 8 held-out images; of the others NLL [0-9.]+ -> [0-9.]+, ECE'
need eval --model "$model" --data "$WORK/c"
lacks eval-without-it-fits-nothing "$WORK/out" 'temperature'

# number NAME: of the JSON result.
number() {
    sed -n "s/.*\"$1\": *\\([0-9.e+-]*\\).*/\\1/p" "$WORK/out"
}
need eval --model "$model" --data "$WORK/c" --temperature --json
t=$(number temperature)
check eval-judges-the-images-that-were-not-held-out grep -q '"held_out":8,"images":28,' "$WORK/out"
if timeout $((120 * SLOWER)) mpirun --oversubscribe -n 3 "$PRECEPTOR" eval --model "$model" --data "$WORK/c" \
    --temperature --json --threads 1 >"$WORK/out" 2>"$WORK/err"; then
    check eval-fits-the-same-temperature-on-3-ranks \
        awk "BEGIN { d = $(number temperature) / $t - 1; exit !(d < 1e-5 && d > -1e-5) }"
else
    fail "eval-fits-the-same-temperature-on-3-ranks: $(cat "$WORK/err")"
fi
finish
