#!/usr/bin/env bash
# Runs another processor's build under an emulator (qemu-user), on x86_64 Linux.
#
#   cross/test.sh arm64 [ARGUMENTS OF cargo test]     the test suite, then the decoder against this machine's
#   cross/test.sh armhf                               the decoder only: the suite would take hours
#   cross/test.sh arm64|armhf --decoder               the same without the suite
#
# Needs, beside what cross/build.sh needs, Debian's qemu-user and libc6-arm64-cross or libc6-armhf-cross, and for some
# tests mosquitto. PROGRAM=FILE compares a program that is built already; otherwise one is built in the release profile,
# as the tests are: fat link-time optimisation says nothing about them.
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/toolchain.sh

[ $# -ge 1 ] || die "usage: cross/test.sh arm64|armhf [--decoder | arguments of cargo test]"
toolchain "$1"
shift
[ -n "$QEMU" ] || die "there is nothing to emulate; run cargo test"
command -v "$QEMU" >/dev/null || die "$QEMU is needed (Debian: qemu-user)"
libc="/usr/${TRIPLE/armv7-unknown-linux-gnueabihf/arm-linux-gnueabihf}"
libc="${libc/-unknown/}"
[ -e "$libc/lib/libc.so.6" ] || die "$libc is needed (Debian: libc6-$DEB_ARCH-cross)"
emulator=("$QEMU" -L "$libc")

if [ "$DEB_ARCH" = arm64 ] && [ "${1:-}" != --decoder ]; then
    # cargo starts the tests with it, and the tests the program.
    variable="CARGO_TARGET_$(tr a-z- A-Z_ <<<"$TRIPLE")_RUNNER"
    export "$variable=${emulator[*]}" GEOSAM_TEST_RUNNER="${emulator[*]}"
    cargo-zigbuild test --locked --release --target "$TARGET" "$@"
fi

program="${PROGRAM:-$(PROFILE=release cross/build.sh "$DEB_ARCH")}"
say "building this machine's program for comparison"
CARGO_TARGET_DIR=target cargo build --locked --bin geosam-edge
cross/agree.py target/debug/geosam-edge "${emulator[@]}" "$program"
