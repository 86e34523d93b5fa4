#!/usr/bin/env bash
# A good engineer would guess: the id of a feature in a vector tile is a number, so a text for it is refused, or the feature is written
# without an id, which ids are allowed to be.
#
# mapbox-vector-tile 2.2.0 writes features with a text for an id, and features without one, so that it reads them back itself as
# features with the id 0, all of them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check mapbox-vector-tile==2.2.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import mapbox_vector_tile

features = [{"geometry": f"POINT({n} 0)", "properties": {}, "id": id} for n, id in enumerate(["field-7", "field-8", 9, None])]
tile = mapbox_vector_tile.encode([{"name": "fields", "features": features}])
seen = [feature["id"] for feature in mapbox_vector_tile.decode(tile)["fields"]["features"]]
print("mapbox-vector-tile 2.2.0, ids written", [feature["id"] for feature in features], "and read", seen)
assert seen == [0, 0, 9, 0]
EOF
