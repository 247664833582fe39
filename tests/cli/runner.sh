#!/bin/bash
# The test runner counts every case, and nothing that goes wrong passes for a success.
set -u
cd "$(dirname "$0")/../.." || exit 1
export UNIT_TIMEOUT=2

program() { # NAME BODY
    mkdir -p "$TMP/tests/x"
    printf '#!/bin/bash\n%s\n' "$2" >"$TMP/tests/x/$1"
    chmod +x "$TMP/tests/x/$1"
}
expect() { # CASE LAST_LINE STATUS PROGRAM...
    local out status
    out=$(tests/run-unit "${@:4}" 2>&1)
    status=$?
    if [ "$(tail -n 1 <<<"$out")" = "$2" ] && [ "$status" -eq "$3" ]; then
        echo "ok $1"
    else
        echo "$out" | sed 's/^/  | /'
        echo "not ok $1: expected '$2' and status $3, got status $status and the output above"
    fi
}

program good 'printf "1..2\nok 1 - a\nok 2 - b\n"'
program bad 'printf "1..2\nok 1 - a\nnot ok 2 - b\n# why\n"; exit 1'
program skips 'printf "1..2\nok 1 - a\nnot ok 2 # SKIP b\n"'
program tells 'printf "1..1\nskipped: no GPU is here\nnot ok 1 # SKIP b\n"'
program dies 'printf "1..3\nok 1 - a\n"; kill -9 $$'
program silent 'exit 0'
program leaks 'printf "1..1\nok 1 - a\n"; exit 23'
program hangs 'printf "1..1\n"; sleep 60'

x=$TMP/tests/x
expect runner_counts_each_case '2 passed, 0 failed, 0 skipped' 0 "$x/good"
expect runner_counts_failures '1 passed, 1 failed, 0 skipped' 1 "$x/bad"
expect runner_counts_skips_apart '1 passed, 0 failed, 1 skipped' 0 "$x/skips"
expect runner_fails_a_program_that_dies '1 passed, 1 failed, 0 skipped' 1 "$x/dies"
expect runner_fails_a_program_without_cases '0 passed, 1 failed, 0 skipped' 1 "$x/silent"
expect runner_fails_an_exit_code_after_success '1 passed, 1 failed, 0 skipped' 1 "$x/leaks"
expect runner_ends_what_hangs '0 passed, 1 failed, 0 skipped' 1 "$x/hangs"
expect runner_fails_a_missing_program '0 passed, 1 failed, 0 skipped' 1 "$x/absent"
if tests/run-unit "$x/tells" | grep -q 'skipped .*b: no GPU is here$'; then
    echo "ok runner_prints_why_a_case_is_skipped"
else
    echo "not ok runner_prints_why_a_case_is_skipped: its words are not there"
fi
expect runner_sums_programs '5 passed, 2 failed, 1 skipped' 1 \
    "$x/good" "$x/bad" "$x/skips" "$x/dies"
