#!/bin/bash
# Verbs, options and help: what a wrong command line gets, and what a right one prints.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

expect no-verb-is-wrong-usage 2 "a verb is missing; preceptor --help lists the verbs"
expect unknown-verb-names-the-nearest 2 "unknown verb 'lable'; did you mean 'label'\?" lable
expect unknown-verb-far-from-all-points-to-help 2 "unknown verb 'xyzzyx'; preceptor --help" xyzzyx
expect unknown-global-option-is-named 2 "unknown option '--frob'" --frob
expect version-is-printed 0 "" --version
check version-is-one-line test "$(wc -l <"$WORK/out")" -eq 1
expect help-lists-the-verbs 0 "" --help
cp "$WORK/out" "$WORK/help"
mapfile -t verbs < <(sed -nE 's/^  ([a-z]+) +[a-zA-Z].*/\1/p' "$WORK/help" | grep -v '^preceptor$')
check help-lists-ten-verbs-or-more test "${#verbs[@]}" -ge 10

for verb in "${verbs[@]}"; do
    expect "$verb-help-is-given" 0 "" "$verb" --help
    cp "$WORK/out" "$WORK/verb-help"
    check "$verb-help-names-the-verb" grep -q "preceptor $verb" "$WORK/verb-help"
    # export's output is data: --format says which kind
    [ "$verb" = export ] || check "$verb-help-explains-json" grep -qE -- '--json' "$WORK/verb-help"
    lacks "$verb-help-has-no-escapes-in-a-file" "$WORK/verb-help" $'\033'
    lacks "$verb-help-fits-100-columns" "$WORK/verb-help" '^.{101}'
    expect "help-$verb-is-given" 0 "" help "$verb"
    check "help-$verb-equals-$verb-help" cmp -s "$WORK/out" "$WORK/verb-help"
    expect "$verb-names-an-unknown-option" 2 "unknown option '--frobnicate'" "$verb" --frobnicate
    expect "$verb-takes-quiet-before-it" 0 "" --quiet "$verb" --help
done

expect option-misspelt-names-the-nearest 2 "unknown option '--modle'; did you mean '--model'\?" eval --modle x
expect option-without-value-says-what-it-needs 2 "--data needs a value" eval --data
expect number-out-of-range-says-the-range 2 "'0' is not a value of 'batch': expected .*from 1 to" eval --batch 0
expect choice-that-is-none-lists-the-choices 2 "'f8' is not a value of 'precision': expected .*f32" eval --precision f8
expect eval-without-model-says-so 2 "eval needs --model" eval
expect eval-without-data-says-so 2 "eval needs --data" eval --model x

"$PRECEPTOR" models | head -n 1 >/dev/null
check broken-pipe-is-no-crash test "${PIPESTATUS[0]}" -eq 0
if [ -w /dev/full ]; then
    "$PRECEPTOR" models >/dev/full 2>"$WORK/err"
    check full-standard-output-is-an-error test "$?" -eq 1
    check full-standard-output-is-named grep -q "standard output" "$WORK/err"
else
    echo "skip full-standard-output-is-an-error: no /dev/full here"
fi

expect models-lists-the-family 0 "" models
check models-counts-resnetrs50 grep -qE '^resnetrs50 +35691912 ' "$WORK/out"
check models-counts-resnetrs420 grep -qE '^resnetrs420 +191891656 ' "$WORK/out"
expect models-shows-memory 0 "" models resnetrs11_w16 --memory
has models-memory-is-shown "$WORK/out" ' MiB .* MiB '
lacks models-memory-is-not-zero "$WORK/out" ' 0.0 MiB'
expect models-measures-speed 0 "" models resnetrs11_w16 --speed --no-memory --size 28 --batch 8
check models-speed-is-shown grep -qE '^resnetrs11_w16 .* 28 +[1-9][0-9]*\.[0-9] +([1-9][0-9]*\.[0-9]|-) ' "$WORK/out"
expect models-unknown-member-is-named 2 "no member of the family is named 'resnet50'" models resnet50
expect doctor-looks-at-a-folder 0 "" doctor "$WORK"
check doctor-tells-the-device grep -q '^device cpu .*oneDNN' "$WORK/out"
check doctor-tells-ranks-and-threads grep -qE '^ranks .*each [0-9]+ threads? ' "$WORK/out"
check doctor-tells-free-space grep -qE '^folder .*GiB free' "$WORK/out"

# json CASE ARGS...: standard output is one JSON document.
json() {
    local name=$1
    shift
    "$PRECEPTOR" "$@" >"$WORK/out" 2>"$WORK/err"
    check "$name" python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$WORK/out"
}
if command -v python3 >/dev/null; then
    json models-json-parses models --json
    json doctor-json-parses doctor --json
    json models-memory-json-parses models resnetrs11_w16 --memory --json
else
    echo "skip json-parses: no python3 here"
fi
finish
