#!/bin/bash
# Each lint finds what it is there for: a small repository with one fault at a time.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
repo=$TMP/repo
mkdir -p "$repo/tests"
cp -r Makefile .clang-format "$repo"
cp -r tests/lint "$repo/tests"
for mk in common/*/module.mk */module.mk tests/*/module.mk; do
    mkdir -p "$repo/$(dirname "$mk")"
    printf '%s_SRC :=\n' "$(dirname "$mk")" >"$repo/$mk"
done
cd "$repo" || exit 1
git init -q .
printf '/** Nothing but a number. */\nenum { TESTS_HELP = 1 };\n' >tests/help.h

lint() { # NAME: status of that lint on what lies here
    git add -A
    BUILD_DIR=${objects:-none} tests/lint/run "$1" >"$TMP/out" 2>&1
}
finds() { # CASE LINT FILE CONTENT WORDS
    local clean=0 faulty=0
    lint "$2" || clean=$?
    mkdir -p "$(dirname "$3")"
    printf '%b' "$4" >"$3"
    lint "$2" || faulty=$?
    if [ "$clean" -eq 0 ] && [ "$faulty" -ne 0 ] && grep -qF -- "$5" "$TMP/out"; then
        echo "ok lint_finds_$1"
    else
        sed 's/^/  | /' "$TMP/out"
        echo "not ok lint_finds_$1: clean $clean, faulty $faulty, expected '$5' above"
    fi
    rm "$3"
}

finds bad_format format shards/x.c 'int x ;\n' 'shards/x.c:1:6'
finds wide_headers format shards/x.h "/* $(printf '%0110d' 1) */\n" 'shards/x.h:1:'
finds an_upward_include layers common/base/x.c '#include "common/nn/net.h"\n' \
    'common/base/x.c:1: common/base may not include common/nn/net.h'
finds a_student_that_sees_its_teacher layers student/x.c '#include "teacher/teacher.h"\n' \
    'student may not include teacher/teacher.h'
finds a_private_header_abroad layers shards/x.c '#include "common/image/x_impl.h"\n' \
    'common/image/x_impl.h is private to common/image'
finds a_library_away_from_home layers shards/x.c '#include <mpi.h>\n' '<mpi.h> has its home elsewhere'
printf '#include <jpeglib.h>\n' >common/image/a.c
finds a_second_home layers common/image/b.c '#include <jpeglib.h>\n' \
    '<jpeglib.h> has its home in common/image/a.c'
rm common/image/a.c
finds a_header_that_needs_another headers shards/x.h 'uint8_t shards_x(void);\n' 'uint8_t'
finds a_banned_call banned shards/x.c 'void f(char *a){\n    strcpy(a, "b"); }\n' 'shards/x.c:2:'
finds a_print_in_a_library banned shards/x.c 'void f(void){ printf("x"); }\n' 'output belongs to'
finds an_exit_in_a_library banned shards/x.c 'void f(void){ exit(1); }\n' 'only main ends'
finds a_raw_allocation banned shards/x.c 'void f(void){ g(malloc(1)); }\n' 'common/base/mem.h'
finds a_long_function sizes shards/x.c "int f(void)\n{\n$(printf '\\n%.0s' {1..80})}\n" \
    'f has 82 lines: at most 80'
finds a_long_file sizes shards/x.c "$(printf '\\n%.0s' {1..601})" '601 lines: at most 600'
finds an_unlisted_source modules shards/x.c 'int x;\n' 'shards/x.c is not in shards/module.mk'
mkdir docs
printf 'No tables.\n' >docs/PAPER.md
# shellcheck disable=SC2016 # the quotes are Markdown's
finds a_test_that_is_not_there paper docs/PAPER.md '| x | `golden.c` | `no_such_case` | |\n' \
    'no test no_such_case'
printf 'No tables.\n' >docs/PAPER.md
# shellcheck disable=SC2016
finds a_function_that_is_not_there paper docs/PAPER.md '| x | `no_such_function` | none | |\n' \
    'no function no_such_function'
finds a_path_of_a_machine paths shards/x.c "/* /tm""p/x */\n" 'shards/x.c:1:'

mkdir -p "$TMP/objects/shards"
objects=$TMP/objects
printf 'int shards_of_another_name; int x_good; static int hidden;int *x_use(void){return &hidden;}\n' |
    "${CC:-gcc}" -c -x c -o "$TMP/objects/shards/x.o" -
finds a_symbol_of_another_name symbols shards/x.c '' 'shards_of_another_name does not start'

# Words in comments and texts are no calls.
printf '/* strcpy(a) */\nconst char *f(void)\n{\n    return "printf(x) exit(1)";\n}\n' >shards/x.c
if lint banned; then
    echo "ok lint_leaves_comments_and_texts_alone"
else
    sed 's/^/  | /' "$TMP/out"
    echo "not ok lint_leaves_comments_and_texts_alone: see above"
fi
cd "$root" || exit 1
