#!/usr/bin/env bash
# A good engineer would guess: appended to a layer, a column goes into the field of its name, and one of a name that the layer does not
# have is refused, as with fiona.
#
# pyogrio 0.13.0, which geopandas 1.2.0 writes with by default, does so only when their numbers differ: as many columns as the layer has
# fields go into these one by one in the layer's order, whatever their names. The second row's score stands as its area and its area as
# its score; a depth that the layer does not have stands as the score. No warning comes as long as the types agree.
# Whoever adds each day's masks to one GeoPackage or FlatGeobuf: put the columns in the layer's order first
# (new[list(geopandas.read_file(path, rows=0).columns)], which raises for one that is missing), or append with use_arrow=True.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check \
  geopandas==1.2.0 pyogrio==0.13.0 shapely==2.2.0 pandas==3.1.1 numpy==2.4.6
cd "$work"
venv/bin/python -W error - <<'EOF_PROBE'
import geopandas
from shapely import Point


def frame(**columns):
    return geopandas.GeoDataFrame(columns, geometry=[Point(9, 47)], crs=4326)


def appended(second):
    frame(area=[1200.0], score=[0.9]).to_file("fields.gpkg", mode="w")
    second.to_file("fields.gpkg", mode="a")
    return geopandas.read_file("fields.gpkg").drop(columns="geometry").to_dict("records")


fewer = appended(frame(score=[0.7]))
turned = appended(frame(score=[0.8], area=[1500.0]))
other = appended(frame(area=[1500.0], depth=[0.3]))
print("pyogrio 0.13.0, area and score, then score alone appended:", fewer)
print("score and area appended:", turned)
print("area and depth appended:", other)
assert fewer[1]["score"] == 0.7
assert turned == [{"area": 1200.0, "score": 0.9}, {"area": 0.8, "score": 1500.0}]
assert other == [{"area": 1200.0, "score": 0.9}, {"area": 1500.0, "score": 0.3}]
EOF_PROBE
