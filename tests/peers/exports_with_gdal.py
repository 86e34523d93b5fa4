#!/usr/bin/env python3
"""Reads what `geosam-edge export` writes with GDAL, and compares it with what GDAL reads from the layer itself.

Needs pyogrio and shapely 2 (PyPI). Usage: exports_with_gdal.py PATH_TO_GEOSAM_EDGE
"""

import json
import math
import pathlib
import random
import sys
import tempfile
import warnings
from datetime import datetime

import pyogrio
import shapely
from layers import export, sample, write

# A GeoPackage has a table of styles beside the layer; the layer comes first.
warnings.filterwarnings("ignore", message="More than one layer found")
COMMAND = sys.argv[1]


def read(path):
    meta, _, geometry, columns = pyogrio.raw.read(path)
    fields = dict(zip(meta["fields"], columns))
    key = "Name" if "Name" in fields else "id"
    shapes = dict(zip(fields[key], shapely.from_wkb(geometry)))
    rows = {fields[key][n]: {name: values[n] for name, values in fields.items()} for n in range(len(geometry))}
    return meta, shapes, rows


def whole(shapes, columns, expected):
    """Objects of which each part is a Placemark of its own, `NAME-1`, `NAME-2`."""
    together = {}
    for name, shape in shapes.items():
        assert shape.geom_type == "Polygon", shape.geom_type
        together.setdefault(name if name in expected else name.rsplit("-", 1)[0], []).append(shape)
    rows = {name if name in expected else name.rsplit("-", 1)[0]: row for name, row in columns.items()}
    return {k: v[0] if len(v) == 1 else shapely.multipolygons(v) for k, v in together.items()}, rows


def is_null(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def main():
    random.seed(5)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        features = [sample(n) for n in range(500)]
        layer = write(folder, "ponds", features)
        _, expected, rows = read(layer)
        assert len(expected) == 500
        for name, suffix in [("geojson", "geojson"), ("geojsonl", "geojsonl"), ("kml", "kml"), ("kmz", "kmz"),
                             ("flatgeobuf", "fgb"), ("gpkg", "gpkg")]:
            out = folder / f"out.{suffix}"
            # The ending says the format.
            export(COMMAND, folder, "ponds", "--output", out)
            meta, shapes, columns = read(out)
            if name in ("kml", "kmz"):
                shapes, columns = whole(shapes, columns, expected)
            assert meta["crs"] == "EPSG:4326", meta["crs"]
            assert shapes.keys() == expected.keys(), name
            for key, shape in shapes.items():
                wanted = expected[key]
                assert shapely.is_valid(shape)
                assert shape.equals_exact(wanted, 1e-9) or shape.normalize().equals_exact(
                    shapely.multipolygons([wanted] if wanted.geom_type == "Polygon" else wanted.geoms).normalize(),
                    1e-9), (name, key)
            for key, row in rows.items():
                for field in ["score", "pixels", "touches_chip_edge", "operator", "prompt", "saved_at"]:
                    got, want = columns[key].get(field), row[field]
                    if is_null(want) or is_null(got) or got == "":
                        assert is_null(want) and (is_null(got) or got == ""), (name, key, field, got, want)
                    elif field == "prompt":
                        assert json.loads(got) == json.loads(want), (name, got, want)
                    elif field == "saved_at" and name in ("kml", "kmz"):
                        # KML has no type for times.
                        assert datetime.fromisoformat(got) == datetime.fromisoformat(f"{want}Z"), (name, got, want)
                    elif field == "touches_chip_edge" and name in ("kml", "kmz"):
                        # Truth values are texts there.
                        assert json.loads(got) is bool(want), (name, got, want)
                    else:
                        assert got == want, (name, field, got, want)
            types = dict(zip(meta["fields"], meta["dtypes"]))
            print(f"{name}: {len(shapes)} features, {meta['geometry_type']}, {types}")
            if name in ("flatgeobuf", "gpkg"):
                minx, miny, maxx, maxy = features[7]["geometry"]["coordinates"][0][0] * 2
                found = pyogrio.read_info(out)["capabilities"]["fast_spatial_filter"]
                assert found, "no spatial index"
                hits = pyogrio.raw.read(out, bbox=(minx - .1, miny - .1, maxx + .1, maxy + .1))[2]
                assert len(hits) >= 1
            assert types["saved_at"] == ("object" if name in ("kml", "kmz") else "datetime64[ms]"), types
            assert types["pixels"] in ("int32", "int64") and types["score"] == "float64", types
            assert types["touches_chip_edge"] == ("object" if name in ("kml", "kmz") else "bool"), types
        write(folder, "empty", [])
        for suffix in ("fgb", "kml", "kmz"):
            export(COMMAND, folder, "empty", "--output", folder / f"e.{suffix}")
            assert len(pyogrio.raw.read(folder / f"e.{suffix}")[2]) == 0
    print(f"1 passed, 0 failed (GDAL {pyogrio.__gdal_version__})")


main()
