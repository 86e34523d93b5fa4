#!/usr/bin/env bash
# Makes faults in a copy of the source and runs the tests that should notice. Names those that none noticed, and fails then.
# Outside CI: it costs one build of the library's tests. Run from anywhere:
#   tests/mutations/run.sh [NAME...]
# All faults are in one patch, switches.patch, each behind the value of $MUTATION, so that one build has them all;
# list.tsv has their names, the tests that should notice, and what they break. A hunk that does not apply any more is told:
# make the fault anew in a copy of the source, and `git diff` it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
copy=${MUTATIONS_DIR:-$root/target/mutations}
features=${MUTATIONS_FEATURES:-demo,tensorrt,tract}
# A test that hangs has noticed.
patience=${MUTATIONS_PATIENCE:-900}
# The copy keeps its own target folder, so that dependencies are built once.
export CARGO_TARGET_DIR=${MUTATIONS_TARGET:-$copy/target}
mkdir -p "$copy/source"
git -C "$root" archive HEAD | tar -x -C "$copy/source"
patch --quiet --forward -d "$copy/source" -p1 < "$here/switches.patch" || echo "a hunk does not apply any more"
(cd "$copy/source" && cargo test --locked --features "$features" --lib --no-run) 2>&1 | tee "$copy/build.log"
binary=$CARGO_TARGET_DIR/debug/deps/$(sed -n 's/.*(.*deps\/\(geosam_edge-[0-9a-f]*\))$/\1/p' "$copy/build.log" | tail -1)
survivors=()
while IFS=$'\t' read -r name tests about; do
    [ $# -eq 0 ] || printf '%s\n' "$@" | grep -qx "$name" || continue
    grep -rqF "mutated(\"$name\")" "$copy/source/src" || { echo "GONE     $name"; survivors+=("$name"); continue; }
    status=0
    # shellcheck disable=SC2086
    (cd "$copy/source" && MUTATION=$name timeout "$patience" "$binary" --quiet $tests) >"$copy/$name.log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then
        echo "SURVIVED $name: $about"
        survivors+=("$name")
    else
        echo "caught   $name by $(sed -n 's/^    \([a-z_:0-9]*\)$/\1/p' "$copy/$name.log" | sort -u | head -3 | paste -sd' ')"
    fi
done < "$here/list.tsv"
if [ ${#survivors[@]} -gt 0 ]; then
    echo "not noticed: ${survivors[*]}"
    exit 1
fi
