#!/usr/bin/env bash
# A good engineer would guess: the PROJ string that a parser makes of GDAL's WKT and that of ESRI's WKT of one CRS are the same place.
#
# PyCRS 1.0.2: of EPSG:3035 (LAEA Europe) in ESRI's WKT it is right; in GDAL's, whose names for the middle are latitude_of_center and
# longitude_of_center, the latitude is left out and the longitude has a name that PROJ passes over for it. Munich lies 5,600 km off, without a word.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pycrs==1.0.2 pyproj==3.7.2
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import pycrs
import pyproj

crs = pyproj.CRS.from_epsg(3035)
munich = (11.58, 48.14)


def position(crs):
    return pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(*munich)


true = position(crs)
off = {}
for kind, parse in ("WKT1_GDAL", pycrs.parse.from_ogc_wkt), ("WKT1_ESRI", pycrs.parse.from_esri_wkt):
    text = parse(crs.to_wkt(kind)).to_proj4()
    off[kind] = max(abs(a - b) for a, b in zip(position(pyproj.CRS.from_proj4(text)), true))
    print("PyCRS 1.0.2, EPSG:3035 of", kind, "is off by", round(off[kind]), "m:", text)
assert off["WKT1_ESRI"] < 0.01 and off["WKT1_GDAL"] > 5e6
EOF
