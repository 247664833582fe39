# shellcheck shell=bash
# Sourced by the command-line tests, which run from the root of the repository.
# PRECEPTOR is the program under test; results are lines 'ok CASE', 'not ok CASE: why',
# 'skip CASE: why' (tests/lib.sh).
set -uo pipefail
: "${PRECEPTOR:?PRECEPTOR names the program under test}"
WORK=$(mktemp -d)
trap 'chmod -R u+w "$WORK"; rm -rf "$WORK"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
case ${MODE:-release} in asan | tsan) SLOWER=5 ;; *) SLOWER=1 ;; esac # of what takes time
PHOTOS=tests/data/photos
BAD=tests/data/bad
FAILED=0

ok() {
    echo "ok $*"
}

fail() {
    echo "not ok $*"
    FAILED=1
}

# check CASE COMMAND...: the command succeeds.
check() {
    local name=$1
    shift
    if "$@"; then
        ok "$name"
    else
        fail "$name: '$*' is false"
    fi
}

# has CASE FILE PATTERN, lacks CASE FILE PATTERN: whether a line of the file matches (grep -E).
has() {
    check "$1" grep -qE -- "$3" "$2"
}
lacks() {
    if grep -qE -- "$3" "$2"; then
        fail "$1: '$2' holds '$(grep -E -m 1 -- "$3" "$2")'"
    else
        ok "$1"
    fi
}

# expect CASE CODE SENTENCE ARGS...: the program with ARGS ends with CODE and says on standard error
# one sentence, 'preceptor: ...', that matches SENTENCE (an extended regular expression; '' for none).
expect() {
    local name=$1 code=$2 sentence=$3 got said
    shift 3
    timeout $((120 * SLOWER)) "$PRECEPTOR" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    said=$(grep -c '^preceptor: ' "$WORK/err")
    if [ "$got" -ne "$code" ]; then
        fail "$name: exit code $got, not $code: $(tail -n 1 "$WORK/err")"
    elif [ -n "$sentence" ] && ! grep -qE "^preceptor: .*($sentence)" "$WORK/err"; then
        fail "$name: said '$(grep '^preceptor: ' "$WORK/err")', not '$sentence'"
    elif [ "$said" -ne "$([ -n "$sentence" ] && echo 1 || echo 0)" ]; then
        fail "$name: $said sentences: $(cat "$WORK/err")"
    else
        ok "$name"
    fi
}

# need ARGS...: a step of the set-up; the test ends if it fails.
need() {
    timeout $((300 * SLOWER)) "$PRECEPTOR" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null && return
    cat "$WORK/err"
    fail "setup: 'preceptor $*' failed"
    exit 1
}

# A network small enough to train in a second.
TINY=(--model resnetrs11_w16 --size 32 --batch 12 --micro_batch 6 --warmup_steps 2 --lr 0.1
    --ema_decay 0.9 --threads 1)

finish() {
    exit "$FAILED"
}
