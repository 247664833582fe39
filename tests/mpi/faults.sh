#!/bin/bash
# Disks that fail, fill up or do not answer, and clocks that jump, in one rank of several and in a lone
# process: the failure is named, nothing hangs, and the same command again ends with the undisturbed
# result. tests/fakes/faults.c makes the faults.
# shellcheck source=tests/mpi/mpi.bash
. "$(dirname "$0")/mpi.bash"
# shellcheck source=tests/mpi/label.bash
. "$(dirname "$0")/label.bash"

case ${MODE:-release} in
    asan | tsan)
        echo "skip faults: a preloaded library and a sanitizer do not go together"
        exit 0
        ;;
esac
FAULTS_SO=$BIN/tests/fakes/faults.so
[ -e "$FAULTS_SO" ] || fail "faults: '$FAULTS_SO' is not built: run 'make tests'"
make_corpora

label_args() { # OUT
    echo label --model "$TEACHER" --data "$DUMP" --out "$1" --quiet --json --threads 1 --batch 4 --top-k 3 \
        --device cpu
}
TRAIN=(train --data "$WORK/labeled" --model resnetrs11_w16 --in-channels 1 --size 28 --batch 16
    --micro-batch 4 --steps 30 --checkpoint-every 4 --device cpu --threads 1 --quiet --watchdog 20)

# faulty FAULTS N OUT ARGS...: the program under faults on N ranks (0: without mpirun); STATUS, $OUT.err.
# RANK=R: in that rank alone; RECOVERY=1: mpirun lets the others live.
faulty() {
    local faults=$1 n=$2 out=$3 with=()
    shift 3
    [ "$n" -eq 0 ] || with=("${MPIRUN[@]}" ${RECOVERY:+--enable-recovery} -n "$n")
    STATUS=0
    timeout 60 "${with[@]}" env LD_PRELOAD="$FAULTS_SO" FAULTS="$faults" ${RANK:+FAULT_RANK="$RANK"} \
        FAULT_CLOCK="${CLOCK:-0}" "$PRECEPTOR" "$@" >"$out.json" 2>"$out.err" </dev/null || STATUS=$?
}

# said CASE SENTENCE
said() {
    grep -qE "$2" "$OUT.err" || {
        cat "$OUT.err"
        fail "$1: exit code $STATUS, and not said: $2"
    }
}

# ended_badly CASE: by itself, and not as if all were well.
ended_badly() {
    case $STATUS in 0 | 124) fail "$1: exit code $STATUS" ;; esac
}

# labels_complete CASE: the same command without faults ends with the undisturbed labels.
labels_complete() {
    local before
    before=$(find "$OUT" -name 'labels-??????.lmdb' -printf '%f %i\n' 2>/dev/null | sort)
    # shellcheck disable=SC2046 # words
    ranks 2 "$PRECEPTOR" $(label_args "$OUT") >"$OUT.json" 2>"$OUT.err2" || {
        cat "$OUT.err" "$OUT.err2"
        fail "$1: the second run"
    }
    [ -z "$(comm -23 <(echo "$before") <(find "$OUT" -name 'labels-??????.lmdb' -printf '%f %i\n' | sort))" ] ||
        fail "$1: a sealed shard was redone"
    label_sums "$OUT" | cmp - "$WORK/want" || fail "$1: other labels than undisturbed"
    no_leftovers "$OUT" || fail "$1: temporary files are left"
}

OUT=$WORK/undisturbed
# shellcheck disable=SC2046 # words
ranks 2 "$PRECEPTOR" $(label_args "$OUT") >"$OUT.json" 2>"$OUT.err" || {
    cat "$OUT.err"
    fail "undisturbed labels"
}
label_sums "$OUT" >"$WORK/want"

# FAULTS | ranks | the failing one | what is said
while read -r -u 3 name faults n rank sentence; do
    OUT=$WORK/$name
    # shellcheck disable=SC2046 # words
    RANK=$rank faulty "$faults" "$n" "$OUT" $(label_args "$OUT")
    [ "$STATUS" -ne 0 ] || fail "$name: exit code 0"
    said "$name" "preceptor: .*$sentence"
    labels_complete "$name"
    ok "label-with-$name"
done 3<<'CASES'
a-failing-sync-in-rank-1 sync:/labels-:5:eio 3 1 rank 1: .*labels-.*(Input/output error)
a-failing-write-in-rank-0 write:/labels-:20:eio 2 0 labels-.*(Input/output error)
a-failing-read-in-rank-3 read:/images-:3+:eio 4 3 images-.*(Input/output error)
a-full-disk-in-rank-1 write:/labels-:20+:full 2 1 labels-.*(No space left on device|the disk is full)
a-failing-manifest write:labels.json:1:eio 1 0 labels.json.*(Input/output error)
CASES

# A rank that hangs while its heartbeat goes on: it is named and ends; with recovery the others go on.
OUT=$WORK/hangs
# shellcheck disable=SC2046 # words
RECOVERY=1 RANK=2 faulty "write:/labels-:15:hang" 3 "$OUT" $(label_args "$OUT") --watchdog 2
said hang "rank 2 has been (labeling a batch of|sealing the labels of|opening) 'images-[0-9]*.lmdb' for [2-9] s"
said hang "rank 2 is lost"
label_sums "$OUT" | cmp - "$WORK/want" || fail "hang: other labels than undisturbed"
[ "$(json_field "$OUT.json" lost)" -eq 1 ] || fail "hang: the result does not say that a rank is lost"
labels_complete hang
ok label-with-a-rank-that-hangs

OUT=$WORK/hangs-first
# shellcheck disable=SC2046 # words
RANK=0 faulty "read:/images-:3:hang" 2 "$OUT" $(label_args "$OUT") --watchdog 2
ended_badly "rank 0 hangs"
said hang "rank 0 has been (opening|labeling a batch of) 'images-[0-9]*.lmdb' for [2-9] s"
labels_complete hang
ok label-with-a-rank-0-that-hangs

OUT=$WORK/hangs-alone
# shellcheck disable=SC2046 # words
faulty "sync:/labels-:5:hang" 0 "$OUT" $(label_args "$OUT") --watchdog 2
[ "$STATUS" -eq 1 ] || fail "alone and hanging: exit code $STATUS"
said hang "rank 0 has been .* for [2-9] s"
labels_complete hang
ok label-that-hangs-alone

OUT=$WORK/clock
# shellcheck disable=SC2046 # words
CLOCK=1000000 faulty "" 3 "$OUT" $(label_args "$OUT") --lost-after 2 --watchdog 20
[ "$STATUS" -eq 0 ] || fail "a clock that jumps: exit code $STATUS: $(cat "$OUT.err")"
# Open MPI measures its own timer with that clock, and says so.
! grep -q "preceptor\| W " "$OUT.err" || fail "a clock that jumps: said $(cat "$OUT.err")"
label_sums "$OUT" | cmp - "$WORK/want" || fail "a clock that jumps: other labels"
ok label-with-a-clock-that-jumps

# ---- training -----------------------------------------------------------------------------------------
OUT=$WORK/train
ranks 2 "$PRECEPTOR" "${TRAIN[@]}" --out "$OUT" >"$OUT.json" 2>"$OUT.err" || fail "undisturbed training"
cp "$OUT/model.safetensors" "$WORK/want.safetensors"

# train_completes CASE: the same command without faults ends with the undisturbed weights.
train_completes() {
    ranks 2 "$PRECEPTOR" "${TRAIN[@]}" --out "$OUT" --json >"$OUT.json" 2>"$OUT.err2" || {
        cat "$OUT.err" "$OUT.err2"
        fail "$1: the second run"
    }
    [ "$(json_field "$OUT.json" first_step)" -gt 0 ] || fail "$1: it started from nothing"
    cmp "$OUT/model.safetensors" "$WORK/want.safetensors" || fail "$1: other weights than undisturbed"
    [ -z "$(find "$OUT" -name '*.tmp.*')" ] || fail "$1: temporary files are left"
}

while read -r -u 3 name faults rank sentence; do
    OUT=$WORK/train-$name
    RANK=$rank faulty "$faults" 2 "$OUT" "${TRAIN[@]}" --out "$OUT"
    ended_badly "train with $name"
    said "$name" "preceptor: .*$sentence"
    train_completes "$name"
    ok "train-with-$name"
done 3<<'CASES'
a-failing-checkpoint write:state-00000012:2:eio 0 state-.*(Input/output error)
a-failing-sync sync:model-00000012:1:eio 0 model-.*(Input/output error)
a-full-disk write:state-00000012:1+:full 0 state-.*(No space left on device|the disk is full)
a-failing-list write:checkpoint.json:3:eio 0 checkpoint.json.*(Input/output error)
CASES

OUT=$WORK/train-clock
CLOCK=1000000 faulty "" 2 "$OUT" "${TRAIN[@]}" --out "$OUT"
[ "$STATUS" -eq 0 ] || fail "training with a clock that jumps: exit code $STATUS: $(cat "$OUT.err")"
cmp "$OUT/model.safetensors" "$WORK/want.safetensors" || fail "training with a clock that jumps: other weights"
ok train-with-a-clock-that-jumps

# A lone rank that hangs, and ranks that all hang, so that nobody waits for anybody.
while read -r -u 3 name faults n sentence; do
    OUT=$WORK/train-$name
    faulty "$faults" "$n" "$OUT" "${TRAIN[@]}" --watchdog 2 --out "$OUT"
    ended_badly "train with $name"
    said "$name" " W base: rank [01] has been $sentence' for [2-9] s"
    ranks 2 "$PRECEPTOR" "${TRAIN[@]}" --out "$OUT" >"$OUT.json" 2>"$OUT.err2" || {
        cat "$OUT.err" "$OUT.err2"
        fail "train with $name: the second run"
    }
    [ "$n" -eq 0 ] || cmp "$OUT/model.safetensors" "$WORK/want.safetensors" ||
        fail "train with $name: other weights than undisturbed"
    ok "train-with-$name"
done 3<<CASES
images-that-do-not-come read:/images-:1+:hang 0 reading images of '$WORK/labeled
images-that-come-to-no-rank read:/images-:1+:hang 2 reading images of '$WORK/labeled
a-checkpoint-that-hangs sync:/model-00000012:1:hang 0 saving a checkpoint in '$WORK/train-a-checkpoint-that-hangs
CASES

# ---- a rank 0 that dies while the others only wait for it ------------------------------------------------
OUT=$WORK/waiting
timeout $((60 * SLOWER)) "${MPIRUN[@]}" --enable-recovery -n 3 env LD_PRELOAD="$FAULTS_SO" FAULTS=sync:/images-:1:hang \
    "$PRECEPTOR" pack --unlabeled --quiet --out "$OUT" "$WORK/dump-images-idx3-ubyte" >"$OUT.json" 2>"$OUT.err" </dev/null &
TIMEOUT_PID=$!
for ((i = 0; i < 3000; i++)); do
    ! compgen -G "$OUT/images-*" >/dev/null || break
    sleep 0.01
done
kill -9 "$(rank_pid "$(children "$TIMEOUT_PID" | tr -d " ")" 0)"
STATUS=0
wait "$TIMEOUT_PID" || STATUS=$?
[ "$STATUS" -ne 124 ] || fail "ranks that wait for a dead rank 0 hang"
said waiting "preceptor: rank [12]: rank 0 is lost: its process is gone"
ok ranks-that-wait-for-a-dead-rank-0-end

# ---- packing what does not answer -------------------------------------------------------------------
mkdir "$WORK/slow" "$WORK/slow-tar"
cp tests/data/photos/discs/0[0-5].jpg "$WORK/slow"
tar cf "$WORK/slow-tar/in.tar" -C "$WORK/slow" .
while read -r -u 3 name faults source sentence; do
    OUT=$WORK/$name
    faulty "$faults" 0 "$OUT" pack --quiet --unlabeled --watchdog 2 --out "$OUT" "$WORK/$source"
    [ "$STATUS" -eq 1 ] || fail "pack with $name: exit code $STATUS"
    said "$name" " W base: pack has been $sentence' for [2-9] s"
    "$PRECEPTOR" pack --unlabeled --quiet --out "$OUT" "$WORK/$source" >"$OUT.json" 2>"$OUT.err2" ||
        fail "pack with $name: the second run: $(cat "$OUT.err2")"
    [ "$("$PRECEPTOR" inspect --json "$OUT" | grep -o '"images":[0-9]*' | head -n 1)" = '"images":6' ] ||
        fail "pack with $name: other images than undisturbed"
    ok "pack-with-$name"
done 3<<CASES
a-file-that-does-not-answer read:/03.jpg:1:hang slow reading '$WORK/slow/03.jpg
an-archive-that-does-not-answer read:/in.tar:2:hang slow-tar reading '$WORK/slow-tar/in.tar
a-corpus-that-does-not-answer sync:/images-:1:hang slow writing to '$WORK/a-corpus-that-does-not-answer
CASES

# ---- packing and selecting: alone ---------------------------------------------------------------------
for name in pack select; do
    case $name in
        pack)
            COMMAND=(pack --unlabeled --shard-bytes 16K --quiet "$WORK/dump-images-idx3-ubyte" --out)
            faults="sync:/images-:4:eio write:/images-:3:full write:corpus.json:2:eio sync:/known:1:eio"
            what=corpus.json
            cp "$DUMP/corpus.json" "$WORK/want.json"
            ;;
        select)
            COMMAND=(select --labels "$WORK/undisturbed" --min-confidence 0 --per-class 100 --quiet --out)
            faults="sync:/s.lmdb:1:eio write:/s.lmdb:2:full write:s.json:1:eio"
            what=s.lmdb
            "$PRECEPTOR" "${COMMAND[@]}" "$WORK/s" >/dev/null || fail "undisturbed selection"
            cp "$WORK/s.lmdb" "$WORK/want.json"
            ;;
    esac
    for fault in $faults; do
        OUT=$WORK/$name-${fault//[:\/+]/-}
        mkdir "$OUT"
        faulty "$fault" 0 "$OUT" "${COMMAND[@]}" "$OUT/$([ $name = pack ] || echo s)"
        [ "$STATUS" -eq 1 ] || fail "$name with $fault: exit code $STATUS: $(cat "$OUT.err")"
        said "$name with $fault" "preceptor: .*(Input/output error|No space left on device|the disk is full)"
        "$PRECEPTOR" "${COMMAND[@]}" "$OUT/$([ $name = pack ] || echo s)" >/dev/null 2>"$OUT.err2" ||
            fail "$name with $fault: the second run: $(cat "$OUT.err2")"
        cmp "$WORK/want.json" "$OUT/$what" || fail "$name with $fault: another result than undisturbed"
        [ -z "$(find "$OUT" -name '*.tmp.*')" ] || fail "$name with $fault: temporary files are left"
    done
    ok "$name-with-failing-and-full-disks"
done
