#!/bin/sh
# Every test with the quick counts: release, address+undefined and thread sanitizer builds, formatter,
# linters, the second arbiter, the real binary over real sockets. Installs what is missing (Debian
# packages). Ends with "N passed, N failed".
#
#   sh scripts/test.sh            under 20 minutes
#   sh scripts/test.sh --full     the long counts
#   sh scripts/test.sh --quick    release build only, while working
set -u
started=$(date +%s)
cd "$(dirname "$0")/.." || exit 1
. scripts/packages.sh
need_packages build test || exit 1

full="" presets="release address thread" lint=yes
for argument in "$@"; do
    case "$argument" in
    --full) full=--full ;;
    --quick) presets=release lint="" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done

passed=0 failed=0
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT

# check NAME COMMAND...: one check that passes or fails as a whole.
check() {
    name=$1
    shift
    if "$@" >"$output/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name"
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
        echo "ok    $name ($good)"
    else
        echo "FAIL  $name ($good passed, $bad failed)"
        tail -n 80 "$output/log"
    fi
}

# system_tests PRESET BUILD: eight at a time; what fails in that crowd is run once more, alone, and is
# told in either case: a machine that was too busy is not a broken product, and not a silent one.
system_tests() {
    run="env DERD_BUILD=$PWD/$2 /usr/bin/python3 -m pytest -q -o cache_dir=$output/cache tests/system
        ${full:+--full}"
    # shellcheck disable=SC2086
    if ! $run -n 8 >"$output/crowd" 2>&1 && grep -q ' passed' "$output/crowd"; then
        together=$(sed -nE 's/^(.* )?([0-9]+) passed.* in .*/\2/p' "$output/crowd" | tail -n 1)
        grep '^FAILED\|^ERROR' "$output/crowd" | sed 's/^/once more, alone: /'
        passed=$((passed + together))
        # shellcheck disable=SC2086
        count "$1: system, alone" $run --last-failed
    else
        count "$1: system" cat "$output/crowd"
    fi
    rm -rf "$output/cache"
}

# unit_tests PRESET BUILD: as many at a time as there are processors, then counted one by one.
unit_tests() {
    find "$2" -maxdepth 1 -name 'test_*' -type f -perm -u+x | sort | xargs -P "$jobs" -I{} \
        sh -c '{} >"$0/$(basename {}).log" 2>&1; echo $? >"$0/$(basename {}).status"' "$output"
    for status in "$output"/test_*.status; do
        log=${status%.status}.log
        count "$1: $(basename "$log" .log)" sh -c "cat '$log'; exit $(cat "$status")"
    done
    rm -f "$output"/test_*.log "$output"/test_*.status
}

jobs=$(nproc)
sources=$(find host tests -name '*.c' -o -name '*.h' | sort)
for preset in $presets; do
    build=build
    [ "$preset" != release ] && build=build-$preset
    echo "== $preset"
    cmake --preset "$preset" >"$output/log" 2>&1 || cat "$output/log"
    check "$preset: builds without a warning" cmake --build --preset "$preset" -j "$jobs"
    unit_tests "$preset" "$build"
    if [ -n "$full" ]; then
        count "$preset: the arbiter agrees with a second one" \
            /usr/bin/python3 tests/oracle/compare.py --peer "$build/arbiter_peer" --full
    else
        count "$preset: the arbiter agrees with a second one" \
            /usr/bin/python3 tests/oracle/compare.py --peer "$build/arbiter_peer"
    fi
    for driver in drivers/*.lua; do
        count "$preset: derd test $(basename "$driver" .lua)" "$build/derd" test "$driver"
    done
    system_tests "$preset" "$build"
done

if [ -n "$lint" ]; then
    echo "== style"
    # shellcheck disable=SC2086
    check "clang-format" clang-format --dry-run -Werror $sources
    check "luacheck" luacheck -q drivers policies scripts tests
    check "clang-tidy" sh -c "find host -name '*.c' | sort |
        xargs -P $jobs -n 1 clang-tidy -p build --quiet"
    check "derd check" build/derd check drivers policies scripts/demo/site.lua
fi

echo
echo "took $((($(date +%s) - started) / 60)) min"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
