#!/bin/sh
# A simulated home and the host on it, from a bare Debian 12 machine: installs what is missing, builds,
# starts. Prints a URL and a token. Ctrl-C stops all. Arguments go to `derd demo` (--help).
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
need_packages build
[ -f build/build.ninja ] || cmake --preset release >/dev/null
cmake --build --preset release --target derd
exec build/derd demo "$@"
