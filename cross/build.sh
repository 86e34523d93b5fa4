#!/usr/bin/env bash
# Builds the program for a board, from x86_64 Linux: one file that needs nothing but glibc 2.27 or newer.
#
#   cross/build.sh arm64|armhf|amd64
#
# The binary is target/cross/build/<triple>/board/geosam-edge.stripped (the path is printed last, alone on standard
# output); geosam-edge beside it has symbols, for cross/sizes.py and for debuggers.
# Needs Rust, Python 3 and the registries of both; everything else it puts below target/cross.
# PROFILE=release builds without link-time optimisation, for a try.
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/toolchain.sh

[ $# = 1 ] || die "usage: cross/build.sh arm64|armhf|amd64"
toolchain "$1"
profile="${PROFILE:-board}"
# What is loaded at run time where it is there, and costs next to nothing where it is not.
features=()
if [ "$DEB_ARCH" = arm64 ] && grep -q '^tensorrt = ' Cargo.toml; then features=(--features tensorrt); fi
cargo fetch --locked --target "$TRIPLE" >&2
if [ "$profile" = board ]; then hide_paths; fi
# zig takes "strip debug information", which cargo asks for where there is none, for "strip all".
cargo-zigbuild rustc --locked --profile "$profile" --target "$TARGET" --bin geosam-edge "${features[@]}" \
    -- -C strip=none >&2

built="$CARGO_TARGET_DIR/$TRIPLE/$profile/geosam-edge"
strip_symbols "$built" "$built.stripped"
echo "$built.stripped"
