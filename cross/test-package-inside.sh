# Runs as root inside the container that cross/test-package.sh boots; not to be run elsewhere.
# shellcheck shell=bash
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C
# shellcheck disable=SC1091
. /run/test/phase
service=geosam-edge.service

ok() { echo "ok: $*"; }
fail() {
    echo "FAILED: $*"
    journalctl --no-pager -n 40 -u "$service" || true
    mosquitto_sub -t '#' -W 2 -v | cut -c 1-300 || true
    find "/proc/$(property MainPID)/root/media" -maxdepth 3 | head || true
    exit 1
}
# within SECONDS WHAT COMMAND...
within() {
    local end=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "$what"
        sleep 0.2
    done
    ok "$what"
}
property() { systemctl show --value -p "$1" "$service"; }
restarted() { [ "$(property NRestarts)" -gt "$1" ] && systemctl is-active "$service"; }
# Tries to write a file where the service would: in its own mount namespace.
can_write() {
    local file
    file="/proc/$(property MainPID)/root$1/written-by-the-test"
    touch "$file" 2>/dev/null && rm "$file"
}
says() { mosquitto_sub -t "$1" -C 1 -W 20 | grep -q "$2"; }
segment() {
    mosquitto_sub -t 'geosam/+/response/tester/segment' -C 1 -W 60 >/run/answer &
    local ears=$!
    sleep 1
    mosquitto_pub -q 1 -t "geosam/$(cat /proc/sys/kernel/hostname)/request/tester/segment" \
        -m '{"id":"1","points":[[9.17211953,47.65281208]]}'
    wait "$ears"
    grep -q '"status":"ok"' /run/answer
}

# A file system of its own, as a card is; which file system, is the kernel's affair.
insert_card() {
    mount -t tmpfs card /media/geosam
    cp -r /root/card/. /media/geosam
    mount -o remount,ro /media/geosam
}

life() {
    apt-get install -y --no-install-recommends /root/package.deb || fail "apt install"
    ok "apt install $(dpkg-query -W -f '${Package} ${Version} ${Architecture}' geosam-edge)"
    id geosam-edge
    within 20 "it runs without network, broker and card" systemctl is-active "$service"
    [ "$(systemctl is-enabled "$service")" = enabled ] || fail "it is not enabled"
    geosam-edge --version
    [ -e /usr/share/man/man1/geosam-edge-segment.1.gz ] || [ -e /etc/dpkg/dpkg.cfg.d/excludes ] || fail "no man page"
    [ -e /usr/share/bash-completion/completions/geosam-edge ] || fail "no completions"
    said="$(systemd-analyze verify --man=no /lib/systemd/system/geosam-edge.service \
        /lib/systemd/system/media-geosam.mount 2>&1)" || true
    [ -z "$said" ] || fail "systemd-analyze verify says: $said"
    ok "systemd-analyze verify says nothing"
    systemd-analyze security --no-pager "$service" | tail -n 1

    # What the sandbox lets it do.
    can_write /var/lib/geosam-edge || fail "it cannot write its state"
    for place in / /etc /etc/geosam-edge /usr/bin /var/lib /var/log /srv /media /home; do
        ! can_write "$place" || fail "it can write $place"
    done
    ok "it can write its state and nothing else"

    # Broker, model and card come, in the order in which people do it.
    systemctl start mosquitto
    within 40 "it finds the broker that came later" says 'geosam/+/state' online
    cp -r /root/model /var/lib/geosam-edge/models/demo
    insert_card
    within 20 "it finds the card that came later" says 'geosam/+/folder/meadow' '"ready": *true'
    segment || { cat /run/answer; fail "it answers over MQTT"; }
    ok "it answers over MQTT: $(wc -c </run/answer) bytes"
    ! readlink "/proc/$(property MainPID)/fd/"* | grep /media || fail "it keeps files of the card open"
    umount /media/geosam || fail "the card is busy"
    ok "it keeps no file of the card open; the card can be unmounted"
    within 20 "it misses the card" says 'geosam/+/folder/meadow' CARD_ERROR
    insert_card
    sleep 4
    segment || { cat /run/answer; fail "it answers again"; }
    ok "it answers again with the card back in"
    echo "memory of the process: $(grep VmRSS "/proc/$(property MainPID)/status" | tr -s '\t ' ' '), $(grep Threads "/proc/$(property MainPID)/status" | tr -s "\t " " ")"

    # Crashes and hangs.
    before="$(property NRestarts)"
    kill -KILL "$(property MainPID)"
    within 30 "it is started again after a crash" restarted "$before"
    mkdir -p /run/systemd/system/geosam-edge.service.d
    printf '[Service]\nWatchdogSec=20s\n' >/run/systemd/system/geosam-edge.service.d/watchdog.conf
    systemctl daemon-reload
    systemctl restart "$service"
    sleep 25
    before="$(property NRestarts)"
    [ "$before" = 0 ] || fail "the watchdog took it for dead"
    kill -STOP "$(property MainPID)"
    within 60 "the watchdog ends a hang" restarted "$before"

    # Upgrades.
    echo '# mine' >>/etc/geosam-edge/geosam-edge.toml
    state="$(stat -c %i /var/lib/geosam-edge/state.redb)"
    pid="$(property MainPID)"
    apt-get install -y --reinstall /root/package.deb </dev/null || fail "apt install again"
    within 20 "it runs after an upgrade" systemctl is-active "$service"
    [ "$(property MainPID)" != "$pid" ] || fail "the upgrade left the old program running"
    [ "$(stat -c %i /var/lib/geosam-edge/state.redb)" = "$state" ] || fail "the upgrade lost the state"
    grep -qx '# mine' /etc/geosam-edge/geosam-edge.toml || fail "the upgrade lost the configuration"
    [ -e /var/lib/geosam-edge/models/demo/model.toml ] || fail "the upgrade lost the models"
    segment || fail "it answers after an upgrade"
    ok "an upgrade keeps state, configuration and models"
    journalctl --no-pager -u "$service" | grep -iE 'denied|not permitted|panicked' && fail "the sandbox is in its way"
    umount /media/geosam
}

readonly_root() {
    ! touch /usr/x 2>/dev/null || fail "the root can be written"
    within 20 "it runs on a read-only root file system" systemctl is-active "$service"
    ls -ld /var/lib/geosam-edge
    [ -e /var/lib/geosam-edge/state.redb ] || fail "it has no state"
    ok "its state is in the state directory"
}

purge() {
    within 20 "it starts at boot" systemctl is-active "$service"
    apt-get remove -y geosam-edge || fail "apt remove"
    for kept in /var/lib/geosam-edge/state.redb /etc/geosam-edge/geosam-edge.toml; do
        [ -e "$kept" ] || fail "remove takes $kept"
    done
    ! systemctl is-active "$service" || fail "it still runs"
    ok "apt remove keeps state and configuration"
    apt-get purge -y geosam-edge || fail "apt purge"
    left="$(find / -xdev \( -path /root -o -path /proc -o -path /run -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg \) -prune \
        -o -name '*geosam*' -print)"
    [ -z "$left" ] || fail "apt purge leaves $left"
    ! getent passwd geosam-edge || fail "apt purge leaves the user"
    ok "apt purge leaves nothing"
}

case "$PHASE" in
    life) life ;;
    readonly) readonly_root ;;
    purge) purge ;;
esac
echo "$PHASE: all well"
