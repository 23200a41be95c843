#!/bin/sh
# Every test with the quick counts: release, address+undefined and thread sanitizer builds, formatter,
# linters, the second arbiter, the real binary over real sockets, the API against its OpenAPI document,
# the Debian package, whether the benchmarks run.
# Installs what is missing (Debian packages; for the API's document what npm and PyPI have, as it is
# locked). Ends with "N passed, N failed".
#
#   sh scripts/test.sh            under 20 minutes
#   sh scripts/test.sh --full     the long counts
#   sh scripts/test.sh --quick    release build only, while working
set -u
started=$(date +%s)
cd "$(dirname "$0")/.." || exit 1
. scripts/packages.sh

full="" presets="release address thread" lint=yes
for argument in "$@"; do
    case "$argument" in
    --full) full=--full ;;
    --quick) presets=release lint="" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
# All at once: what runs side by side below must not wait for each other's apt.
need_packages build test ${lint:+fuzz package openapi bench} ${full:+root} || exit 1
[ -z "$lint" ] || need_node || exit 1

passed=0 failed=0 run_ahead=""
output=$(mktemp -d)
# shellcheck disable=SC2086
trap '[ -z "$run_ahead" ] || kill $run_ahead 2>/dev/null; rm -rf "$output"' EXIT

# took: how long what began at `since` has taken, when that is worth telling.
took() {
    seconds=$(($(date +%s) - since))
    [ "$seconds" -lt 5 ] || echo ", $seconds s"
}

# check NAME COMMAND...: one check that passes or fails as a whole.
check() {
    name=$1
    shift
    since=$(date +%s)
    if "$@" >"$output/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name$(took)"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 60 "$output/log"
    fi
}

# count NAME COMMAND...: a test program that says "N passed, N failed" (in pytest's, busted's or our
# words) or cmocka's lines; a program that says nothing of the kind, or dies, is a failure.
count() {
    name=$1
    shift
    since=$(date +%s)
    "$@" >"$output/log" 2>&1
    status=$?
    good=$(sed -nE -e 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' \
        -e 's/^([0-9]+) passed, [0-9]+ failed.*/\1/p' \
        -e 's/^=*.* ([0-9]+) passed.* in .*/\1/p' -e 's/^([0-9]+) passed.* in .*/\1/p' \
        -e 's/^([0-9]+) success(es)? .*/\1/p' "$output/log" | tail -n 1)
    bad=$(sed -nE -e 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' \
        -e 's/^[0-9]+ passed, ([0-9]+) failed.*/\1/p' -e 's/^=*.*[ =]([0-9]+) failed.* in .*/\1/p' \
        -e 's/^([0-9]+) failed.* in .*/\1/p' \
        -e 's/^[0-9]+ success(es)? \/ ([0-9]+) failure.*/\2/p' "$output/log" | tail -n 1)
    good=${good:-0} bad=${bad:-0}
    [ "$status" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    [ "$good" -eq 0 ] && [ "$bad" -eq 0 ] && bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        echo "ok    $name ($good)$(took)"
    else
        echo "FAIL  $name ($good passed, $bad failed)"
        tail -n 80 "$output/log"
    fi
}

crowd_of() {
    [ "$1" = release ] && echo $((jobs * 10)) || echo $((jobs * 6))
}

# system_tests PRESET BUILD: many at a time, since they wait more than they compute; what fails in that
# crowd is run once more, alone, and is told in either case: a machine that was too busy is not a broken
# product, and not a silent one.
system_tests() {
    run="env DERD_BUILD=$PWD/$2 /usr/bin/python3 -m pytest -q -o cache_dir=$output/cache tests/system
        ${full:+--full}"
    since=$(date +%s)
    # shellcheck disable=SC2086
    if ! $run -n "$(crowd_of "$1")" >"$output/crowd" 2>&1 && grep -q ' passed' "$output/crowd"; then
        together=$(sed -nE 's/^(.* )?([0-9]+) passed.* in .*/\2/p' "$output/crowd" | tail -n 1)
        grep '^FAILED\|^ERROR' "$output/crowd" | sed 's/^/once more, alone: /'
        passed=$((passed + together))
        # shellcheck disable=SC2086
        count "$1: system, alone" $run --last-failed
    else
        echo "      $1: system tests$(took)"
        count "$1: system" cat "$output/crowd"
    fi
    rm -rf "$output/cache"
}

# side_by_side NAME NUMBER: runs the commands on standard input, each a line, NUMBER at a time.
# counted NAME PREFIX: counts what came of them, one by one, under the last word of the line. What
# failed is run once more, alone, as system tests are; not what a sanitizer has found.
side_by_side() {
    mkdir "$output/$1"
    xargs -P "$2" -I{} sh -c \
        'name="$0/$(basename "$1" .lua)"; echo "$1" >"$name.command"
        $1 >"$name.log" 2>&1; echo $? >"$name.status"' "$output/$1" {}
}
counted() {
    for status in "$output/$1"/*.status; do
        name=${status%.status}
        if [ "$(cat "$status")" -eq 0 ] || grep -q 'Sanitizer\|runtime error:' "$name.log"; then
            count "$2: $(basename "$name")" sh -c "cat '$name.log'; exit $(cat "$status")"
        else
            tail -n 40 "$name.log"
            echo "once more, alone: $(cat "$name.command")"
            # shellcheck disable=SC2046
            count "$2: $(basename "$name"), alone" $(cat "$name.command")
        fi
    done
    rm -rf "${output:?}/$1"
}

jobs=$(nproc)
sources=$(find host tests -name '*.c' -o -name '*.h' | sort)

folder_of() {
    [ "$1" = release ] && echo build || echo "build-$1"
}

build() {
    cmake --preset "$1" && nice -n 5 cmake --build --preset "$1" -j "$jobs"
}
# What only needs to be done by the end takes what the tests leave; the largest files first. In the
# quick run the analyzer goes half as deep into the largest functions.
tidy() {
    depth="--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=100000"
    [ -z "$full" ] || depth=""
    # shellcheck disable=SC2046,SC2086
    ls -S $(find host -name '*.c') | nice -n 15 xargs -P "$jobs" -n 1 clang-tidy -p build --quiet $depth
}

# ahead NAME COMMAND...: starts it, since what runs meanwhile waits more than it computes; `check` and
# `count` then take it as `made NAME`, which waits for it.
ahead() {
    name=$1
    shift
    ("$@" >"$output/ahead-$name" 2>&1; echo $? >"$output/status-$name") &
    eval "ahead_$name=$!"
    run_ahead="$run_ahead $!"
}
made() {
    eval "wait \"\$ahead_$1\""
    cat "$output/ahead-$1"
    return "$(cat "$output/status-$1")"
}

# shellcheck disable=SC2086
set -- $presets
ahead "$1" build "$1"
for preset in $presets; do
    shift
    build=$(folder_of "$preset")
    echo "== $preset"
    check "$preset: builds without a warning" made "$preset"
    [ $# -eq 0 ] || ahead "$1" build "$1"
    [ "$lint$preset" != yesrelease ] || ahead tidy tidy
    [ "$lint$preset" != yesthread ] || ahead fuzz nice -n 15 sh tests/fuzz/run.sh ${full:+--seconds 60}
    find "$build" -maxdepth 1 -name 'test_*' -type f -perm -u+x | sort |
        awk '/_(faults|power|bounds|random|hostile|tasks)$/ { print; next } { rest = rest $0 "\n" } END { printf "%s", rest }' \
            >"$output/list" # the longest first
    side_by_side units $((jobs * 2)) <"$output/list"
    counted units "$preset"
    if [ -n "$full" ]; then
        count "$preset: the arbiter agrees with a second one" \
            /usr/bin/python3 tests/oracle/compare.py --peer "$build/arbiter_peer" --full
        count "$preset: the split on random sites" "$build/test_split_random" --full
        count "$preset: no bound exceeded in a million steps" "$build/test_bounds" --full
        count "$preset: power cuts" "$build/test_store_power" --full
        count "$preset: every failure of disk and memory" "$build/test_store_faults" --full
        count "$preset: parsers, memory failing everywhere" "$build/test_parser_faults" --full
    else
        count "$preset: the arbiter agrees with a second one" \
            /usr/bin/python3 tests/oracle/compare.py --peer "$build/arbiter_peer"
    fi
    printf '%s\n' drivers/*.lua | sed "s|^|$build/derd test |" >"$output/list"
    side_by_side drivers 4 <"$output/list" & # they wait more than they compute, as system tests do
    drivers=$!
    system_tests "$preset" "$build"
    wait "$drivers"
    counted drivers "$preset: derd test"
done

if [ -n "$lint" ]; then
    echo "== API"
    ahead bench sh tests/bench/run.sh --short
    count "the API keeps to its document" sh tests/openapi/run.sh ${full:+--seconds 900}
    grep '^seed' "$output/log"
    echo "== fuzzing"
    count "harnesses" made fuzz
    grep '^ok' "$output/log" | sed 's/^/  /'
    echo "== style"
    # shellcheck disable=SC2086
    check "clang-format" clang-format --dry-run -Werror $sources
    check "luacheck" luacheck -q drivers policies scripts tests
    check "clang-tidy" made tidy
    check "derd check" build/derd check drivers policies scripts/demo/site.lua
    echo "== package"
    count "the Debian package" sh tests/package/run.sh ${full:+--root}
    echo "== benchmarks, one small round of each"
    count "benchmarks" made bench
fi

echo
echo "took $((($(date +%s) - started) / 60)) min"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
