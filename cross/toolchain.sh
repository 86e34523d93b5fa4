# shellcheck shell=bash
# Sourced by the scripts beside it; not to be run. Puts a cross toolchain below target/cross, where `cargo clean`
# finds it: zig as C compiler and linker with cargo-zigbuild (both from PyPI), and the target's standard library,
# from rustup or, where rustup does not serve it, from Debian's packages of Rust.
#
# After `toolchain ARCH` these are set:
#   TRIPLE     Rust's name of the target
#   TARGET     the same with the oldest glibc that the binary shall run with, as cargo-zigbuild wants it
#   DEB_ARCH   Debian's name of the architecture
#   QEMU       the emulator of the processor; empty for the one we are on
# and `cargo zigbuild` finds everything.

# JetPack 4 (Ubuntu 18.04) is the oldest system of interest.
GLIBC=2.27
TOOLS="$PWD/target/cross/tools"
# One place for the build and the objects of all targets, apart from what developers build.
export CARGO_TARGET_DIR="$PWD/target/cross/build"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# The last two are for the scripts that source this file.
# shellcheck disable=SC2034
name_target() {
    case "$1" in
        arm64 | aarch64) DEB_ARCH=arm64 TRIPLE=aarch64-unknown-linux-gnu QEMU=qemu-aarch64 ;;
        armhf | armv7) DEB_ARCH=armhf TRIPLE=armv7-unknown-linux-gnueabihf QEMU=qemu-arm ;;
        amd64 | x86_64) DEB_ARCH=amd64 TRIPLE=x86_64-unknown-linux-gnu QEMU= ;;
        *) die "unknown architecture '$1'; there are arm64, armhf and amd64" ;;
    esac
    TARGET="$TRIPLE.$GLIBC"
}

# Zig and cargo-zigbuild in a Python environment of their own.
install_zig() {
    # Build scripts run on this machine.
    command -v cc >/dev/null || die "a C compiler for this machine is needed (Debian: gcc libc6-dev)"
    # Again when other versions are wanted: the same commit shall give the same bytes.
    if ! cmp -s cross/requirements.txt "$TOOLS/requirements.txt"; then
        say "installing zig and cargo-zigbuild into target/cross/tools"
        rm -rf "$TOOLS"
        mkdir -p "$TOOLS"
        python3 -m venv "$TOOLS" || die "python3 with its venv module is needed (Debian: python3-venv)"
        "$TOOLS/bin/pip" install --quiet --disable-pip-version-check -r cross/requirements.txt
        cp cross/requirements.txt "$TOOLS/requirements.txt"
    fi
    PATH="$TOOLS/bin:$PATH"
}

has_std() { [ -d "$(rustc --print sysroot)/lib/rustlib/$TRIPLE/lib" ]; }

# The standard library of the target, into the toolchain that is in use.
install_std() {
    if has_std; then return; fi
    if command -v rustup >/dev/null; then
        say "asking rustup for $TRIPLE"
        if rustup target add "$TRIPLE" && has_std; then return; fi
    fi
    say "rustup has no standard library for $TRIPLE; taking Rust from Debian's packages"
    use_debian_rust
}

# A whole Rust of Debian's, unpacked into a private prefix: compiler, the host's standard library and the target's
# come from one version. The compiler runs on its own C library, so an older system will do.
use_debian_rust() {
    local prefix="$PWD/target/cross/debian-rust" suite="${GEOSAM_DEBIAN_RUST_SUITE:-forky}"
    command -v apt-get >/dev/null || die "neither rustup nor apt-get has a standard library for $TRIPLE"
    [ "$(dpkg --print-architecture)" = amd64 ] || die "the packages of Debian are set up for an amd64 machine"
    if [ ! -e "$prefix/complete-$DEB_ARCH" ]; then
        unpack_debian_rust "$prefix" "$suite"
        touch "$prefix/complete-$DEB_ARCH"
    fi
    local llvm
    llvm="$(dirname "$(find "$prefix/usr/lib" -name 'libLLVM*.so*' | head -n 1)")"
    mkdir -p "$prefix/bin"
    cat >"$prefix/bin/rustc" <<WRAPPER
#!/bin/sh
exec "$prefix/usr/lib64/ld-linux-x86-64.so.2" --library-path "$prefix/usr/lib/x86_64-linux-gnu:$llvm" \\
    "$prefix/usr/bin/rustc" --sysroot "$prefix/usr" "\$@"
WRAPPER
    chmod +x "$prefix/bin/rustc"
    export RUSTC="$prefix/bin/rustc"
    "$RUSTC" --version >&2 || die "Debian's rustc does not start; see above"
}

unpack_debian_rust() {
    local prefix="$1" suite="$2" apt="$1/apt" mirror
    # shellcheck disable=SC2016 # apt's own variable
    mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | head -n 1)"
    [ -n "$mirror" ] || die "apt knows no Debian mirror to take $suite from"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/empty"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
        "$mirror" "$suite" >"$apt/sources.list"
    cp /var/lib/dpkg/status "$apt/status"
    local options=(-qq -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
        -o "Dir::Cache=$apt/cache" -o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::Etc::SourceParts=$apt/empty"
        -o "APT::Architectures=amd64,$DEB_ARCH" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    # The compiler is a shared library, and needs others, in the very versions of its suite.
    local library packages
    library="$(apt-cache "${options[@]}" search --names-only '^libstd-rust-[0-9.]*$' | head -n 1 | cut -d ' ' -f 1)"
    [ -n "$library" ] || die "$suite has no Rust"
    mapfile -t packages < <(apt-cache "${options[@]}" depends --recurse --important "$library:amd64" |
        grep -E '^[a-z0-9]' | sed 's/:.*//' | sort -u)
    packages=("${packages[@]/%/:amd64}" rustc:amd64 libstd-rust-dev:amd64)
    [ "$DEB_ARCH" = amd64 ] || packages+=("libstd-rust-dev:$DEB_ARCH")
    (cd "$apt" && apt-get "${options[@]}" download "${packages[@]}")
    local deb
    for deb in "$apt"/*.deb; do dpkg -x "$deb" "$prefix"; done
    rm -rf "$apt"
}

# Panic messages name source files. They shall not tell where this machine keeps them, and two machines shall build
# the same bytes.
hide_paths() {
    local cargo_home="${CARGO_HOME:-$HOME/.cargo}" registry
    export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$PWD=/geosam-edge --remap-path-prefix=$cargo_home=/cargo"
    for registry in "$cargo_home"/registry/src/*; do
        [ ! -d "$registry" ] || RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$registry=/crates"
    done
}

# strip_symbols FROM TO, for any processor: with what Rust brings, or a binutils that knows it.
strip_symbols() {
    local sysroot objcopy
    sysroot="$(rustc --print sysroot)"
    objcopy="$(find "$sysroot/lib/rustlib" -name rust-objcopy 2>/dev/null | head -n 1)"
    if [ -n "$objcopy" ] && LD_LIBRARY_PATH="$sysroot/lib" "$objcopy" --strip-all "$1" "$2"; then return; fi
    for objcopy in llvm-objcopy "${TRIPLE/-unknown/}-objcopy" objcopy; do
        if command -v "$objcopy" >/dev/null && "$objcopy" --strip-all "$1" "$2"; then return; fi
    done
    die "nothing here can strip a program for $DEB_ARCH (Debian: llvm, or binutils-multiarch)"
}

toolchain() {
    name_target "$1"
    install_zig
    install_std
}
