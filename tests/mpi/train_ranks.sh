#!/bin/bash
# Data-parallel training: 1, 2 and 3 ranks give the same losses, every rank the same weights, equal
# runs equal bits; a rank without a micro-batch takes part; errors reach every rank.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"

program=$BIN/tests/mpi/train_ranks
[ -x "$program" ] || fail "train-ranks: '$program' is not built: run 'make tests'"
export OMP_WAIT_POLICY=passive

# train N NAME ARGS...: the sorted output in $WORK/NAME-N
train() {
    local n=$1 name=$2
    shift 2
    ranks "$n" "$program" "$@" >"$WORK/out" 2>"$WORK/err" || {
        cat "$WORK/out" "$WORK/err"
        fail "$name-on-$n-ranks"
    }
    sort "$WORK/out" >"$WORK/$name-$n"
}

# close NAME N: the losses of N ranks are those of 1 to a relative 1e-5.
close() {
    join -j 2 <(grep loss "$WORK/$1-1" | sort -k2,2) <(grep loss "$WORK/$1-$2" | sort -k2,2) |
        awk -v want="$3" '{ n++; d = ($3 - $5) / $3; if (d < 0) d = -d; if (d > worst) worst = d }
            END { printf "worst %.2g of %d steps\n", worst, n; exit !(n == want && worst < 1e-5) }' \
            >"$WORK/worst" || {
        cat "$WORK/worst"
        fail "$1: losses of $2 ranks differ from those of 1"
    }
}

# one NAME N: all ranks end with the same weights.
one() {
    [ "$(grep -c weights "$WORK/$1-$2")" -eq "$2" ] || fail "$1: not $2 digests"
    [ "$(grep weights "$WORK/$1-$2" | sort -u | wc -l)" -eq 1 ] ||
        fail "$1: the weights of $2 ranks differ among them"
}

for n in 1 2 3; do
    train "$n" small resnetrs11_w16 20 6 plain
    one small "$n"
    close small "$n" 20
    ok "twenty-steps-on-$n-ranks"
done

cp "$WORK/small-2" "$WORK/small-first"
train 2 small resnetrs11_w16 20 6 plain
cmp -s "$WORK/small-2" "$WORK/small-first" || fail "equal runs on 2 ranks differ"
ok "equal-runs-on-2-ranks-give-equal-bits"

for n in 1 2; do # several buckets
    train "$n" large resnetrs26_w32 3 2 plain
    one large "$n"
    close large "$n" 3
done
ok "buckets-of-a-larger-network"

for n in 1 3; do
    train "$n" idle resnetrs11_w16 4 2 plain
    one idle "$n"
    close idle "$n" 4
done
ok "a-rank-without-a-micro-batch-takes-part"

for n in 2 3; do
    train "$n" fail resnetrs11_w16 3 6 fail
    grep -qx "rank $((n - 1)): rc -3: the source of rank $((n - 1)) fails" "$WORK/fail-$n" ||
        fail "fail: the failed rank of $n does not say why"
    [ "$(grep -c "rc -7: .*rank $((n - 1)).*the source of rank" "$WORK/fail-$n")" -eq $((n - 1)) ] ||
        fail "fail: the other ranks of $n do not name the failed one"
    train "$n" poison resnetrs11_w16 3 6 poison
    grep -q "^rank 0: rc -4: step 1: .*first at fc.bias, images 0*2;" "$WORK/poison-$n" ||
        fail "poison: rank 0 of $n does not name layer and image"
    [ "$(grep -c "rc -7: " "$WORK/poison-$n")" -eq $((n - 1)) ] ||
        fail "poison: the other ranks of $n do not stop"
done
ok "errors-of-one-rank-reach-all"
