#!/bin/sh
# The Debian package: made, looked at (lintian, the unit's exposure, hardening of the binary, the man
# page), and with --root also installed, started, upgraded, removed and purged in a fresh Debian made by
# debootstrap (root and the network are needed, some minutes). Ends with "N passed, N failed".
#
#   sh tests/package/run.sh [--root]
set -u
cd "$(dirname "$0")/../.." || exit 1
. scripts/packages.sh
in_root=""
case "${1:-}" in
--root) in_root=root ;;
"") ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
need_packages build package ${in_root:+$in_root} || exit 1

passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check NAME COMMAND...
check() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 30 "$work/log"
    fi
}

# make_package VERSION: $work/derd_VERSION_ARCH.deb
make_package() {
    cmake --preset package >/dev/null && cmake --build --preset package &&
        cpack --config build/CPackConfig.cmake -B "$work/made" -R "$1" \
            -D CPACK_DEBIAN_PACKAGE_VERSION="$1" && mv "$work/made"/*.deb "$work/"
}

exposure_is_at_most_2() {
    systemd-analyze security --offline=true --no-pager host/package/derd.service | tee "$work/exposure"
    sed -nE 's/^.*exposure level for derd.service: ([0-9.]+) .*/\1/p' "$work/exposure" |
        awk '{ found = 1; if ($1 > 2.0) exit 1 } END { exit !found }'
}

# With the program where it was unpacked: systemd looks whether it can be run.
unit_is_right() {
    mkdir "$work/unit" &&
        sed "s|=/usr/bin/derd|=$work/extracted/usr/bin/derd|" host/package/derd.service >"$work/unit/derd.service" &&
        systemd-analyze verify --man=no --recursive-errors=no "$work/unit/derd.service" 2>"$work/unit/said"
    status=$?
    cat "$work/unit/said"
    [ $status -eq 0 ] && ! grep -q 'derd.service' "$work/unit/said"
}

# /proc/sys/kernel/random/boot_id, by which limits end right after a restart of the host (base/clock.h).
unit_shows_proc_sys() {
    ! grep -Eq '^(ProcSubset=pid|(Inaccessible|TemporaryFile).*=.*/proc)' host/package/derd.service
}

# Position independent, relocations read-only and bound at start, stack protected, libc's checking calls.
is_hardened() {
    readelf -hW "$1" | grep -q 'Type: *DYN' && readelf -lW "$1" | grep -q GNU_RELRO &&
        readelf -dW "$1" | grep -Eq 'BIND_NOW|FLAGS_1.*NOW' && readelf -dW "$1" | grep -q 'FLAGS_1.*PIE' &&
        readelf -sW --dyn-syms "$1" | grep -q '__stack_chk_fail' &&
        readelf -sW --dyn-syms "$1" | grep -Eq '__(vsn|sn|mem|f|vf)[a-z]*_chk' &&
        readelf -lW "$1" | grep GNU_STACK | grep -qv 'RWE'
}

man_page_is_clean() {
    MANROFFOPT='' LC_ALL=C.UTF-8 man --warnings -l -Tutf8 "$work/extracted/usr/share/man/man1/derd.1.gz" \
        2>"$work/warnings" >"$work/page"
    cat "$work/warnings"
    [ ! -s "$work/warnings" ] && grep -q 'derd token create' "$work/page"
}

# Every command that `derd --help` lists is in the man page.
man_page_is_whole() {
    for command in $("$work/extracted/usr/bin/derd" --help | sed -nE 's/^  ([a-z]+) .*/\1/p'); do
        zgrep -qE "^\.It Cm $command( |$)" "$work/extracted/usr/share/man/man1/derd.1.gz" || {
            echo "\"$command\" is missing"
            return 1
        }
    done
}

first=0.1.0 second=0.1.0+1
check "the package is made" make_package $first
package=$(echo "$work"/derd_${first}_*.deb)
check "it unpacks" dpkg-deb -x "$package" "$work/extracted"
check "lintian finds no error and no warning" lintian --allow-root --fail-on error,warning "$package"
check "the unit's exposure is at most 2.0" exposure_is_at_most_2
check "systemd finds no mistake in the unit" unit_is_right
check "the unit lets the host see which start of the system it is" unit_shows_proc_sys
check "the binary is hardened" is_hardened "$work/extracted/usr/bin/derd"
check "the man page has no mistake" man_page_is_clean
check "the man page knows every command" man_page_is_whole
check "the site file of the service is right" "$work/extracted/usr/bin/derd" check "$work/extracted/etc/derd/site.lua"
check "what ships is right" "$work/extracted/usr/bin/derd" check \
    "$work/extracted/usr/share/derd/drivers" "$work/extracted/usr/share/derd/policies"
grep 'exposure level' "$work/exposure"

if [ -n "$in_root" ]; then
    check "a second version is made" make_package $second
    . tests/package/root.sh
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
