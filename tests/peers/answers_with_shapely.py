#!/usr/bin/env python3
"""Answers on folders across the antimeridian and around the poles, checked with shapely and pyproj.

The demo folder is laid out in random coordinate systems; each answer's polygons must be valid, no part as wide as the
map, and their geodesic area that which pyproj computes. Needs geopandas, pyarrow, shapely 2 and pyproj (PyPI).

Usage, from the project's root: answers_with_shapely.py PATH_TO_GEOSAM_EDGE [FOLDERS [SEED]]
"""

import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import geopandas
import shapely
from affine import Affine
from pyproj import CRS, Geod, Transformer

warnings.filterwarnings("ignore")
COMMAND = sys.argv[1]
FOLDERS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
DEMO = pathlib.Path("models/demo").resolve()
GEOD = Geod(ellps="WGS84")
SIDE = 1024


def places():
    """A CRS, a pixel's side in its units, and where the middle of the chip lies."""
    kind = random.choice(["zone", "pole", "degrees", "mercator", "world"])
    if kind == "zone":
        code = random.choice([32601, 32660, 32701, 32760])
        south = code > 32700
        latitude = random.uniform(1, 70) * (-1 if south else 1)
        x, y = Transformer.from_crs(4326, code, always_xy=True).transform(180, latitude)
        return code, random.choice([0.3, 10, 60, 300]), x, y
    if kind == "pole":
        code = random.choice([3413, 3031, 3995, 3976, 32661, 32761])
        middle = 2e6 if code in (32661, 32761) else 0
        pixel = random.choice([10, 500, 1000, 3000])
        reach = pixel * SIDE * random.choice([0, 0.3, 0.6])
        return code, pixel, middle + random.uniform(-reach, reach), middle + random.uniform(-reach, reach)
    if kind == "degrees":
        return 4326, random.choice([1e-5, 1e-3, 0.02]), random.choice([180, -180]), random.uniform(-60, 60)
    if kind == "mercator":
        return 3857, random.choice([5, 300, 3000]), random.choice([1, -1]) * 20037508.34, random.uniform(-8e6, 8e6)
    return 4326, 360 / SIDE * random.choice([1, 0.9]), random.choice([0, 180]), 0


def folder(directory, code, grid):
    directory.mkdir()
    (directory / "features").symlink_to(DEMO / "features" / "features")
    frame = geopandas.read_parquet(DEMO / "features" / "manifest.parquet").iloc[[0]].copy()
    corners = [grid * corner for corner in [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]]
    frame["transform"] = json.dumps(list(grid)[:6])
    frame["geometry"] = [shapely.Polygon(corners)]
    frame["chip_center_x"], frame["chip_center_y"] = grid * (SIDE / 2, SIDE / 2)
    frame["crs"] = f"EPSG:{code}"
    frame.set_crs(code, allow_override=True).to_parquet(directory / "manifest.parquet")


def check(answer, crs, label):
    """The faults of one answer."""
    for feature in answer["features"]:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        if not shape.is_valid:
            yield f"{label}: {shapely.is_valid_reason(shape)}"
        if crs == 4326:
            area = sum(
                abs(GEOD.polygon_area_perimeter(*zip(*p.exterior.coords))[0])
                - sum(abs(GEOD.polygon_area_perimeter(*zip(*h.coords))[0]) for h in p.interiors)
                for p in getattr(shape, "geoms", [shape])
            )
            told = feature["properties"]["area_m2"]
            if shape.bounds[2] - shape.bounds[0] < 300 and abs(told - area) > 1e-5 * area + 0.02:
                yield f"{label}: area {told} for {area}"


def main():
    faults, answered, refused = [], 0, {}
    with tempfile.TemporaryDirectory() as card:
        for number in range(FOLDERS):
            code, pixel, x, y = places()
            turn = 0 if code == 4326 else random.choice([0, random.uniform(0, 360)])
            grid = Affine.translation(x, y) * Affine.rotation(turn) * Affine.scale(pixel, -pixel)
            grid = grid * Affine.translation(-SIDE / 2, -SIDE / 2)
            directory = pathlib.Path(card) / f"f{number}"
            folder(directory, code, grid)
            requests, wanted = [], []
            for prompt in range(4):
                column, row = random.uniform(1, SIDE - 1), random.uniform(1, SIDE - 1)
                request = {"crs": "source", "points": [list(grid * (column, row))]}
                for target in [4326, 3857, 8857, 3395, 6933]:
                    drawing = random.choice(["pixel", "simplified"])
                    tolerance = random.choice([1.5, 4, 20])
                    output = {"crs": f"EPSG:{target}", "vectorization": drawing, "tolerance": tolerance, "multimask": prompt == 0}
                    requests.append(request | {"output": output})
                    wanted.append((target, f"EPSG:{code} {pixel} turn {turn:.1f} middle {x:.3f},{y:.3f} {json.dumps(requests[-1])}"))
            lines = "".join(json.dumps(request) + "\n" for request in requests)
            done = subprocess.run(
                [COMMAND, "segment", str(directory), "--models", str(DEMO / "models"), "--request", "-"],
                input=lines, capture_output=True, text=True, check=False)
            for line, (target, label) in zip(done.stdout.splitlines(), wanted, strict=True):
                answer = json.loads(line)
                if answer["status"] == "ok":
                    answered += 1
                    faults.extend(check(answer["result"], target, label))
                else:
                    message = answer["error"]["message"]
                    refused[message[:40]] = message
    for fault in faults:
        print(fault)
    for message in refused.values():
        print("refused, for example:", message)
    print(f"{answered} answers on {FOLDERS} folders, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
