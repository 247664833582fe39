# What run-unit and check share. Sourced by bash, from the root of the repository.
# Every program's outcome is a file in $RESULTS of lines 'ok NAME', 'not ok NAME: why' and
# 'skip NAME: why'.
# shellcheck shell=bash

# Ranks of a test share few cores, and CI runs as root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_base_warn_component_unused=0
export OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMP_WAIT_POLICY=passive
export PRECEPTOR_PLAN_CACHE= # no test writes into the user's cache

lint_dir=$PWD/tests/lint
export LSAN_OPTIONS="suppressions=$lint_dir/lsan.supp:print_suppressions=0"
export ASAN_OPTIONS="fast_unwind_on_malloc=0:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="suppressions=$lint_dir/tsan.supp:history_size=5:allocator_may_return_null=1:ignore_noninstrumented_modules=1"

# How many times longer everything may take (mpi.bash and cli.bash know it too): sanitizers are slow.
case ${1:-} in asan | tsan | */asan/* | */tsan/*) SLOWER=5 ;; *) SLOWER=1 ;; esac
export SLOWER
UNIT_TIMEOUT=${UNIT_TIMEOUT:-$((120 * SLOWER))}
SCRIPT_TIMEOUT=${SCRIPT_TIMEOUT:-$((600 * SLOWER))}

make_scratch() {
    SCRATCH=$(mktemp -d)
    RESULTS=$SCRATCH/results
    mkdir "$RESULTS"
    export SCRATCH RESULTS
    trap 'chmod -R u+w "$SCRATCH" 2>/dev/null; rm -rf "$SCRATCH"' EXIT
}

count_lines() { # PATTERN FILE...
    cat "${@:2}" /dev/null | grep -c "^$1 "
}

# One line for a finished program; its whole output if something failed.
report_program() { # KIND LABEL RESULT_FILE OUTPUT SECONDS
    local ok bad skipped
    ok=$(count_lines ok "$3")
    bad=$(count_lines 'not ok' "$3")
    skipped=$(count_lines skip "$3")
    {
        printf '%-5s %-44s %4d ok' "$1" "$2" "$ok"
        [ "$bad" -eq 0 ] || printf ', %d FAILED' "$bad"
        [ "$skipped" -eq 0 ] || printf ', %d skipped' "$skipped"
        printf '  %6.1f s\n' "$5"
        grep '^skip ' "$3" | sed 's/^skip /      skipped /'
        if [ "$bad" -gt 0 ]; then
            sed 's/^/    | /' "$4"
            grep '^not ok ' "$3" | sed 's/^/    /'
        fi
    } >"$4.report"
    cat "$4.report"
}

# cmocka's TAP to result lines; what was planned and not reported, and a bad end, count as failed.
tap_results() { # LABEL STATUS OUTPUT
    awk -v label="$1" -v status="$2" '
        /^1\.\.[0-9]+$/ { planned += substr($0, 4) }
        /^(# )?skipped: / { why = $0; sub(/^(# )?skipped: /, "", why); next }
        /^not ok [0-9]+ # SKIP/ {
            print "skip " label ":" $6 ": " (why != "" ? why : "skipped by itself")
            why = ""; done++; next
        }
        /^ok [0-9]+ - / { print "ok " label ":" $4; done++; next }
        /^not ok [0-9]+ - / { print "not ok " label ":" $5 ": see its output"; done++; bad++; next }
        END {
            if (status == 124 || status == 137)
                print "not ok " label ": ran longer than its time limit"
            else if (planned == 0)
                print "not ok " label ": reported no case, exit code " status
            else if (done < planned)
                print "not ok " label ": ended after " done + 0 " of " planned " cases, exit code " status
            else if (status != 0 && bad == 0)
                print "not ok " label ": exit code " status " after its cases (a leak, a sanitizer?)"
        }' "$3"
}

run_unit() { # BINARY
    local label=${1##*/tests/} name out status start
    name=${label//\//-}
    out=$SCRATCH/unit-$name.out
    mkdir -p "$SCRATCH/tmp-$name"
    start=$EPOCHREALTIME
    TMPDIR=$SCRATCH/tmp-$name CMOCKA_MESSAGE_OUTPUT=TAP \
        timeout -k 5 "$UNIT_TIMEOUT" "$1" >"$out" 2>&1 </dev/null
    status=$?
    tap_results "$label" "$status" "$out" >"$RESULTS/unit-$name"
    report_program unit "$label" "$RESULTS/unit-$name" "$out" "$(seconds_since "$start")"
    chmod -R u+w "$SCRATCH/tmp-$name"
    rm -rf "$SCRATCH/tmp-$name"
}

seconds_since() { # START of $EPOCHREALTIME
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

run_script() { # KIND SCRIPT LABEL
    local name=${3//\//-} out status start results
    out=$SCRATCH/$1-$name.out
    results=$RESULTS/$1-$name
    mkdir -p "$SCRATCH/tmp-$name"
    [ ! -t 1 ] || printf '%-5s %-44s ...\r' "$1" "$3"
    start=$EPOCHREALTIME
    TMP=$SCRATCH/tmp-$name TMPDIR=$SCRATCH/tmp-$name \
        timeout -k 10 "$SCRIPT_TIMEOUT" "$2" >"$out" 2>&1 </dev/null
    status=$?
    grep -aE '^(ok|not ok|skip) ' "$out" >"$results"
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "not ok $3: ran longer than $SCRIPT_TIMEOUT s" >>"$results"
    elif [ ! -s "$results" ]; then
        echo "not ok $3: reported no case, exit code $status" >>"$results"
    elif [ "$status" -ne 0 ] && ! grep -q '^not ok ' "$results"; then
        echo "not ok $3: exit code $status" >>"$results"
    fi
    report_program "$1" "$3" "$results" "$out" "$(seconds_since "$start")"
    chmod -R u+w "$SCRATCH/tmp-$name"
    rm -rf "$SCRATCH/tmp-$name"
}

export -f run_unit run_script tap_results report_program count_lines seconds_since
export UNIT_TIMEOUT SCRIPT_TIMEOUT

# shellcheck disable=SC2016 # the inner bash expands
run_units() { # BINARY...
    [ "$#" -eq 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" bash -c 'run_unit "$1"' _
}

# The failures again, then 'N passed, M failed, K skipped'; false if any failed.
print_sum() {
    local bad
    bad=$(count_lines 'not ok' "$RESULTS"/*)
    if [ "$bad" -gt 0 ]; then
        echo
        grep -h '^not ok ' "$RESULTS"/*
    fi
    echo "$(count_lines ok "$RESULTS"/*) passed, $bad failed, $(count_lines skip "$RESULTS"/*) skipped"
    [ "$bad" -eq 0 ]
}
