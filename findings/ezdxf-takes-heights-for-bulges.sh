#!/usr/bin/env bash
# A good engineer would guess: ezdxf makes of a GeoJSON polygon with heights the same hatch as of one without, perhaps at that height,
# since its lines and points of such GeoJSON lie where they should.
#
# ezdxf 1.4.5 (addons.geo) takes each height for a bulge, the third number of a hatch's vertices: a field of 100 m at a height of 300 m
# becomes arcs from 15,000 m west to 15,100 m east of its corner. The default is a hatch; the outline (polygon=2) is right.
# Whoever gives masks or fields to CAD by ezdxf: cut positions to two numbers first (shapely.force_2d()).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check ezdxf==1.4.5 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF_PROBE'
import ezdxf
from ezdxf import bbox
from ezdxf.addons import geo


def extent(height, **options):
    ring = [[x, y, *height] for x, y in ((0, 0), (100, 0), (100, 100), (0, 100), (0, 0))]
    drawing = ezdxf.new()
    for entity in geo.GeoProxy.parse({"type": "Polygon", "coordinates": [ring]}).to_dxf_entities(**options):
        drawing.modelspace().add_entity(entity)
    drawing.saveas("field.dxf")
    box = bbox.extents(ezdxf.readfile("field.dxf").modelspace())
    return [round(number) for corner in (box.extmin, box.extmax) for number in (corner.x, corner.y)]


seen = extent([]), extent([300]), extent([300], polygon=2)
print("ezdxf 1.4.5, x and y of a field of 100 m: without height, at 300 m, and that as outline:", *seen)
assert seen[0] == seen[2] == [0, 0, 100, 100]
assert seen[1][0] < -14000 and seen[1][2] > 15000
EOF_PROBE
