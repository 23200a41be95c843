# Installs what is missing, from Debian's packages only. Read by demo.sh and test.sh:
#   . scripts/packages.sh; need_packages build test
# On a machine where all is there it does nothing and needs no root.

build_packages="gcc libc6-dev cmake ninja-build pkg-config libuv1-dev liblua5.4-dev libmodbus-dev
  libcivetweb-dev libsqlite3-dev libjansson-dev libsodium-dev libcurl4-openssl-dev libmosquitto-dev
  libssl-dev libsystemd-dev"
test_packages="libcmocka-dev clang-format clang-tidy lua-check lua5.4 lua-socket lua-cjson
  python3 python3-pytest python3-pytest-xdist python3-prometheus-client curl openssl mosquitto nginx-light"
fuzz_packages="clang libclang-rt-14-dev llvm"
package_packages="file dpkg-dev binutils gzip man-db groff-base lintian systemd"
bench_packages="python3 util-linux wrk nginx-light collectd-core valgrind"
root_packages="debootstrap"
openapi_packages="python3 python3-venv ca-certificates"

need_packages() {
    missing=""
    for group in "$@"; do
        eval "names=\$${group}_packages"
        # shellcheck disable=SC2154
        for name in $names; do
            dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' ||
                missing="$missing $name"
        done
    done
    [ -z "$missing" ] && return 0
    run_as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "These packages are missing, and neither root nor sudo is here to install them:" >&2
            echo " $missing" >&2
            return 1
        }
        run_as_root="sudo"
    fi
    echo "installing:$missing"
    $run_as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
    # shellcheck disable=SC2086
    $run_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends $missing >/dev/null
}

# Node 18 or later with npm, from wherever it is; Debian's where there is none.
need_node() {
    command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' && return 0
    node_packages="nodejs npm"
    need_packages node
}
