# shellcheck shell=bash
# shellcheck disable=SC2034 # what the caller uses
# Sourced by tests/torture/run after mpi.bash: the small world, its four stages, and their results.

# number N BYTES: big-endian, as IDX headers have them.
number() {
    local i
    for ((i = $2 - 1; i >= 0; i--)); do
        # shellcheck disable=SC2059 # an octal escape
        printf "\\$(printf %03o $((($1 >> (8 * i)) & 255)))"
    done
}

# idx_images FILE N SEED: N gray 28 px images of pseudo-random bytes (never 0: awk writes them).
idx_images() {
    {
        number 2051 4 && number "$2" 4 && number 28 4 && number 28 4
        LC_ALL=C awk -v n="$2" -v seed="$3" 'BEGIN {
            x = seed
            for (i = 0; i < n * 784; i++) { x = (x * 16807) % 2147483647; printf "%c", 1 + x % 255 }
        }'
    } >"$1"
}

# idx_labels FILE N: classes 1 to 5 in turn.
idx_labels() {
    {
        number 2049 4 && number "$2" 4
        LC_ALL=C awk -v n="$2" 'BEGIN { for (i = 0; i < n; i++) printf "%c", 1 + i % 5 }'
    } >"$1"
}

NET=(--model resnetrs11_w16 --in-channels 1 --size 28 --device cpu --threads 1)

# stage_args STAGE OUT: ARGS, the stage's command line with its result in the folder OUT.
stage_args() {
    case $1 in
        pack) ARGS=(pack --unlabeled --shard-bytes 64K --out "$2/corpus" "$SET/dump-images-idx3-ubyte") ;;
        label) ARGS=(label --model "$SET/teacher/model.safetensors" --data "$SET/dump" --out "$2"
            --size 56 --batch 4 --top-k 3 --device cpu --threads 1 --json) ;;
        select) ARGS=(select --labels "$SET/labels" --min-confidence 0 --per-class 700 --out "$2/s") ;;
        train) ARGS=(train --data "$SET/labeled" --unlabeled "$SET/dump" --labels "$SET/labels"
            --selection "$SET/selection/s.lmdb" "${NET[@]}" --batch 8 --unlabeled-ratio 1
            --micro-batch 4 --steps "$STEPS" --checkpoint-every 7 --log-every 1 --out "$2/run") ;;
    esac
}

# make_world IMAGES: the sources, the labeled set and a teacher; then each stage's undisturbed result,
# which the next stage reads.
make_world() {
    SET=$WORK/world
    mkdir -p "$SET/labels" "$SET/selection"
    idx_images "$SET/train-images-idx3-ubyte" 320 7
    idx_labels "$SET/train-labels-idx1-ubyte" 320
    idx_images "$SET/dump-images-idx3-ubyte" "$1" 11
    undisturbed 0 "$SET" pack --out "$SET/labeled" "$SET"/train-*-ubyte
    undisturbed 0 "$SET" train --data "$SET/labeled" "${NET[@]}" --batch 16 --steps 2 --out "$SET/teacher"
    stage_args pack "$WORK/want-pack"
    undisturbed 0 "$WORK/want-pack" "${ARGS[@]}"
    cp -r "$WORK/want-pack/corpus" "$SET/dump"
    stage_args label "$SET/labels"
    undisturbed 0 "$SET/labels" "${ARGS[@]}"
    stage_args select "$SET/selection"
    undisturbed 0 "$SET/selection" "${ARGS[@]}"
}

# launcher N: COMMAND is how the program starts on N ranks (0: without mpirun).
launcher() {
    COMMAND=("$PRECEPTOR")
    [ "$1" -eq 0 ] || COMMAND=("${MPIRUN[@]}" -n "$1" "$PRECEPTOR")
}

# undisturbed N OUT ARGS...: it must succeed; SECONDS_TAKEN.
undisturbed() {
    local start=$EPOCHREALTIME out=$2
    mkdir -p "$out"
    launcher "$1"
    shift 2
    timeout "$LIMIT" "${COMMAND[@]}" "$@" --quiet >"$WORK/undisturbed.out" 2>&1 </dev/null || {
        cat "$WORK/undisturbed.out"
        fail "an undisturbed '$*'"
    }
    SECONDS_TAKEN=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
}

# sealed OUT: what is finished in OUT, a line a file with its inode and time: none may change later. An
# image shard is sealed once the manifest names it, a label shard by its name alone.
sealed() {
    find "$1" -type f -name 'labels-??????.lmdb' -printf '%P %i %T@\n' | sort
    if [ -e "$1/corpus/corpus.json" ]; then
        find "$1/corpus" -type f -name 'images-??????.lmdb' -printf '%f %i %T@\n' | sort |
            join - <(grep -o 'images-[0-9]*.lmdb' "$1/corpus/corpus.json" | sort)
    fi
}

# images OUT: the packed images, a line each. A pack that is asked to stop seals what it has read, so its
# shards end elsewhere than the undisturbed ones'; the images are the same.
images() {
    "$PRECEPTOR" verify "$1/corpus" --quiet >/dev/null && "$PRECEPTOR" export "$1/corpus" --format csv |
        tail -n +2 | cut -d , -f 1 | LC_ALL=C sort
}

# result OUT: what the command has made, a line a thing that must not depend on kills.
result() {
    (
        cd "$1" || exit 1
        find . -type f ! -name 'state-*' ! -name 'model-*' ! -name checkpoint.json ! -name 'known.*' \
            ! -name metrics.jsonl ! -name result.json ! -name recipe.yaml | LC_ALL=C sort | xargs -r sha256sum
        if [ -e run/metrics.jsonl ]; then # a step once, and with the same loss
            sed -E 's/.*"step": ?([0-9]+).*"loss": ?([^,}]+).*/loss \2 step_\1/' run/metrics.jsonl
        fi
    )
}
