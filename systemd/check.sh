#!/usr/bin/env bash
# Checks the units as they are installed: `systemd-analyze verify` must say nothing, and the service's exposure must
# be 2.0 or less (it is printed). Takes a second.
#
#   systemd/check.sh
#
# Needs systemd 250 or newer; nothing of it has to run.
set -euo pipefail
cd "$(dirname "$0")"

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
units="$root/usr/lib/systemd/system"
mkdir -p "$units" "$root/usr/bin" "$root/etc"
install -m 755 /dev/null "$root/usr/bin/geosam-edge"
cp geosam-edge.service media-geosam.mount "$units/"
# What the units refer to.
for unit in sysinit.target basic.target shutdown.target local-fs.target local-fs-pre.target time-set.target \
    umount.target multi-user.target system.slice -.slice -.mount media.mount tmp.mount var-tmp.mount; do
    for from in /usr/lib/systemd/system /lib/systemd/system; do
        [ ! -e "$from/$unit" ] || cp -L "$from/$unit" "$units/" 2>/dev/null || true
    done
done

verify() {
    local said
    said="$(systemd-analyze verify --man=no --root="$root" "$@" 2>&1)" || true
    if [ -n "$said" ]; then
        printf '%s\n' "$said" >&2
        exit 1
    fi
}
verify geosam-edge.service media-geosam.mount
systemd-analyze security --no-pager --offline=true --threshold=20 "$units/geosam-edge.service" | tail -n 1
mkdir "$units/geosam-edge.service.d"
cp drop-ins/00-before-239.conf "$units/geosam-edge.service.d/"
verify geosam-edge.service
rm "$units/geosam-edge.service.d/00-before-239.conf"
cp drop-ins/cuda.conf "$units/geosam-edge.service.d/"
verify geosam-edge.service
systemd-analyze security --no-pager --offline=true --root="$root" geosam-edge.service | tail -n 1 | sed 's/$/ (with cuda.conf)/'
