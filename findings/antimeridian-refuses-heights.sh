#!/usr/bin/env bash
# A good engineer would guess: of a polygon with heights that crosses 180 degrees the heights are kept or dropped, as of one that does not cross.
#
# antimeridian 0.4.9: one that does not cross keeps its heights; one that crosses ends in "too many values to unpack" from within, and without
# great circles (great_circle=False) in another error of NumPy's. A whole FeatureCollection fails for one such Feature.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check antimeridian==0.4.9 shapely==2.2.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import antimeridian


def fixed(east, **more):
    ring = [[170, 0, 5], [east, 0, 5], [east, 10, 5], [170, 10, 5], [170, 0, 5]]
    try:
        shape = antimeridian.fix_geojson({"type": "Polygon", "coordinates": [ring]}, **more)
        return sorted({len(position) for part in flat(shape["coordinates"]) for position in [part]})
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def flat(value):
    return [tuple(value)] if not hasattr(value[0], "__len__") else [p for part in value for p in flat(part)]


seen = fixed(175), fixed(-170), fixed(-170, great_circle=False)
print("antimeridian 0.4.9, numbers a position: not across", seen[0], "| across", seen[1], "| across, great_circle=False", seen[2])
features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[[east, 0, 5], [170, 0, 5], [170, 9, 5], [east, 0, 5]]]}} for east in (160, -170)]
try:
    antimeridian.fix_geojson({"type": "FeatureCollection", "features": features})
    collection = "taken"
except ValueError as error:
    collection = str(error)
print("a collection of both:", collection)
assert seen[0] == [3] and str(seen[1]).startswith("ValueError: too many values to unpack")
assert str(seen[2]).startswith("ValueError") and collection.startswith("too many values")
EOF
