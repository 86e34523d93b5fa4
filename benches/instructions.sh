#!/bin/sh
# Counts the instructions of the main path under callgrind: a figure without noise, to compare before and after a change.
#
#     cargo build --release
#     sh benches/instructions.sh [PROGRAM] > benches/instructions.txt
#
# Each count is that of one more prompt in a running program, the difference of two runs: on the demo's folder (a smooth
# mask) with one thread. It depends on the compiler and on the processor, whose widest kernels are used; valgrind offers AVX2
# at the most.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$here/target/release/geosam-edge}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

prompt='{"points":[[512256,5277744]],"labels":[1],"crs":"EPSG:32632"'
count() {
    # $1: how many prompts; $2: further members
    : > "$work/requests"
    i=0
    while [ "$i" -lt "$1" ]; do
        echo "$prompt$2}" >> "$work/requests"
        i=$((i + 1))
    done
    valgrind --tool=callgrind --callgrind-out-file="$work/out" "$program" segment "$here/models/demo/features" \
        --models "$here/models/demo/models" --threads 1 --request "$work/requests" > "$work/answers" 2> "$work/log"
    grep -q '"status":"ok"' "$work/answers"
    sed -n 's/^summary: //p; s/^totals: //p' "$work/out" | tail -n 1
}

one=$(count 1 '')
three=$(count 3 '')
simplified=$(count 3 ',"output":{"vectorization":"simplified"}')
echo "instructions, in millions ($(uname -m), $("$program" --version))"
echo "start to first mask        $((one / 1000000))"
echo "one more prompt            $(((three - one) / 2000000))"
echo "one more, simplified       $(((simplified - one) / 2000000))"
