#!/usr/bin/env bash
# A good engineer would guess: estimate_utm_crs() of a field across the antimeridian, from 179.9 to -179.9 degrees, is zone 60 or zone 1.
#
# geopandas 1.2.0 takes the middle of the numbers, which is Greenwich: zone 30, on the other side of the pole, without a warning. There
# the field is upside down, at a northing of 14,787 km, outside of what the system is for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geopandas==1.2.0 shapely==2.2.0 pyproj==3.7.2 pyogrio==0.13.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import geopandas
from shapely.geometry import Point

points = geopandas.GeoSeries([Point(179.9, 47), Point(-179.9, 47)], crs=4326)
system = points.estimate_utm_crs()
northing = {code: round(points.to_crs(code).iloc[0].y / 1000) for code in (system.to_epsg(), 32660)}
print("geopandas 1.2.0:", system.name, "km of northing there and in zone 60:", northing)
assert system.to_epsg() == 32630 and northing == {32630: 14787, 32660: 5209}
EOF
