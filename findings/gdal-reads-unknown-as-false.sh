#!/usr/bin/env bash
# A good engineer would guess: a logical field of a shapefile that is "?", which dBASE has for not known, is read as null, as empty
# numbers and dates are.
#
# GDAL (fiona 1.10.1) reads it as false. pyshp 3.1.6, which wrote the file here, reads null.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check fiona==1.10.1 pyshp==3.1.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import fiona
import shapefile

with shapefile.Writer("fields", shapeType=shapefile.POINT) as file:
    file.field("sown", "L")
    file.field("yield", "N", 10, 2)
    for sown in (True, False, None):
        file.point(9, 47)
        file.record(sown, None)
with fiona.open("fields.shp") as layer:
    by_gdal = [(row["properties"]["sown"], row["properties"]["yield"]) for row in layer]
with shapefile.Reader("fields") as file:
    by_pyshp = [tuple(record) for record in file.records()]
print(f"true, false and unknown, by GDAL {fiona.__gdal_version__}: {by_gdal}, by pyshp 3.1.6: {by_pyshp}")
assert by_gdal == [(True, None), (False, None), (False, None)]
assert by_pyshp == [(True, None), (False, None), (None, None)]
EOF
