#!/bin/sh
# Certificates for a broker, boards, clients and map pages, into the working directory. Needs openssl 1.1.1 or newer.
#
#   certificates.sh authority                       ca.pem, ca.key: once; keep ca.key away from boards and broker
#   certificates.sh broker NAME_OR_ADDRESS...       broker.pem, broker.key: every name that boards and clients call it by
#   certificates.sh page NAME_OR_ADDRESS...         page.pem, page.key: a board's map page; every name that browsers call it by
#   certificates.sh user NAME                       NAME.pem, NAME.key: a board, or a client; NAME is its user at the broker
#
# Version 3 with subjectAltName, on the curve P-256, for DAYS days (3650 for the authority, 825 for all others). A file
# that is there is not written over.
set -eu

die() {
    echo "certificates.sh: $*" >&2
    exit 1
}

# fresh FILE...: nothing is lost by a second call.
fresh() {
    for file; do
        if [ -e "$file" ]; then die "$file is there; move it away first"; fi
    done
}

key() {
    fresh "$1"
    (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1")
}

# issue FILE COMMON_NAME EXTENSIONS
issue() {
    [ -e ca.key ] || die "there is no ca.key here; run: certificates.sh authority"
    fresh "$1.pem"
    key "$1.key"
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "$3" >"$work/extensions"
    openssl req -new -key "$1.key" -subj "/CN=$2" -out "$work/request"
    # The serial is random, so that no file of serials has to be kept.
    openssl x509 -req -in "$work/request" -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -sha256 \
        -days "${DAYS:-825}" -extfile "$work/extensions" -out "$1.pem" 2>"$work/said" || die "$(cat "$work/said")"
    echo "$1.pem: $2"
}

# server FILE NAME_OR_ADDRESS...
server() {
    file="$1"
    shift
    names=""
    for name; do
        case "$name" in
            *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$name" ;;
            *) names="$names,DNS:$name" ;;
        esac
    done
    issue "$file" "$1" "extendedKeyUsage=serverAuth
subjectAltName=${names#,}"
}

case "${1:-}" in
    authority)
        fresh ca.pem
        key ca.key
        openssl req -x509 -new -key ca.key -sha256 -days "${DAYS:-3650}" -subj "/CN=geosam-edge authority" \
            -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem
        echo "ca.pem: geosam-edge authority"
        ;;
    broker)
        shift
        [ $# -gt 0 ] || die "name the broker as boards and clients call it: certificates.sh broker broker.lan 192.168.1.10"
        server broker "$@"
        ;;
    page)
        shift
        [ $# -gt 0 ] || die "name the board as browsers call it: certificates.sh page board-7.lan 192.168.1.17"
        server page "$@"
        ;;
    user)
        [ $# = 2 ] || die "name one user: certificates.sh user board-7"
        case "$2" in
            ca | broker | page | .* | *[!A-Za-z0-9._-]*) die "a user has a name of A-Z a-z 0-9 . _ -, and is not called ca, broker or page" ;;
        esac
        issue "$2" "$2" "extendedKeyUsage=clientAuth
subjectAltName=DNS:$2"
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
