#!/usr/bin/env python3
"""Reads what `geosam-edge export` writes with GDAL, and compares it with what GDAL reads from the layer itself.

Needs pyogrio and shapely 2 (PyPI). Usage: exports_with_gdal.py PATH_TO_GEOSAM_EDGE
"""

import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import pyogrio
import shapely

COMMAND = sys.argv[1]


def ring(x, y, radius, corners, clockwise):
    turn = -1 if clockwise else 1
    points = [
        [round(x + radius * math.cos(turn * 2 * math.pi * k / corners), 7),
         round(y + radius * math.sin(turn * 2 * math.pi * k / corners), 7)]
        for k in range(corners)
    ]
    return points + points[:1]


def sample(number):
    x, y = random.uniform(-179, 178), random.uniform(-80, 80)
    polygon = [ring(x, y, 0.5, 12, False), ring(x, y, 0.2, 5, True)]
    if number % 5:
        geometry = {"type": "Polygon", "coordinates": polygon}
    else:
        other = [ring(x + 1.2, y, 0.1, 4, False)]
        geometry = {"type": "MultiPolygon", "coordinates": [polygon, other]}
    properties = {
        "score": random.random() if number % 7 else 1,
        "pixels": random.randrange(10**6),
        "touches_chip_edge": bool(number % 2),
        "operator": random.choice(["7", "<&>\"'", "池塘", "é\tè", None]),
        "prompt": {"points": [[x, y]], "labels": [1]},
    }
    return {"type": "Feature", "id": f"id-{number}", "geometry": geometry, "properties": properties}


def read(path):
    meta, _, geometry, columns = pyogrio.raw.read(path)
    fields = dict(zip(meta["fields"], columns))
    key = "Name" if "Name" in fields else "id"
    shapes = dict(zip(fields[key], shapely.from_wkb(geometry)))
    rows = {fields[key][n]: {name: values[n] for name, values in fields.items()} for n in range(len(geometry))}
    return meta, shapes, rows


def is_null(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def main():
    random.seed(5)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "layers").mkdir()
        layer = folder / "layers" / "ponds.geojsonl"
        features = [sample(n) for n in range(500)]
        layer.write_text("".join(json.dumps(f, ensure_ascii=False) + "\n" for f in features), encoding="utf-8")
        _, expected, rows = read(layer)
        assert len(expected) == 500
        for name, suffix in [("geojson", "geojson"), ("geojsonl", "geojsonl"), ("kml", "kml"), ("flatgeobuf", "fgb")]:
            out = folder / f"out.{suffix}"
            subprocess.run(
                [COMMAND, "export", "ponds", "--state", folder, "--format", name, "--output", out], check=True)
            meta, shapes, columns = read(out)
            assert meta["crs"] == "EPSG:4326", meta["crs"]
            assert shapes.keys() == expected.keys(), name
            for key, shape in shapes.items():
                wanted = expected[key]
                assert shapely.is_valid(shape)
                assert shape.equals_exact(wanted, 1e-9) or shape.normalize().equals_exact(
                    shapely.multipolygons([wanted] if wanted.geom_type == "Polygon" else wanted.geoms).normalize(),
                    1e-9), (name, key)
            for key, row in rows.items():
                for field in ["score", "pixels", "touches_chip_edge", "operator", "prompt"]:
                    got, want = columns[key].get(field), row[field]
                    if is_null(want) or is_null(got) or got == "":
                        assert is_null(want) and (is_null(got) or got == ""), (name, key, field, got, want)
                    elif field == "prompt":
                        assert json.loads(got) == json.loads(want), (name, got, want)
                    elif name == "kml":
                        want = str(bool(want)).lower() if field == "touches_chip_edge" else want
                        assert str(got) == str(want) or float(got) == float(want), (name, field, got, want)
                    else:
                        assert got == want, (name, field, got, want)
            types = dict(zip(meta["fields"], meta["dtypes"]))
            print(f"{name}: {len(shapes)} features, {meta['geometry_type']}, {types}")
            if name == "flatgeobuf":
                minx, miny, maxx, maxy = features[7]["geometry"]["coordinates"][0][0] * 2
                found = pyogrio.read_info(out)["capabilities"]["fast_spatial_filter"]
                assert found, "no spatial index"
                hits = pyogrio.raw.read(out, bbox=(minx - .1, miny - .1, maxx + .1, maxy + .1))[2]
                assert len(hits) >= 1
        (folder / "layers" / "empty.geojsonl").write_text("")
        subprocess.run(
            [COMMAND, "export", "empty", "--state", folder, "--format", "flatgeobuf", "--output", folder / "e.fgb"],
            check=True)
        assert len(pyogrio.raw.read(folder / "e.fgb")[2]) == 0
    print(f"1 passed, 0 failed (GDAL {pyogrio.__gdal_version__})")


main()
