#!/bin/bash
# A recipe that is wrong is refused before anything starts, with file and line.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

recipe=$WORK/r.yaml
# with LINE...: a recipe of those lines after four good ones.
with() {
    printf '%s\n' "name: test" "run: {out: $WORK/out.d}" "pack: {labeled: {source: $PHOTOS}}" \
        "label: {top_k: all}" "$@" >"$recipe"
}

with 'teacher: {modle: resnetrs50}'
expect unknown-key-is-named-with-its-line 2 "r.yaml:5: unknown option 'modle'; did you mean 'model'\?" run "$recipe"
with 'teacher: {' '  batch: 0}'
expect value-out-of-range-is-named-with-its-line 2 "r.yaml:6: '0' is not a value of 'batch': expected" run "$recipe"
with 'teacher: {precision: f8}'
expect choice-that-is-none-is-named-with-its-line 2 "r.yaml:5: 'f8' is not a value of 'precision'" run "$recipe"
with 'techer: {lr: 1}'
expect unknown-section-is-named-with-its-line 2 "r.yaml:5: unknown section 'techer'; did you mean 'teacher'\?" run "$recipe"
with 'teacher: {out: elsewhere}'
expect key-that-run-sets-is-refused 2 "r.yaml:5: 'teacher.out' is set by .run. itself" run "$recipe"
with 'pack.evaluation: {source: x}'
expect unknown-part-of-pack-is-named 2 "r.yaml:5: unknown section 'pack.evaluation'" run "$recipe"
with 'run.rank: 2'
expect unknown-key-of-run-is-named 2 "r.yaml:5: unknown option 'rank'; did you mean 'ranks'\?" run "$recipe"
with 'teacher: [unclosed'
expect text-that-is-no-yaml-is-named-with-its-line 1 "r.yaml:[0-9]" run "$recipe"
with 'student: &a {lr: 1}'
expect anchors-are-refused 1 "r.yaml:5" run "$recipe"
with
expect set-of-an-unknown-key-is-named 2 "set teacher.lrr: unknown option 'lrr'; did you mean 'lr'\?" \
    run "$recipe" --set teacher.lrr=1
expect set-without-a-value-says-its-form 2 "set needs stage.key=value, got 'teacher.lr'" run "$recipe" --set teacher.lr
expect run-without-a-recipe-says-so 2 "run takes one recipe, got 0" run
expect run-of-a-missing-recipe-names-it 1 "cannot open '$WORK/none.yaml'" run "$WORK/none.yaml"
expect hostfile-launcher-needs-a-hostfile 2 "needs --hostfile" run "$recipe" --launcher hostfile --generations 0
expect students-need-a-dump 1 "r.yaml has no section pack.unlabeled" run "$recipe"
printf 'teacher: {lr: 1}\n' >"$recipe"
expect run-needs-a-folder 2 "r.yaml says no folder for the run" run "$recipe"
printf 'run: {out: %s}\nteacher: {lr: 1}\n' "$WORK/out.d" >"$recipe"
expect teachers-need-labels 1 "r.yaml has no section pack.labeled" run "$recipe" --generations 0
printf 'run: {out: %s}\npack: {labeled: {first: 3}}\n' "$WORK/out.d" >"$recipe"
expect packing-needs-a-source 1 "'pack.labeled' says neither a source to pack nor a corpus" run "$recipe" --generations 0
check nothing-was-started test ! -e "$WORK/out.d"

with
expect dry-run-prints-the-commands 0 "" run "$recipe" --generations 0 --dry-run --set teacher.steps=7 --seed 5
check dry-run-has-the-set grep -q -- '--steps=7' "$WORK/out"
check dry-run-has-the-seed grep -q -- '--seed=5' "$WORK/out"
check dry-run-starts-nothing test ! -e "$WORK/out.d"
timeout $((60 * SLOWER)) mpirun --oversubscribe -n 1 "$PRECEPTOR" run "$recipe" --generations 0 >"$WORK/out" 2>"$WORK/err" </dev/null
check run-under-mpirun-exits-with-2 test "$?" -eq 2
check run-under-mpirun-says-how grep -q "run starts mpirun itself" "$WORK/err"

# A dry run of train says what it will take, of every training that the recipe has.
for r in recipes/*.yaml; do
    expect "$(basename "$r")-has-a-dry-run-of-train" 0 "" train --recipe "$r" --dry-run
    lacks "$(basename "$r")-has-whole-numbers-in-full" "$WORK/out" '^[a-z_.]+: [0-9.]+e\+'
    trainings=$(grep -cE '^(train|teacher|student):' "$r")
    for line in 'cost +[0-9]+ parameters, [0-9.]+ GFLOP' 'step +[0-9]+ labeled [+] [0-9]+ unlabeled' \
        'run +[0-9]+ steps, [0-9]+ images, [0-9.e+]+ FLOP' 'lr +peak [0-9.]+ .lr scaled with rows' \
        'learning rate:'; do
        [ "$(grep -cE "^$line" "$WORK/out")" -eq "$trainings" ] ||
            fail "$(basename "$r")-has-a-dry-run-of-train: not $trainings times '$line'"
    done
done
for r in recipes/*.yaml; do
    if grep -q '^train:' "$r"; then
        expect "$(basename "$r")-is-a-recipe-of-train" 0 "" train --recipe "$r" --dry-run
    else
        expect "$(basename "$r")-is-a-recipe-of-run" 0 "" run "$r" --out "$WORK/none" --dry-run \
            --set pack.labeled.source=x --set pack.unlabeled.source=x --set pack.eval.source=x
    fi
done
finish
