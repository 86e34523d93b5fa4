#!/usr/bin/env bash
# A good engineer would guess: WKT that ends with AUTHORITY["EPSG","3006"] is EPSG:3006 to whoever reads it, and to_epsg() says so.
#
# rasterio 1.4.4 (GDAL) returns None, and the system is not equal to EPSG:3006, when the WKT has no AXIS, as most of version 1 has none:
# EPSG has the northing first there (as in 2193, 3035 and 31467), and without AXIS the easting is. With AXIS the code is found.
# For EPSG:32632, easting first, it is found either way.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4
cd "$work"
venv/bin/python -W ignore - <<'EOF'
from rasterio.crs import CRS
import rasterio

def utm_like(name, code, meridian, axes):
    base = 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
    if code == 3006:
        base = ('GEOGCS["SWEREF99",DATUM["SWEREF99",SPHEROID["GRS 1980",6378137,298.257222101]],PRIMEM["Greenwich",0],'
                'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4619"]]')
    values = (("latitude_of_origin", 0), ("central_meridian", meridian), ("scale_factor", 0.9996), ("false_easting", 500000), ("false_northing", 0))
    parameters = ",".join(f'PARAMETER["{key}",{value}]' for key, value in values)
    return CRS.from_wkt(f'PROJCS["{name}",{base},PROJECTION["Transverse_Mercator"],{parameters},UNIT["metre",1]{axes},AUTHORITY["EPSG","{code}"]]')

northing_first = ',AXIS["Northing",NORTH],AXIS["Easting",EAST]'
without, with_axes = (utm_like("SWEREF99 TM", 3006, 15, axes) for axes in ("", northing_first))
utm = utm_like("WGS 84 / UTM zone 32N", 32632, 9, "")
seen = without.to_epsg(), with_axes.to_epsg(), utm.to_epsg(), without == CRS.from_epsg(3006)
print(f"rasterio 1.4.4, GDAL {rasterio.__gdal_version__}: code without AXIS, with AXIS, of UTM without AXIS, and whether the first equals EPSG:3006:", seen)
assert seen == (None, 3006, 32632, False)
EOF
