#!/bin/sh
# Sets up nginx as the TLS proxy in front of derd. Called by `derd proxy`, which has read the site
# file and checked the words:
#   setup.sh UPSTREAM NAME LISTEN FOLDER CERTIFICATE KEY      the last three may be empty
# Without a certificate it makes one, signed by a CA of this machine alone, which may sign this name
# and no other. No secret is an argument of a program or goes to its output.
set -eu
upstream=$1 name=$2 listen=$3 folder=$4 certificate=$5 key=$6
here=$(dirname "$0")
machine=""
if [ -z "$folder" ]; then
    machine=yes
    folder=/etc/derd/proxy
fi

say() { echo "derd proxy: $*"; }
fail() {
    say "$*" >&2
    exit 1
}

# --- the program -----------------------------------------------------------------------------

if [ -n "$machine" ]; then
    [ "$(id -u)" -eq 0 ] || fail "setting the machine's nginx up needs root; --folder DIR makes one apart"
    if ! command -v nginx >/dev/null; then
        say "installing nginx"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null ||
            fail "nginx could not be installed: apt-get install nginx-light says why"
    fi
fi
PATH=$PATH:/usr/sbin
command -v nginx >/dev/null || fail "nginx is missing: apt-get install nginx-light"
command -v openssl >/dev/null || fail "openssl is missing: apt-get install openssl"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
case $folder in
*[!A-Za-z0-9/_.+@-]*) fail "$folder: choose a folder whose name has no blanks or quotes" ;;
esac

# --- the certificate -------------------------------------------------------------------------

# An address is named as such in a certificate.
case $name in
*:*) alternative="IP:$name" only="permitted;IP:$name/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF" ;;
*[!0-9.]*) alternative="DNS:$name" only="permitted;DNS:$name" ;;
*) alternative="IP:$name" only="permitted;IP:$name/255.255.255.255" ;;
esac

# make_ca: once; who trusts it trusts it for this name only.
make_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt \
        -days 3650 -subj "/CN=derd at $name" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -addext "nameConstraints=critical,$only" 2>openssl.log || fail "$(cat openssl.log)"
    echo "$name" >ca.name
}

# make_certificate: anew each time; 820 days are what browsers take at most.
make_certificate() {
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=serverAuth"
        echo "subjectAltName=$alternative"
    } >server.ext
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key.new \
        -out server.csr -subj "/CN=$name" 2>openssl.log || fail "$(cat openssl.log)"
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 820 \
        -extfile server.ext -out server.crt.new 2>openssl.log || fail "$(cat openssl.log)"
    mv server.key.new server.key
    mv server.crt.new server.crt
    rm -f server.csr server.ext openssl.log
}

if [ -z "$certificate" ]; then
    before=$(umask)
    umask 077
    cd "$folder"
    if [ ! -f ca.crt ] || [ ! -f ca.key ] || [ "$(cat ca.name 2>/dev/null)" != "$name" ]; then
        make_ca
    fi
    make_certificate
    chmod 644 ca.crt server.crt
    cd - >/dev/null
    umask "$before"
    certificate=$folder/server.crt
    key=$folder/server.key
    private=yes
else
    # Links stay links: certbot points them at the newest.
    case $certificate in /*) ;; *) certificate=$(pwd)/$certificate ;; esac
    case $key in /*) ;; *) key=$(pwd)/$key ;; esac
    case $certificate$key in
    *[!A-Za-z0-9/_.+@-]*) fail "choose names of certificate and key without blanks or quotes" ;;
    esac
    [ "$(openssl x509 -in "$certificate" -noout -pubkey 2>/dev/null)" = "$(openssl pkey -in "$key" -pubout 2>/dev/null)" ] ||
        fail "$certificate and $key do not belong together, or cannot be read"
    private=""
fi

# --- the configuration -----------------------------------------------------------------------

# fill FILE: the template with its words; they hold no character that sed or nginx would read.
fill() {
    case $name in
    *:*) server="[$name]" ;;
    *) server=$name ;;
    esac
    sed -e "s|@UPSTREAM@|$upstream|g" -e "s|@NAME@|$server|g" -e "s|@LISTEN@|$listen|g" \
        -e "s|@CERTIFICATE@|$certificate|g" -e "s|@KEY@|$key|g" "$here/$1"
}

trust() {
    [ -n "$private" ] || return 0
    say "the certificate is signed by a CA of this machine alone, for $name only. To trust it, copy"
    say "  $folder/ca.crt"
    say "to the client: curl --cacert ca.crt; Debian: /usr/local/share/ca-certificates/ and"
    say "update-ca-certificates; a browser: its settings, certificates, authorities. Its fingerprint:"
    say "  $(openssl x509 -in "$folder/ca.crt" -noout -fingerprint -sha256 | cut -d= -f2)"
    say "A name that the Internet knows can have one of Let's Encrypt instead:"
    say "  apt-get install certbot"
    say "  certbot certonly --webroot -w /var/www/html -d $name --deploy-hook 'systemctl reload nginx'"
    say "  derd proxy ... --certificate /etc/letsencrypt/live/$name/fullchain.pem \\"
    say "                 --key /etc/letsencrypt/live/$name/privkey.pem"
}

if [ -z "$machine" ]; then
    fill derd.conf >"$folder/derd.conf"
    cp "$here/nginx.conf" "$folder/nginx.conf"
    mkdir -p "$folder/temp"
    nginx -t -q -p "$folder" -c "$folder/nginx.conf" -e stderr || fail "nginx refuses $folder/nginx.conf"
    trust
    say "run it: nginx -e stderr -p $folder -c $folder/nginx.conf"
    exit 0
fi

target=/etc/nginx/conf.d/derd.conf
kept=""
if [ -f $target ]; then
    kept=$(mktemp)
    cp $target "$kept"
fi
{
    fill derd.conf
    fill acme.conf
} >$target.new
mv $target.new $target
if ! nginx -t -q; then
    if [ -n "$kept" ]; then
        cp "$kept" $target
    else
        rm -f $target
    fi
    fail "nginx refuses the configuration; what was there before is there again"
fi
[ -z "$kept" ] || rm -f "$kept"
if [ -d /run/systemd/system ]; then
    systemctl enable -q nginx
    systemctl reload-or-restart nginx
elif [ -s /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then
    nginx -s reload
else
    nginx
fi
trust
say "https://$name is ready; plain HTTP on port 80 leads there"
