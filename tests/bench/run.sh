#!/bin/sh
# Every benchmark: polling, REST, from wish to wire, deciding, scripts, history, and a profile that says
# where the work goes. Each case runs beside its floor and its peers, interleaved, and says what it found
# as ratios. Ends with a report: tables and pictures. It decides nothing; exit status 1 says that a
# benchmark could not run.
#
#   sh tests/bench/run.sh                   all, with the full counts; a quiet machine, please
#   sh tests/bench/run.sh --short           one small round of each, to see that they work
#   sh tests/bench/run.sh --only rest,wish  these alone; --rounds N: interleaved rounds
#   sh tests/bench/run.sh --publish         the report goes into tests/bench/README.md and results/
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/packages.sh

only="" short="" rounds="" publish="" out=build/bench
while [ $# -gt 0 ]; do
    case "$1" in
    --only) only=$2; shift ;;
    --rounds) rounds="--rounds $2"; shift ;;
    --short) short=--short out=build/bench/short ;; # a full run's reports stay
    --publish) publish=--publish ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done

need_packages build bench || exit 1
[ -n "$short" ] || need_node || echo "Node is missing: Node-RED is left out"
mkdir -p build/bench
cmake --preset release >build/bench/build.log && cmake --build --preset release -j "$(nproc)" >>build/bench/build.log || {
    tail -n 40 build/bench/build.log
    echo "0 passed, 1 failed (it could not be built)"
    exit 1
}
ulimit -n "$(ulimit -H -n)"

passed=0 failed=0
for name in polling rest wish deciding scripts history profile; do
    case ",${only:-$name}," in *",$name,"*) ;; *) continue ;; esac
    echo "== $name"
    since=$(date +%s)
    # shellcheck disable=SC2086
    if /usr/bin/python3 "tests/bench/bench_$name.py" $short $rounds --out "$out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "  FAIL: $name could not be measured"
    fi
    echo "  took $(($(date +%s) - since)) s"
done
/usr/bin/python3 tests/bench/report.py "$out" $publish || failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
