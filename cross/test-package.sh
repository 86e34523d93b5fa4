#!/usr/bin/env bash
# Installs the amd64 package in a clean Debian that really boots (systemd-nspawn), and plays the life of a board: no
# network and no card at first, a broker and a card later, a crash, a hang, an upgrade, a read-only root file system,
# removal and purge.
#
#   cross/test-package.sh dist/geosam-edge_<version>_amd64.deb
#
# Needs root, Debian's debootstrap and systemd-container, and the configured Debian mirror for the first run; the clean
# root is kept in target/cross/debian. SUITE chooses the release (bookworm).
set -euo pipefail
cd "$(dirname "$0")/.."

deb="${1:?usage: cross/test-package.sh FILE.deb}"
suite="${SUITE:-bookworm}"
clean="$PWD/target/cross/debian-$suite"
root="$PWD/target/cross/debian-test"
if [ ! -e "$clean/complete" ]; then
    rm -rf "$clean"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,udev,dbus,mosquitto,mosquitto-clients,ca-certificates \
        "$suite" "$clean" >&2
    touch "$clean/complete"
fi
rm -rf "$root"
cp -a "$clean" "$root"
# The test starts the broker, when it is time.
rm -f "$root"/etc/systemd/system/multi-user.target.wants/mosquitto.service
echo '127.0.0.1 localhost' >"$root/etc/hosts"
cp "$deb" "$root/root/package.deb"
cp cross/test-package-inside.sh "$root/root/test.sh"
mkdir "$root/root/card"
cp -r models/demo/features "$root/root/card/meadow"
cp -r models/demo/models/demo "$root/root/model"
cat >"$root/etc/systemd/system/test.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/test.sh
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/run/test/output
StandardError=file:/run/test/output
[Install]
WantedBy=default.target
UNIT
ln -s ../test.service "$root/etc/systemd/system/multi-user.target.wants/test.service"

# boot PHASE [OPTION...]: starts the system, which runs the test's phase and powers off.
boot() {
    local phase="$1" output="$PWD/target/cross/package-test-$1"
    shift
    rm -rf "$output"
    mkdir "$output"
    printf 'PHASE=%s\n' "$phase" >"$output/phase"
    timeout 300 systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$root" --boot \
        --bind="$output:/run/test" "$@" >"$output/console" 2>&1 </dev/null || true
    cat "$output/output" || { tail -n 20 "$output/console"; exit 1; }
    grep -qx "$phase: all well" "$output/output" || { echo "FAILED in phase $phase" >&2; exit 1; }
}

boot life
boot readonly --read-only --tmpfs=/var/lib/geosam-edge --tmpfs=/var/log --tmpfs=/var/tmp
boot purge
