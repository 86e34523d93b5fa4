"""Times polygonizing and simplifying, ours beside rasterio's and shapely's, on the same masks.

    python -m pip install rasterio shapely
    cargo build --release --example polygonize_time
    python benches/polygonize_time.py [--sides 1024 4096] [--masks MASK.png ...]

Ours and theirs take turns, and the least time of each counts. Both must find the same polygons,
rings and vertices. Theirs: `list(rasterio.features.shapes(...))`, that is, GDALPolygonize and
rasterio's GeoJSON dictionaries; and `shapely.simplify(preserve_topology=True)` at 1.5 pixels.
"""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import shapes
from shapely.geometry import shape

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1.5


def waves(side, length, share, rng):
    """Logits of 256 x 256, enlarged bilinearly: the shapes that masks have."""
    y, x = np.indices((256, 256)) / length
    low = np.sin(x + y / 3) + np.sin(y - x / 2) + np.cos(0.7 * x + 1.1 * y) + share * rng.uniform(-1, 1, (256, 256))
    place = np.clip((np.arange(side) + 0.5) * 256 / side - 0.5, 0, 255)
    lower = np.minimum(place.astype(int), 254)
    weight = place - lower
    rows = low[lower] * (1 - weight)[:, None] + low[lower + 1] * weight[:, None]
    return rows[:, lower] * (1 - weight) + rows[:, lower + 1] * weight > 0


def generated(side):
    rng = np.random.default_rng(1)
    yield "blobs", waves(side, 60, 0, rng)
    yield "small blobs", waves(side, 9, 0.1, rng)
    yield "noisy logits", waves(side, 9, 3, rng)
    yield "noise", rng.random((side, side)) < 0.5


def read(path):
    with rasterio.open(path) as source:
        return source.read(1) != 0


def write(path, mask):
    height, width = mask.shape
    with rasterio.open(path, "w", driver="PNG", height=height, width=width, count=1, dtype="uint8") as target:
        target.write(mask.astype(np.uint8) * 255, 1)


def timed(run):
    start = time.perf_counter()
    result = run()
    return 1e3 * (time.perf_counter() - start), result


def vertices(polygon):
    return len(polygon.exterior.coords) + sum(len(ring.coords) for ring in polygon.interiors)


def compare(name, path, binary, rounds, simplify):
    mask = read(path)
    pixels = mask.astype(np.uint8)
    our_times, their_times, their_simplify = [], [], float("nan")
    for _ in range(rounds):
        line = subprocess.run([binary, path], check=True, capture_output=True, text=True).stdout
        ours = json.loads(line)
        our_times.append((ours["polygonize_ms"], ours["simplify_ms"]))
        elapsed, found = timed(lambda: list(shapes(pixels, mask=mask)))
        their_times.append(elapsed)
    polygons = [shape(geometry) for geometry, _ in found]
    theirs = (len(polygons), sum(1 + len(p.interiors) for p in polygons), sum(map(vertices, polygons)))
    if theirs != (ours["polygons"], ours["rings"], ours["vertices"]):
        raise SystemExit(f"{name}: {theirs} polygons, rings, vertices, ours {ours}")
    simple_vertices = "-"
    if simplify:
        their_simplify, simple = timed(lambda: [polygon.simplify(TOLERANCE) for polygon in polygons])
        simple_vertices = sum(map(vertices, simple))
    our_polygonize, our_simplify = (min(times) for times in zip(*our_times))
    their_polygonize = min(their_times)
    print(
        f"| {name} | {mask.shape[0]} x {mask.shape[1]} | {theirs[2]} | {our_polygonize:.2f} | {their_polygonize:.1f} "
        f"| {our_polygonize / their_polygonize:.3f} | {our_simplify:.2f} | {their_simplify:.1f} "
        f"| {our_simplify / their_simplify:.3f} | {ours['simplified_vertices']} | {simple_vertices} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--masks", nargs="*", default=[], help="grayscale PNG files, set where not 0")
    parser.add_argument("--binary", default=str(ROOT / "target/release/examples/polygonize_time"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-simplify", action="store_true", help="shapely takes minutes on large noise")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    print("| mask | size | vertices | ours, ms | rasterio, ms | ratio | ours, simplify, ms | shapely, ms | ratio | left | left by GEOS |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        named = [(Path(path).name, path) for path in options.masks]
        for side in options.sides:
            for name, mask in generated(side):
                path = str(Path(folder) / f"{name} {side}.png")
                write(path, mask)
                named.append((name, path))
        for name, path in named:
            compare(name, path, options.binary, options.rounds, not options.no_simplify)


if __name__ == "__main__":
    main()
