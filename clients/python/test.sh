#!/usr/bin/env bash
# The package as its users have it: built, installed into an environment of its own, its types checked, its tests run on Debian's
# mosquitto and the program that cargo has built (GEOSAM_EDGE, or target/debug/geosam-edge). About a minute after the first time.
#
# Usage: clients/python/test.sh [ARGUMENTS OF PYTEST]
set -euo pipefail
cd "$(dirname "$0")"
environment=../../target/python-client
python=$environment/bin/python
if [ ! -x "$python" ]; then
    "${PYTHON:-python3}" -m venv "$environment"
    "$python" -m pip install --quiet build mypy pyright pytest jsonschema matplotlib rasterio geopandas
fi
# Only what the package itself holds: with the files beside these tests it would work by chance.
rm -rf "$environment/dist"
"$python" -m build --quiet --outdir "$environment/dist" .
rm -rf build
"$python" -m pip install --quiet --force-reinstall --no-deps "$environment"/dist/*.whl
"$python" -m pip install --quiet "$(ls "$environment"/dist/*.whl)[geo]"
"$python" -m mypy
"$python" -m pyright --pythonpath "$python"
"$python" -m pytest -q "$@"
