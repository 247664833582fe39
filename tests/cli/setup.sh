#!/bin/bash
# scripts/setup with stand-ins for Debian's tools: what it says, calls and returns.
set -u
cd "$(dirname "$0")/../.." || exit 1
bin=$TMP/bin
log=$TMP/calls
mkdir -p "$bin"

tool() { # NAME BODY
    printf '#!/bin/bash\n%s\n' "$2" >"$bin/$1"
    chmod +x "$bin/$1"
}
# Every package is installed but those named in $TMP/missing.
tool dpkg-query "for p in \"\${@:3}\"; do
    grep -qxF \"\$p\" $TMP/missing || printf 'installed:%s ' \"\$p\"
done"
tool apt-get "echo \"apt-get \$*\" >>$log
[ ! -e $TMP/stale ] || [ \"\$1\" = update ] || { echo 'E: Unable to locate package'; exit 100; }
[ \"\$1\" != update ] || rm -f $TMP/stale
[ \"\$1\" != install ] || [ -e $TMP/broken ] || : >$TMP/missing"
# shellcheck disable=SC2016 # the tools expand
tool id 'echo "${FAKE_UID:-0}"'
# shellcheck disable=SC2016
tool sudo 'shift; [ -n "${FAKE_SUDO:-}" ] && exec "$@"; exit 1'

setup() {
    : >"$log"
    PATH=$bin:$PATH scripts/setup "$@" >"$TMP/out" 2>&1
    status=$?
}
verdict() { # NAME CONDITION...
    if "${@:2}"; then
        echo "ok $1"
    else
        sed 's/^/  | /' "$TMP/out" "$log"
        echo "not ok $1: status $status, the output and the calls are above"
    fi
}
said() {
    grep -qF -- "$1" "$TMP/out"
}
called() {
    grep -qF -- "$1" "$log"
}

: >"$TMP/missing"
setup
silent() {
    [ "$status" -eq 0 ] && [ ! -s "$TMP/out" ] && [ ! -s "$log" ]
}
verdict setup_says_nothing_when_all_is_there silent

printf 'libdnnl-dev\nliblmdb-dev\n' >"$TMP/missing"
setup
installed() {
    [ "$status" -eq 0 ] && said 'packages are missing: libdnnl-dev liblmdb-dev' &&
        called 'install -y --no-install-recommends libdnnl-dev liblmdb-dev' && ! called update
}
verdict setup_names_and_installs_what_is_missing installed

echo libyaml-dev >"$TMP/missing"
touch "$TMP/stale"
setup
updated() {
    [ "$status" -eq 0 ] && called update && [ "$(grep -c install "$log")" -eq 2 ]
}
verdict setup_fetches_the_lists_when_they_are_stale updated

echo libyaml-dev >"$TMP/missing"
FAKE_UID=1000 setup
told() {
    [ "$status" -eq 1 ] && [ ! -s "$log" ] &&
        said 'apt-get update && apt-get install -y --no-install-recommends libyaml-dev'
}
verdict setup_without_root_and_sudo_prints_the_command told

FAKE_UID=1000 FAKE_SUDO=1 setup
with_sudo() {
    [ "$status" -eq 0 ] && called 'install -y --no-install-recommends libyaml-dev'
}
verdict setup_uses_sudo_where_it_asks_no_password with_sudo

echo libyaml-dev >"$TMP/missing"
touch "$TMP/broken"
setup
refused() {
    [ "$status" -eq 1 ] && said 'still missing after apt-get install: libyaml-dev'
}
verdict setup_says_what_is_still_missing refused
rm "$TMP/broken"

echo clang >"$TMP/missing"
setup
without_clang() {
    [ "$status" -eq 0 ] && [ ! -s "$log" ]
}
verdict setup_leaves_clang_to_those_who_ask without_clang
setup --clang
with_clang() {
    [ "$status" -eq 0 ] && called 'install -y --no-install-recommends clang'
}
verdict setup_installs_clang_when_asked with_clang
