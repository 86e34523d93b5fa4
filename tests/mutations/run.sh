#!/usr/bin/env bash
# Makes faults in a copy of the source, one at a time, and runs the tests that should notice. Names those that none noticed,
# and fails then. Outside CI: each costs a build of the library's tests (minutes). Run from anywhere:
#   tests/mutations/run.sh [NAME...]
# Each NAME.patch beside this file is a fault; its first lines say what it breaks and, after "tests:", which tests run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
copy=${MUTATIONS_DIR:-$root/target/mutations}
features=${MUTATIONS_FEATURES:-demo,tensorrt,tract}
mkdir -p "$copy"
# The copy keeps its own target folder, so that dependencies are built once.
export CARGO_TARGET_DIR=${MUTATIONS_TARGET:-$copy/target}
survivors=()
[ $# -gt 0 ] || set -- $(cd "$here" && ls ./*.patch | sed 's#^\./##; s#\.patch$##')
for name in "$@"; do
    rm -rf "$copy/source" && mkdir "$copy/source"
    git -C "$root" archive HEAD | tar -x -C "$copy/source"
    patch --quiet -d "$copy/source" -p1 < "$here/$name.patch" || { echo "$name: does not apply any more"; survivors+=("$name"); continue; }
    tests=$(sed -n 's/^tests: //p' "$here/$name.patch")
    # shellcheck disable=SC2086
    if (cd "$copy/source" && cargo test --quiet --locked --features "$features" --lib -- $tests) >"$copy/$name.log" 2>&1; then
        echo "SURVIVED $name"
        survivors+=("$name")
    elif grep -q '^test result: FAILED' "$copy/$name.log"; then
        echo "caught   $name by $(sed -n 's/^    \([a-z_:0-9]*\)$/\1/p' "$copy/$name.log" | sort -u | head -3 | paste -sd' ')"
    else
        echo "$name: does not build, see $copy/$name.log"
        survivors+=("$name")
    fi
done
if [ ${#survivors[@]} -gt 0 ]; then
    echo "not noticed: ${survivors[*]}"
    exit 1
fi
