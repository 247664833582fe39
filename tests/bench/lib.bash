# What tests/bench/run and the rows share. Sourced by bash, from the root of the repository.
# shellcheck shell=bash
export BUILD_DIR=${BUILD_DIR:-build/release} BENCH_OUT=${BENCH_OUT:-build}
export BENCH_DATA=$BENCH_OUT/bench-data          # photos, corpora, models: made once, kept
export BENCH_VENV=$BENCH_OUT/bench-venv          # the peers' Python environment
export BENCH_SECONDS=${BENCH_SECONDS:-15}        # of one measurement
export TORCHINDUCTOR_CACHE_DIR=$BENCH_DATA/inductor
export PRECEPTOR=${PRECEPTOR:-$BUILD_DIR/preceptor}
# shellcheck disable=SC2034
row_dir=tests/bench/rows
bench_bin=$BUILD_DIR/tests/bench

# peer SCRIPT ARGS: a peer, in the environment that `make bench-peers` made.
peer() {
    PYTHONDONTWRITEBYTECODE=1 "${BENCH_PYTHON:-$BENCH_VENV/bin/python}" "tests/bench/peers/$1" "${@:2}"
}

# Make a thing of $BENCH_DATA once: `make_once NAME COMMAND...`, COMMAND gets the path; prints it.
make_once() {
    local path=$BENCH_DATA/$1
    if [ ! -e "$path" ]; then
        mkdir -p "$BENCH_DATA"
        rm -rf "$path.part"
        "${@:2}" "$path.part" >&2
        mv "$path.part" "$path"
    fi
    echo "$path"
}

# Full-size JPEGs in class folders: $BENCH_PHOTOS, or mosaics of the photos of tests/data.
photos_fill() { # OUT
    find tests/data/photos -name '*.jpg' | sort | "$bench_bin/bench_photos" "$1" 2048 1
}
photos() {
    if [ -n "${BENCH_PHOTOS:-}" ]; then
        echo "$BENCH_PHOTOS"
    else
        make_once photos photos_fill
    fi
}

corpus_fill() { # OUT
    "$PRECEPTOR" pack --quiet --out "$1" "$(photos)"
}
corpus() {
    make_once corpus corpus_fill
}

model_fill() { # OUT
    "$bench_bin/bench_net" model "$1" resnetrs50 3 1000
}
model() {
    make_once resnetrs50.safetensors model_fill
}

# Ten thousand of them: each mosaic ten times, with other bytes.
many_fill() { # OUT
    find tests/data/photos -name '*.jpg' | sort | "$bench_bin/bench_photos" "$1" 1024 10
}
many_photos() {
    if [ -n "${BENCH_PHOTOS:-}" ]; then
        echo "$BENCH_PHOTOS"
    else
        make_once many-photos many_fill
    fi
}
