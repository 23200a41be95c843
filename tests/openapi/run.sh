#!/bin/sh
# The API against its description: the document linted, every example sent to a host, a generated client
# that walks the life of a cluster, and a fuzzer. What they need comes from npm and PyPI as it is locked
# here, into a folder of the user's cache. Ends with "N passed, N failed".
#
#   sh tests/openapi/run.sh                     against build/, or $DERD_BUILD
#   sh tests/openapi/run.sh --seconds 600       the fuzzer for longer
#   sh tests/openapi/run.sh --seed N            and from this seed
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/packages.sh
need_node || exit 1
need_packages openapi || exit 1

here=$PWD/tests/openapi
locks=$(cat "$here/package-lock.json" "$here/requirements.txt" | sha256sum | cut -c1-16)
tools=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/derd-openapi-$locks
DERD_BUILD=${DERD_BUILD:-$PWD/build}
export DERD_BUILD PYTHONDONTWRITEBYTECODE=1

# install_tools: once for each state of the locks; a folder that is there is whole.
install_tools() {
    [ -d "$tools" ] && return 0
    mkdir -p "$(dirname "$tools")" && rm -rf "$tools.part" && mkdir "$tools.part" || return 1
    cp "$here/package.json" "$here/package-lock.json" "$tools.part" || return 1
    npm ci --prefix "$tools.part" --no-audit --no-fund --ignore-scripts >"$tools.log" 2>&1 &&
        /usr/bin/python3 -m venv "$tools.part/venv" >>"$tools.log" 2>&1 &&
        "$tools.part/venv/bin/pip" install -q --disable-pip-version-check --no-deps --require-hashes \
            -r "$here/requirements.txt" >>"$tools.log" 2>&1 || {
        cat "$tools.log"
        return 1
    }
    mv "$tools.part" "$tools"
}

passed=0 failed=0
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT

# step NAME COMMAND...
step() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
    fi
}

step "tools are installed as locked" install_tools
python=$tools/venv/bin/python
/usr/bin/python3 "$here/format.py" # says which part is not laid out: worth a commit, no failure
step "a host serves the document" "$python" "$here/document.py" "$output/openapi.json"
export NODE_PATH=$tools/node_modules
step "linter" node "$here/lint.js" "$output/openapi.json"
step "examples, pages, client" "$python" -m pytest -q -p no:cacheprovider "$here"
step "fuzzer" "$python" "$here/fuzz.py" "$@"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
