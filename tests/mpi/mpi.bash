# shellcheck shell=bash
# Sourced by the MPI tests. PRECEPTOR is the program under test; the test programs lie beside it.
set -euo pipefail
: "${PRECEPTOR:?PRECEPTOR names the program under test}"
BIN=$(dirname "$PRECEPTOR")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# Results are lines 'ok CASE', 'not ok CASE: why', 'skip CASE: why' (tests/lib.sh).
ok() {
    echo "ok $*"
}

fail() {
    echo "not ok $*"
    exit 1
}

case ${MODE:-release} in asan | tsan) SLOWER=5 ;; *) SLOWER=1 ;; esac # of what takes time

# Ended at once on a failure; ranks share few cores.
MPIRUN=(mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1
    --mca odls_base_sigkill_timeout 0)

# ranks N [mpirun options] PROGRAM ARGS...: under a real mpirun, never longer than LIMIT seconds.
ranks() {
    local n=$1
    shift
    timeout "${LIMIT:-$((120 * SLOWER))}" "${MPIRUN[@]}" -n "$n" "$@"
}
