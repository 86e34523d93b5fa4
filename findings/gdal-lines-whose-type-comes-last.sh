#!/usr/bin/env bash
# A good engineer would guess: the members of a JSON object have no order, so a file of one GeoJSON Feature a line is read alike
# wherever "type" stands in its lines.
#
# GDAL 3.12.4 (pyogrio 0.13.0) reads every line where "type" comes first. Where it comes last (as writers that sort keys have it)
# the file is taken for plain GeoJSON and its first feature is read alone, without an error or a warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pyogrio==0.13.0
cd "$work"
venv/bin/python -W error - <<'EOF'
import json
import pyogrio

features = [{"geometry": {"coordinates": [n, n], "type": "Point"}, "properties": {"n": n}} for n in range(3)]
for name, put in [("first", lambda f: {"type": "Feature", **f}), ("last", lambda f: {**f, "type": "Feature"})]:
    with open(f"{name}.geojsonl", "w") as file:
        file.writelines(json.dumps(put(feature)) + "\n" for feature in features)
seen = {}
for name in ("first", "last"):
    meta, _, geometry, _ = pyogrio.raw.read(f"{name}.geojsonl")
    seen[name] = pyogrio.read_info(f"{name}.geojsonl")["driver"], len(geometry)
print(f"GDAL {pyogrio.__gdal_version_string__}, driver and features of three lines by the place of \"type\":", seen)
assert seen == {"first": ("GeoJSONSeq", 3), "last": ("GeoJSON", 1)}
EOF
