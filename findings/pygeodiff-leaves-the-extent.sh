#!/usr/bin/env bash
# A good engineer would guess: a GeoPackage to which a changeset has been applied says of itself what the one says that the changeset
# was made from, above all where its features lie.
#
# pygeodiff 2.3.2 (Mergin Maps) adds the feature and its entry in the spatial index, and leaves the layer's extent in gpkg_contents as it
# was. GDAL (pyogrio 0.13.0, fiona 1.10.1) gives that as the extent, also when told to compute it: a second field, 900 km away, lies
# outside of it, so "zoom to layer" and programs that skip layers outside of their view miss it.
# Whoever passes masks on as GeoPackages over Mergin Maps: take the bounds from the features, or set min_x, min_y, max_x and max_y of
# gpkg_contents anew after each synchronization.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check \
  pygeodiff==2.3.2 geopandas==1.2.0 pyogrio==0.13.0 fiona==1.10.1 shapely==2.2.0 pandas==3.1.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF_PROBE'
import shutil
import sqlite3
import fiona
import geopandas
import pygeodiff
import pyogrio
from shapely import box


def fields(*boxes):
    return geopandas.GeoDataFrame({"n": range(len(boxes))}, geometry=list(boxes), crs=4326)


fields(box(9, 47, 9.1, 47.1)).to_file("base.gpkg", layer="fields")
for copy in ("edited.gpkg", "synced.gpkg"):
    shutil.copy("base.gpkg", copy)
fields(box(20, 50, 20.1, 50.1)).to_file("edited.gpkg", layer="fields", mode="a")
geodiff = pygeodiff.GeoDiff()
geodiff.create_changeset("base.gpkg", "edited.gpkg", "changes.diff")
geodiff.apply_changeset("synced.gpkg", "changes.diff")
seen = {}
for name in ("edited.gpkg", "synced.gpkg"):
    with fiona.open(name) as layer:
        seen[name] = [layer.bounds, tuple(geopandas.read_file(name).total_bounds.tolist())]
    assert pyogrio.read_info(name, force_total_bounds=True)["total_bounds"] == seen[name][0]
print("pygeodiff 2.3.2, extents by GDAL and of the features, of what was edited and of what the changeset made:", seen)
whole = (9, 47, 20.1, 50.1)
assert seen == {"edited.gpkg": [whole, whole], "synced.gpkg": [(9, 47, 9.1, 47.1), whole]}
with sqlite3.connect("synced.gpkg") as database:
    database.execute("UPDATE gpkg_contents SET min_x = 9, min_y = 47, max_x = 20.1, max_y = 50.1")
assert pyogrio.read_info("synced.gpkg")["total_bounds"] == whole
geodiff.shutdown()
EOF_PROBE
