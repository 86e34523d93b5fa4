#!/usr/bin/env bash
# A good engineer would guess: a polygon with a hole, both across 180 degrees, has the hole afterwards, whichever way its exterior runs; the
# package corrects the way of exteriors.
#
# antimeridian 0.4.9: where the exterior runs clockwise the hole is not cut out but added as two more polygons over the first; the area is larger than
# without a hole, and the geometry is invalid. Holes within one side, and polygons without holes, are right either way.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check antimeridian==0.4.9 shapely==2.2.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import antimeridian
from shapely import Polygon

exterior = [(170, 0), (-170, 0), (-170, 10), (170, 10)]
across = [(175, 2), (-175, 2), (-175, 8), (175, 8)]
beside = [(171, 2), (173, 2), (173, 8), (171, 8)]


def fixed(exterior, hole):
    shape = antimeridian.fix_polygon(Polygon(exterior, hole))
    return round(shape.area), shape.is_valid


seen = {
    "no hole": (fixed(exterior, []), fixed(exterior[::-1], [])),
    "a hole beside 180": (fixed(exterior, [beside]), fixed(exterior[::-1], [beside])),
    "a hole across 180": (fixed(exterior, [across]), fixed(exterior[::-1], [across])),
}
for what, (counter, clockwise) in seen.items():
    print("antimeridian 0.4.9,", what, "- square degrees and validity, counter-clockwise:", counter, "clockwise:", clockwise)
assert seen["no hole"] == ((202, True), (202, True)) and seen["a hole beside 180"] == ((190, True), (190, True))
assert seen["a hole across 180"] == ((141, True), (262, False))
EOF
