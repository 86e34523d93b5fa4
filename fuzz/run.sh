#!/usr/bin/env bash
# Makes the corpora of the fuzz targets from the samples in src/fuzzing/seeds.rs, and runs the targets in turn:
#
#   fuzz/run.sh [SECONDS [TARGET...]]    seconds for each target, 60 if not said; all targets if none is named
#
# Needs `cargo install cargo-fuzz`, a nightly Rust and g++. Without a sanitizer of memory: there is no unsafe code that reads what
# strangers send, and without it three times as much is tried. What a target finds stands in fuzz/artifacts/TARGET. The last
# line of each is what docs/durability.md has: runs, and what of the code they have reached.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
fi
GEOSAM_FUZZ_CORPUS=$PWD/fuzz/corpus cargo test --locked --lib --features demo,tensorrt,tract fuzzing::
cargo +nightly fuzz build --sanitizer none
failed=()
for target in "${targets[@]}"; do
    printf '%-14s ' "$target"
    if ! cargo +nightly fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 >"fuzz/$target.log" 2>&1; then
        failed+=("$target")
    fi
    grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "fuzz/$target.log" | tail -1 | tr '\n' ' '
    grep -o 'number_of_executed_units: [0-9]*' "fuzz/$target.log" || echo 'ended without figures'
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "found something, see fuzz/artifacts: ${failed[*]}" >&2
    exit 1
fi
