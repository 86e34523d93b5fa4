#!/usr/bin/env bash
# Builds the map page from web/ into src/web/assets, whose files are committed and embedded in the program. With --check
# it says whether the committed files are those that these sources make. Needs Node 20.19 or newer, and a registry of
# packages the first time.
#
#   web/build.sh [--check]
set -euo pipefail
cd "$(dirname "$0")"
# Without the packages' own scripts: none is needed.
[ -e node_modules/.package-lock.json ] && [ node_modules/.package-lock.json -nt package-lock.json ] ||
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
npx --no-install tsc --noEmit
npx --no-install vite build --logLevel warn
node licences.mjs
if [ "${1:-}" = --check ]; then
    changed="$(git status --porcelain -- ../src/web/assets)"
    if [ -n "$changed" ]; then
        printf 'these built files are not what web/ makes; commit them:\n%s\n' "$changed" >&2
        exit 1
    fi
fi
