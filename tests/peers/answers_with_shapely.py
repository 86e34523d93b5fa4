#!/usr/bin/env python3
"""Answers on folders across the antimeridian and around the poles, checked with shapely and pyproj.

The demo folder is laid out in random coordinate systems; each answer's polygons must be valid, no part wider than its chip
and none over another, and their geodesic area that which pyproj computes. The same prompts as a file (`--prompts`), whose
objects are one geometry each, must be valid as a whole. Needs geopandas, pyarrow, shapely 2 and pyproj (PyPI).

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


def geodesic_area(shape, crs):
    """By pyproj; a part that ends at 180 degrees lies on one side of it."""
    back = Transformer.from_crs(crs, 4326, always_xy=True)

    def ring(ring):
        longitudes, latitudes = back.transform(*zip(*ring.coords))
        middle = longitudes[len(longitudes) // 2]
        longitudes = [x + 360 * round((middle - x) / 360) for x in longitudes]
        return abs(GEOD.polygon_area_perimeter(longitudes, latitudes)[0])

    return sum(ring(p.exterior) - sum(map(ring, p.interiors)) for p in getattr(shape, "geoms", [shape]))


def check(features, crs, reach, label):
    """The faults of the features of one answer. No part is wider than `reach` degrees, where that is given."""
    shapes = [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features]
    widest = reach and reach * (1 if crs == 4326 else 111320)
    for shape, feature in zip(shapes, features):
        if not shape.is_valid:
            yield f"{label}: {shapely.is_valid_reason(shape)}"
        for part in getattr(shape, "geoms", [shape]):
            if widest and part.bounds[2] - part.bounds[0] > widest:
                yield f"{label}: a part is {part.bounds[2] - part.bounds[0]} wide"
        told, area = feature["properties"]["area_m2"], geodesic_area(shape, crs)
        # Edges bend in other CRSs; pixels of the answer's last decimal have no area to speak of.
        exact = 1e-5 if crs == 4326 else 3e-3
        if shape.bounds[2] - shape.bounds[0] < 300 and reach and abs(told - area) > exact * area + 0.1:
            yield f"{label}: area {told} for {area}"
    for mask in {feature["properties"]["mask"] for feature in features}:
        own = [s for s, f in zip(shapes, features) if f["properties"]["mask"] == mask and s.is_valid]
        summed, covered = sum(s.area for s in own), shapely.union_all(own).area
        if abs(summed - covered) > 1e-5 * summed:
            yield f"{label}: parts lie over each other, {summed} for {covered}"


def main():
    faults, answered, objects, refused = [], 0, 0, {}
    with tempfile.TemporaryDirectory() as card:
        for number in range(FOLDERS):
            code, pixel, x, y = places()
            turn = 0 if code == 4326 else random.choice([0, random.uniform(0, 360)])
            grid = Affine.translation(x, y) * Affine.rotation(turn) * Affine.scale(pixel, -pixel)
            grid = grid * Affine.translation(-SIDE / 2, -SIDE / 2)
            directory = pathlib.Path(card) / f"f{number}"
            folder(directory, code, grid)
            # Degrees that a chip spans: not known around a pole, where the map of a mask may be as wide as the world.
            corners = [grid * corner for corner in [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (SIDE / 2, SIDE / 2)]]
            places_of = [Transformer.from_crs(code, 4326, always_xy=True).transform(*corner) for corner in corners]
            apart = max(abs((a[0] - b[0] + 180) % 360 - 180) for a in places_of for b in places_of)
            north = max(abs(place[1]) for place in places_of)
            # Mercator stretches what lies in the north.
            reach = 3 * apart if apart < 60 and north < 80 and pixel * SIDE < 340 * (1 if code == 4326 else 1e5) else None
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
                    faults.extend(check(answer["result"]["features"], target, reach, label))
                else:
                    message = answer["error"]["message"]
                    refused[message[:40]] = message
            points = "".join("%r,%r\n" % tuple(request["points"][0]) for request in requests[::5])
            for target in [4326, 3857]:
                tolerance = random.choice([1.5, 4, 20])
                label = f"EPSG:{code} {pixel} turn {turn:.1f} middle {x:.3f},{y:.3f} as a file, {target}, {tolerance}:"
                done = subprocess.run(
                    [COMMAND, "segment", str(directory), "--models", str(DEMO / "models"), "--prompts", "-", "--crs", "source",
                     "--output-crs", f"EPSG:{target}", "--vectorization", "simplified", "--tolerance", str(tolerance)],
                    input="x,y\n" + points, capture_output=True, text=True, check=False)
                for line in done.stdout.splitlines():
                    objects += 1
                    faults.extend(check([json.loads(line)], target, reach, label))
    for fault in faults:
        print(fault)
    for message in refused.values():
        print("refused, for example:", message)
    print(f"{answered} answers and {objects} objects of files on {FOLDERS} folders, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
