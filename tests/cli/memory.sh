#!/bin/bash
# What label and train hold in memory does not depend on how large the corpus is: anonymous and shared pages
# (RssAnon + RssShmem), looked at all the time, with some images and with ten times as many.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"
export OMP_WAIT_POLICY=passive
case ${MODE:-release} in asan | tsan)
    echo "skip memory: a sanitizer's own memory would be counted"
    finish
    ;;
esac

idx() { # FILE IMAGES: gray noise of 28 px, never 0 (awk writes it)
    {
        # shellcheck disable=SC2059 # the size in octal
        printf "\0\0\010\003\0\0\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))\0\0\0\034\0\0\0\034"
        LC_ALL=C awk -v n="$2" 'BEGIN {
            x = 7
            for (i = 0; i < n * 784; i++) { x = (x * 16807) % 2147483647; printf "%c", 1 + x % 255 }
        }'
    } >"$1"
}

# peak ARGS...: the most kilobytes that the program holds while it runs with ARGS.
peak() {
    local most=0 kb key value _
    "$PRECEPTOR" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null &
    while [ -r "/proc/$!/status" ]; do
        kb=0
        while read -r key value _; do
            case $key in RssAnon: | RssShmem:) kb=$((kb + value)) ;; esac
        done 2>/dev/null <"/proc/$!/status"
        [ "$kb" -le "$most" ] || most=$kb
        [ "$kb" -gt 0 ] || break # it has ended
        sleep 0.002
    done
    wait $! || fail "'preceptor $1' fails: $(tail -n 1 "$WORK/err")"
    PEAK=$most
}

# How the end of a shard and the beginning of the next overlap is another on each run, and shows beside so small a
# network; with a real one 2 % hold (tests/bench/rows/7*).
close() { # CASE SMALL LARGE
    check "$1" test "$3" -le $(($2 * 5 / 4 + 2048))
}

idx "$WORK/few-images-idx3-ubyte" 480
idx "$WORK/many-images-idx3-ubyte" 4800
need pack --out "$WORK/labeled" "$PHOTOS"
for n in few many; do
    need pack --out "$WORK/$n" --unlabeled --shard-bytes 64K "$WORK/$n-images-idx3-ubyte"
done
need train --data "$WORK/labeled" --out "$WORK/t" "${TINY[@]}" --steps 2
for n in few many; do
    peak label --model "$WORK/t/model.safetensors" --data "$WORK/$n" --out "$WORK/l-$n" --threads 1 \
        --decoders 1 --size 32
    declare "label_$n=$PEAK"
    peak train --data "$WORK/labeled" --unlabeled "$WORK/$n" --labels "$WORK/l-$n" --out "$WORK/r-$n" \
        "${TINY[@]}" --micro-batch 12 --batch 6 --unlabeled-ratio 1 --steps 150 --decoders 1
    declare "train_$n=$PEAK"
done
# shellcheck disable=SC2154 # declared above
close label-holds-as-much-for-ten-times-the-images "$label_few" "$label_many"
# shellcheck disable=SC2154
close train-holds-as-much-for-ten-times-the-images "$train_few" "$train_many"
finish
