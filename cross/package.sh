#!/usr/bin/env bash
# Builds the Debian package for a board, from a fresh clone, on x86_64 Linux with dpkg-deb.
#
#   cross/package.sh arm64|armhf|amd64
#
# writes dist/geosam-edge_<version>_<arch>.deb and prints its SHA-256 and the size of its parts. The same tree gives
# the same bytes: times are the last commit's ($SOURCE_DATE_EPOCH wins), owners root, paths of this machine left out.
# BINARY=FILE packages a program that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/toolchain.sh

[ $# = 1 ] || die "usage: cross/package.sh arm64|armhf|amd64"
command -v dpkg-deb >/dev/null || die "dpkg-deb is needed (Debian: dpkg)"
name_target "$1"
binary="${BINARY:-$(cross/build.sh "$DEB_ARCH")}"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
fi
export SOURCE_DATE_EPOCH
# xz cuts what it packs by the number of threads.
export DPKG_DEB_THREADS_MAX=1
umask 022

root="target/cross/deb-$DEB_ARCH"
rm -rf "$root"
mkdir -p "$root/DEBIAN" dist

# put MODE SOURCE TARGET
put() { install -D -m "$1" "$2" "$root/$3"; }

put 755 "$binary" usr/bin/geosam-edge
# Below /lib: where that is not the same as /usr/lib (Ubuntu 18.04), systemd's helpers and udev look there only.
put 644 systemd/geosam-edge.service lib/systemd/system/geosam-edge.service
put 644 systemd/media-geosam.mount lib/systemd/system/media-geosam.mount
put 644 systemd/geosam-edge-card.rules lib/udev/rules.d/90-geosam-edge-card.rules
put 644 systemd/geosam-edge.sysusers usr/lib/sysusers.d/geosam-edge.conf
for file in systemd/drop-ins/*.conf; do put 644 "$file" "usr/share/geosam-edge/${file##*/}"; done
put 755 packaging/mosquitto/certificates.sh usr/share/geosam-edge/mosquitto/certificates.sh
for file in geosam-edge.conf geosam-edge.acl; do put 644 "packaging/mosquitto/$file" "usr/share/geosam-edge/mosquitto/$file"; done
for page in packaging/man/*.1; do
    put 644 "$page" "usr/share/man/man1/${page##*/}"
    gzip -9n "$root/usr/share/man/man1/${page##*/}"
done
put 644 packaging/completions/geosam-edge usr/share/bash-completion/completions/geosam-edge
put 644 packaging/completions/_geosam-edge usr/share/zsh/vendor-completions/_geosam-edge
put 644 packaging/completions/geosam-edge.fish usr/share/fish/vendor_completions.d/geosam-edge.fish
doc=usr/share/doc/geosam-edge
for file in README.md LICENSE-MIT LICENSE-APACHE docs/boards.md docs/mqtt.md docs/prepare-a-card.md docs/tensorrt.md docs/tls.md docs/asyncapi.yaml \
    packaging/debian/copyright; do
    put 644 "$file" "$doc/${file##*/}"
done
put 644 CHANGELOG.md "$doc/changelog"
gzip -9n "$root/$doc/changelog"
mkdir -p "$root/var/lib/geosam-edge/models"

# The example with the places of a packaged appliance. A line that is no longer there must not go unnoticed.
config="$root/etc/geosam-edge/geosam-edge.toml"
put 644 systemd/geosam-edge.example.toml etc/geosam-edge/geosam-edge.toml
set_line() {
    grep -qxF "$1" "$config" || die "systemd/geosam-edge.example.toml has no line: $1"
    awk -v from="$1" -v to="$2" '$0 == from { print to; next } { print }' "$config" >"$config.new"
    mv "$config.new" "$config"
}
set_line 'features = ["./features"]' 'features = ["/media/geosam", "/var/lib/geosam-edge/features"]'
set_line 'models = "./models"' 'models = "/var/lib/geosam-edge/models"'
# Said, for commands outside the unit and for systemd before 240, which tells no $STATE_DIRECTORY.
set_line '# state = "./state"' 'state = "/var/lib/geosam-edge"'

echo /etc/geosam-edge/geosam-edge.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find usr etc lib -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
# By content, not by `du`: blocks depend on the file system.
size="$(find "$root" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')"
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$DEB_ARCH/" -e "s/@SIZE@/$size/" \
    packaging/debian/control.in >"$root/DEBIAN/control"

deb="dist/geosam-edge_${version}_$DEB_ARCH.deb"
dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >&2
printf '%s bytes of program, %s bytes of package\n' "$(stat -c %s "$binary")" "$(stat -c %s "$deb")"
sha256sum "$deb"
