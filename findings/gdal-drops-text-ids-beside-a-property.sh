#!/usr/bin/env bash
# A good engineer would guess: GeoJSON Features that have an id and a property called "id" come out with both: GDAL makes a column of
# the ids, and calls it otherwise where the name is taken.
#
# GDAL 3.12.4 (pyogrio 0.13.0) makes a column "id" of texts when no property has that name. When one has, it is the property's, and the
# Features' ids are nowhere, without a warning. Ids that are numbers become the FID in both cases.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pyogrio==0.13.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import pyogrio

def read(feature_id, **properties):
    feature = {"type": "Feature", "id": feature_id, "properties": properties, "geometry": {"type": "Point", "coordinates": [9, 47]}}
    with open("one.geojson", "w") as file:
        json.dump({"type": "FeatureCollection", "features": [feature]}, file)
    meta, fids, _, columns = pyogrio.raw.read("one.geojson", return_fids=True)
    return {"fid": int(fids[0]), **{name: column[0] for name, column in zip(meta["fields"], columns)}}

alone, beside, number = read("field-7"), read("field-7", id="row-1"), read(7, id="row-1")
print(f"GDAL {pyogrio.__gdal_version_string__}, a text id alone, a text id and a number beside a property:", alone, beside, number)
assert alone == {"fid": 0, "id": "field-7"}
assert beside == {"fid": 0, "id": "row-1"}
assert number == {"fid": 7, "id": "row-1"}
EOF
