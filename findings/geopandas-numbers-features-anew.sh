#!/usr/bin/env bash
# A good engineer would guess: from_features() keeps the ids of Features as the index, since to_json() writes the index as ids: ids
# survive the way through geopandas.
#
# geopandas 1.2.0 drops them, and to_json() writes "0", "1", ... in their place: the object "field-7" comes back as another one's id, and
# features of two answers share ids.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geopandas==1.2.0 shapely==2.2.0 pyproj==3.7.2 pyogrio==0.13.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import geopandas

features = [{"type": "Feature", "id": f"field-{n}", "properties": {"n": n}, "geometry": {"type": "Point", "coordinates": [9, n]}} for n in (7, 3)]
frame = geopandas.GeoDataFrame.from_features({"type": "FeatureCollection", "features": features})
ids = [feature["id"] for feature in json.loads(frame.to_json())["features"]]
print("geopandas 1.2.0, columns:", list(frame.columns), "ids of field-7 and field-3 after to_json():", ids)
assert list(frame.columns) == ["geometry", "n"] and ids == ["0", "1"]
EOF
