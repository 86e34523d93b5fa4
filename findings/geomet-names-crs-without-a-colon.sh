#!/usr/bin/env bash
# A good engineer would guess: the CRS of EWKB, as PostGIS gives it, becomes a GeoJSON member "crs" that GeoJSON's readers know, "EPSG:25832" or its URN.
#
# geomet 1.1.0: it is called "EPSG25832", which pyproj, and with it geopandas, does not know.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geomet==1.1.0 pyproj==3.7.2 shapely==2.2.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import pyproj
import shapely
from geomet import wkb

ewkb = shapely.to_wkb(shapely.set_srid(shapely.Point(691000, 5334000), 25832), include_srid=True)
name = wkb.loads(ewkb)["crs"]["properties"]["name"]


def is_known(text):
    try:
        pyproj.CRS.from_user_input(text)
        return True
    except pyproj.exceptions.CRSError:
        return False


print("geomet 1.1.0: the CRS of EWKB with SRID 25832 is called", name, "which pyproj knows:", is_known(name))
assert name == "EPSG25832" and not is_known(name) and is_known("EPSG:25832")
EOF
