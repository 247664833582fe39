# shellcheck shell=bash
# Sourced by the tests of `label` after mpi.bash: a corpus of many small shards and a tiny teacher.
# DUMP (corpus), TEACHER (weights), IMAGES, SHARDS.
IMAGES=320

# idx_images FILE N SEED: N gray 28 px images of pseudo-random bytes (never 0: awk writes them).
idx_images() {
    {
        printf '\0\0\010\003\0\0\001\100\0\0\0\034\0\0\0\034'
        LC_ALL=C awk -v n="$2" -v seed="$3" 'BEGIN {
            x = seed
            for (i = 0; i < n * 784; i++) { x = (x * 16807) % 2147483647; printf "%c", 1 + x % 255 }
        }'
    } >"$1"
}

make_corpora() {
    local out=$WORK/setup.out
    idx_images "$WORK/train-images-idx3-ubyte" "$IMAGES" 7
    {
        printf '\0\0\010\001\0\0\001\100'
        LC_ALL=C awk -v n="$IMAGES" 'BEGIN { for (i = 0; i < n; i++) printf "%c", 1 + i % 5 }'
    } >"$WORK/train-labels-idx1-ubyte"
    idx_images "$WORK/dump-images-idx3-ubyte" "$IMAGES" 11
    {
        "$PRECEPTOR" pack --out "$WORK/labeled" "$WORK/train-images-idx3-ubyte" \
            "$WORK/train-labels-idx1-ubyte" &&
            "$PRECEPTOR" pack --unlabeled --shard-bytes 16K --out "$WORK/dump" \
                "$WORK/dump-images-idx3-ubyte" &&
            "$PRECEPTOR" train --data "$WORK/labeled" --out "$WORK/run" --model resnetrs11_w16 \
                --in-channels 1 --size 28 --batch 16 --steps 2 --device cpu
    } >"$out" 2>&1 || {
        cat "$out"
        fail "set-up: packing and training a tiny teacher"
    }
    DUMP=$WORK/dump
    TEACHER=$WORK/run/model.safetensors
    SHARDS=$(find "$DUMP" -name 'images-*.lmdb' | wc -l)
    [ "$SHARDS" -ge 10 ] || fail "set-up: only $SHARDS shards"
}

# label_sums DIR: the digests of the sealed label shards in DIR/*, in order.
label_sums() {
    find "$1" -name 'labels-*.lmdb' -print0 | sort -z | xargs -0 sha256sum | cut -d ' ' -f 1
}

# no_leftovers DIR: nothing but sealed shards, the manifest and int8's calibration.
no_leftovers() {
    [ -z "$(find "$1" -type f ! -name 'labels-[0-9]*.lmdb' ! -name labels.json \
        ! -name 'calibration-*.json')" ] &&
        [ -z "$(find "$1" -name '*.tmp.*')" ]
}

children() { # PID
    cat "/proc/$1"/task/*/children
}

# rank_pid MPIRUN_PID RANK: the process of a rank on this host.
rank_pid() {
    local pid
    for pid in $(children "$1"); do
        if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null |
            grep -qx "OMPI_COMM_WORLD_RANK=$2"; then
            echo "$pid"
            return 0
        fi
    done
    return 1
}

# sealed_at_least DIR N: wait until N label shards are sealed, at most 60 s.
sealed_at_least() {
    local i
    for ((i = 0; i < 6000; i++)); do
        [ "$(find "$1" -name 'labels-??????.lmdb' 2>/dev/null | wc -l)" -lt "$2" ] || return 0
        sleep 0.01
    done
    return 1
}

json_field() { # FILE NAME: a number
    sed -n "s/.*\"$2\": *\\([0-9.e+-]*\\).*/\\1/p" "$1"
}
