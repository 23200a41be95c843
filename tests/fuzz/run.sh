#!/bin/sh
# Fuzzes everything that takes something from outside: each tests/fuzz/fuzz_NAME.c is a libFuzzer
# program (clang, address and undefined-behaviour sanitizers) that begins with the inputs in
# tests/fuzz/corpus/NAME and its dictionary. Ends with "N passed, N failed", one for each harness; one
# that did not run is a failure. What was found stands in build-fuzz/found and is printed.
#
#   sh tests/fuzz/run.sh                  each for 3 seconds, from the same seed each time
#   sh tests/fuzz/run.sh --seconds 60     nightly, from another seed each time
#   sh tests/fuzz/run.sh --only url,time  these alone
#   sh tests/fuzz/run.sh --grow           what was found to reach new code is added to the corpora
#   sh tests/fuzz/run.sh --again FILE     one input once more, with what it said: --only NAME --again FILE
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1
. scripts/packages.sh

seconds=3 seed=1 only="" grow="" again="" one=""
while [ $# -gt 0 ]; do
    case "$1" in
    --seconds) seconds=$2; [ "$2" -le 3 ] || seed=0; shift ;;
    --only) only=$2; shift ;;
    --grow) grow=yes ;;
    --again) again=$2; shift ;;
    --one) one=$2 work=$3; shift 2 ;; # for xargs below
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done

jobs=$(nproc)
found=$PWD/build-fuzz/found
# Further inputs to begin with: what ships.
further() {
    case "$1" in
    driver) echo drivers scripts/templates ;;
    site) echo scripts/demo ;;
    esac
}

export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
# one NAME: a run of one harness, its words in $work/NAME.log, its end in $work/NAME.status.
one() {
    name=$1 corpus=tests/fuzz/corpus/$1 dictionary=tests/fuzz/dict/$1.dict
    mkdir -p "$work/$name"
    # shellcheck disable=SC2046
    "build-fuzz/fuzz_$name" -max_total_time="$seconds" -seed="$seed" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$found/$name-" \
        $([ -f "$dictionary" ] && echo "-dict=$dictionary") \
        "$work/$name" "$corpus" $(further "$name") >"$work/$name.log" 2>&1
    echo $? >"$work/$name.status"
    if [ -n "$grow" ]; then # the smallest set with the same coverage, of inputs that are not large
        mkdir "$work/$name.least"
        "build-fuzz/fuzz_$name" -merge=1 -use_counters=0 -max_len=1024 "$work/$name.least" "$corpus" "$work/$name" \
            >/dev/null 2>&1
        cp -n "$work/$name.least"/* "$corpus"
    fi
}

if [ -n "$one" ]; then
    one "$one"
    exit 0
fi
harnesses=$(ls tests/fuzz/fuzz_*.c | sed 's/.*fuzz_\(.*\)\.c/\1/')
[ "$(echo "$harnesses" | wc -l)" -ge 20 ] || { echo "harnesses are missing"; exit 1; }
[ -z "$only" ] || harnesses=$(echo "$only" | tr , '\n')

need_packages build fuzz || exit 1
cmake --preset fuzz >/dev/null && cmake --build --preset fuzz -j "$jobs" >build-fuzz/build.log 2>&1 || {
    tail -n 40 build-fuzz/build.log
    echo "0 passed, 1 failed (the harnesses could not be built)"
    exit 1
}

if [ -n "$again" ]; then
    exec "build-fuzz/fuzz_$only" "$again"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$found"
echo "$harnesses" | xargs -P "$jobs" -I{} sh "$here/run.sh" --seconds "$seconds" ${grow:+--grow} --one {} "$work"

passed=0 failed=0
for name in $harnesses; do
    log=$work/$name.log
    status=$(cat "$work/$name.status" 2>/dev/null || echo none)
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" 2>/dev/null)
    cover=$(sed -n 's/.*cov: \([0-9]*\) .*/\1/p' "$log" 2>/dev/null | tail -n 1)
    if [ "$status" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
        passed=$((passed + 1))
        printf 'ok    %-12s %9d inputs, %5d places\n' "$name" "$runs" "${cover:-0}"
    else
        failed=$((failed + 1))
        echo "FAIL  $name (status $status, ${runs:-0} inputs)"
        tail -n 60 "$log"
        for input in "$found/$name"-*; do
            [ -f "$input" ] && [ "$input" -nt "$work/$name" ] && {
                echo "the input, $input, in base64:"
                base64 "$input" | head -n 40
            }
        done
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
