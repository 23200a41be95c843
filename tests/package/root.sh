# Read by run.sh --root: the package's life in a fresh Debian. Without systemd as its first process the
# service is started as the unit says: its command, its user, its notification socket.
root=$work/root
architecture=$(dpkg --print-architecture)

in_root() {
    chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}

make_root() {
    debootstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian &&
        cp "$work"/derd_*.deb "$root/" && in_root apt-get update && mount -t proc proc "$root/proc"
}
unmake_root() {
    [ -z "${service:-}" ] || kill "$service" 2>/dev/null
    umount "$root/proc" 2>/dev/null
    rm -rf "$work"
}
trap unmake_root EXIT

install_package() {
    in_root apt-get install -y --no-install-recommends "/derd_$1_$architecture.deb" &&
        [ "$(in_root dpkg-query -W -f '${Version} ${Status}' derd)" = "$1 install ok installed" ]
}

owned_right() {
    [ "$(in_root stat -c '%U:%G %a' /var/lib/derd)" = "derd:derd 750" ] &&
        [ "$(in_root stat -c '%U:%G %a' /etc/derd)" = "root:derd 750" ] &&
        [ -L "$root/etc/systemd/system/multi-user.target.wants/derd.service" ]
}

# start_service: runs, as the unit's user, until it has said READY=1.
start_service() {
    rm -f "$work/ready"
    mkfifo "$work/ready"
    python3 tests/package/notified.py "$work/ready" chroot "$root" \
        setpriv --reuid derd --regid derd --init-groups \
        /usr/bin/derd serve --site /etc/derd/site.lua >"$work/service" 2>&1 &
    service=$!
    read -r said <"$work/ready"
    cat "$work/service"
    [ "$said" = ready ]
}
stop_service() {
    kill -TERM "$service"
    wait "$service"
    status=$?
    service=""
    cat "$work/service"
    [ "$status" -eq 0 ]
}

answers() {
    curl -fsS "http://127.0.0.1:$port/health" &&
        curl -fsS -H "Authorization: Bearer $(cat "$work/token")" "http://127.0.0.1:$port/v1/clusters" |
        grep -q '"key": *"house"'
}
make_token() {
    in_root derd token create --site /etc/derd/site.lua --name test >"$work/token"
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
edit_site() {
    sed -i "s/127.0.0.1:8080/127.0.0.1:$port/; s/key = \"home\"/key = \"house\"/" "$root/etc/derd/site.lua" &&
        cp "$root/etc/derd/site.lua" "$work/edited"
}
site_was_kept() {
    cmp "$root/etc/derd/site.lua" "$work/edited"
}
is_removed() {
    in_root apt-get remove -y derd && [ ! -e "$root/usr/bin/derd" ] && [ -e "$root/etc/derd/site.lua" ] &&
        [ -e "$root/var/lib/derd/derd.db" ]
}
is_purged() {
    in_root apt-get purge -y derd && [ ! -e "$root/etc/derd" ] && [ ! -e "$root/var/lib/derd" ] &&
        [ -z "$(find "$root/etc/systemd" "$root/var/lib/systemd" "$root/usr/share" -name '*derd*')" ]
}

check "a fresh Debian" make_root
check "installs" install_package $first
check "folders are the service's own, the unit is enabled" owned_right
check "the site file can be edited" edit_site
check "starts, as the unit's user, and says so" start_service
check "a token is made on the console of the running host" make_token
check "answers" answers
check "stops in order" stop_service
check "upgrades" install_package $second
check "the edited site file is kept" site_was_kept
check "starts again" start_service
check "knows its token still" answers
check "stops in order again" stop_service
check "removed, it leaves settings and store" is_removed
check "installs again" install_package $second
check "purged, it leaves nothing" is_purged
