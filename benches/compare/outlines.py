"""Right angles against Building-Regulariser and shapely: on random rectilinear shapes with noise, and on the demo's buildings.

    python3 -m venv venv && venv/bin/pip install buildingregulariser rasterio
    cargo build --release --bin geosam-edge --example outlines
    venv/bin/python benches/compare/outlines.py [--profile release] [--shapes 1000]

A shape is a rectangle of 14 to 60 pixels a side with up to three wings or missing corners of five pixels and more, turned at random. Its mask has the
pixels whose distance from its outline, plus smooth noise of 0.8 pixels, is inside. Outlines are compared with the shape itself: IoU, and the number of
corners. Building-Regulariser is asked as it is by default, without angles of 45 degrees and circles, and at tolerances that suit pixels. Its time is the
processor's, ours the median on the clock; both of drawing alone, on one core, from outlines along pixel edges that are in memory.
"""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from buildingregulariser import regularize_geodataframe
from rasterio.features import shapes as polygonized
from shapely import affinity
from shapely.geometry import Polygon, box, shape

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "models/demo"
NOISE, WAVE = 0.8, 2.5  # pixels: how far an outline is off, and over what length
THEIRS = {
    "Building-Regulariser, defaults": {},
    "the same, right angles only": dict(allow_45_degree=False, allow_circles=False),
    "the same, tolerance 1": dict(allow_45_degree=False, allow_circles=False, simplify_tolerance=1.0),
    "the same, tolerance 1.5, parallel 2.5": dict(allow_45_degree=False, allow_circles=False, simplify_tolerance=1.5, parallel_threshold=2.5),
}


def rectilinear(rng):
    """A rectangle with wings and missing corners, without necks or notches below five pixels."""
    width, height = rng.uniform(14, 60, 2)
    found = box(-width / 2, -height / 2, width / 2, height / 2)
    for _ in range(rng.integers(0, 4)):
        a, b = rng.uniform(6, max(7, width / 2)), rng.uniform(6, max(7, height / 2))
        x, y = rng.choice([-width / 2, width / 2]), rng.choice([-height / 2, height / 2])
        if rng.random() < 0.5:
            to_x, to_y = x - np.sign(x) * a, y - np.sign(y) * b
            changed = found.difference(box(min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))
        else:
            left = rng.uniform(-width / 2, width / 2 - a)
            changed = found.union(box(left, min(y, y + np.sign(y) * b), left + a, max(y, y + np.sign(y) * b)))
        changed = changed.buffer(0)
        grown = lambda by: changed.buffer(by, join_style="mitre").buffer(-by, join_style="mitre")
        is_wide = all(grown(by).symmetric_difference(changed).area < 0.5 for by in (2.5, -2.5))
        if changed.geom_type == "Polygon" and not changed.interiors and is_wide:
            found = changed
    return found.simplify(1e-6)


def mask_of(truth, rng):
    """The pixels of a shape whose outline is displaced by noise, and the first pixel's column and row."""
    left, top = (int(v) - 6 for v in truth.bounds[:2])
    width, height = int(truth.bounds[2]) - left + 6, int(truth.bounds[3]) - top + 6
    x, y = np.meshgrid(np.arange(width) + left + 0.5, np.arange(height) + top + 0.5)
    pixels = shapely.points(x.ravel(), y.ravel())
    distance = shapely.distance(truth.exterior, pixels)
    signed = np.where(shapely.contains(truth, pixels), distance, -distance).reshape(height, width)
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / WAVE) ** 2)
    noise = rng.normal(size=(height, width))
    for axis in (0, 1):
        noise = np.apply_along_axis(lambda line: np.convolve(line, kernel, "same"), axis, noise)
    return signed + noise * NOISE / noise.std() > 0, (left, top)


def random_shapes(count, seed=7):
    """Shapes, and their masks with one region each."""
    rng, truths, masks = np.random.default_rng(seed), [], []
    while len(truths) < count:
        truth = affinity.rotate(rectilinear(rng), rng.uniform(0, 90), origin=(0, 0))
        truth = affinity.translate(truth, 100 + rng.uniform(), 100 + rng.uniform())
        mask, (left, top) = mask_of(truth, rng)
        regions = [(shape(geometry), geometry) for geometry, _ in polygonized(mask.astype(np.uint8), mask=mask)]
        largest = max(regions, key=lambda region: region[0].area)[0]
        x, y = np.meshgrid(np.arange(mask.shape[1]) + 0.5, np.arange(mask.shape[0]) + 0.5)
        masks.append(mask & shapely.contains_xy(largest, x, y))
        truths.append(affinity.translate(truth, -left, -top))
    return truths, masks


def pixel_outlines(masks):
    return [max((shape(g) for g, _ in polygonized(m.astype(np.uint8), mask=m)), key=lambda p: p.area) for m in masks]


def ours(example, masks, *flags):
    """Outlines, how many have right angles, seconds for all of them."""
    lines = "".join(f"{m.shape[0]} {m.shape[1]} {np.packbits(m, axis=1).tobytes().hex()}\n" for m in masks)
    run = subprocess.run([example, *flags], input=lines, check=True, capture_output=True, text=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    outlines = [max((Polygon(p[0], p[1:]) for p in a["coordinates"]), key=lambda p: p.area) for a in answers]
    return outlines, sum(bool(a["right_angles"][0]) for a in answers), len(answers) * np.median([a["microseconds"] for a in answers]) / 1e6


def regularised(outlines, options, crs="EPSG:32632"):
    frame = gpd.GeoDataFrame({"number": range(len(outlines))}, geometry=outlines, crs=crs)
    start = time.process_time()
    found = regularize_geodataframe(frame, num_cores=1, **options)
    seconds = time.process_time() - start
    by_number = dict(zip(found["number"], found.geometry))
    largest = lambda g, own: own if g is None else max(getattr(g, "geoms", [g]), key=lambda p: p.area)
    return [largest(by_number.get(n), own) for n, own in enumerate(outlines)], seconds


def corners(polygon):
    return len(polygon.exterior.coords) - 1


def row(name, truths, found, seconds=None):
    found = [p if p.is_valid else p.buffer(0) for p in found]
    iou = [t.intersection(p).area / t.union(p).area for t, p in zip(truths, found)]
    more = np.array([corners(p) - corners(t) if p.geom_type == "Polygon" else 99 for t, p in zip(truths, found)])
    rectangles = np.array([corners(t) == 4 for t in truths])
    near = f"{np.mean(np.abs(more[rectangles]) <= 1):.3f}" if rectangles.any() else ""
    took = "" if seconds is None else f"{1e6 * seconds / len(truths):.0f} µs"
    print(f"| {name} | {np.mean(iou):.4f} | {np.quantile(iou, 0.05):.4f} | {near} | {np.mean(np.abs(more) <= 1):.3f} | {took} |", flush=True)


HEADER = "| | IoU with the truth, mean | 5th percentile | rectangles within one corner | all within one | an outline |\n|---|---|---|---|---|---|"


def compare_shapes(example, count):
    truths, masks = random_shapes(count)
    pixels = pixel_outlines(masks)
    print(f"{count} shapes, {sum(corners(t) == 4 for t in truths)} of them rectangles\n\n{HEADER}")
    row("pixel edges", truths, pixels)
    row("shapely `simplify(1.5)`", truths, [p.simplify(1.5) for p in pixels])
    for name, options in THEIRS.items():
        found, seconds = regularised(pixels, options)
        row(name, truths, found, seconds)
    found, kept, seconds = ours(example, masks, "--right-angles")
    row(f"right angles ({kept} kept)", truths, found, seconds)
    found, _, seconds = ours(example, masks, "--smooth", "2")
    row("smoothed by 2 pixels", truths, found, seconds)


def demo_outlines(program, *flags):
    """The demo's buildings asked by a point each: true outlines and found ones, in metres."""
    truth = json.loads((DEMO / "truth.geojson").read_text())["features"]
    buildings = [f for f in truth if f["properties"]["kind"] == "building"]
    to_metres = lambda geometries: gpd.GeoSeries(geometries, crs="EPSG:4326").to_crs("EPSG:32632")
    with tempfile.TemporaryDirectory() as directory:
        prompts, answers = Path(directory) / "prompts.geojson", Path(directory) / "answers.geojsonl"
        points = [{"type": "Feature", "id": n, "properties": {}, "geometry": {"type": "Point", "coordinates": f["properties"]["inside"]}}
                  for n, f in enumerate(buildings)]
        prompts.write_text(json.dumps({"type": "FeatureCollection", "features": points}))
        command = [program, "segment", DEMO / "features", "--models", DEMO / "models", "--prompts", prompts, "--output", answers,
                   "--output-crs", "source", "--largest-only", *flags]
        subprocess.run(command, check=True, capture_output=True)
        found = [json.loads(line) for line in answers.read_text().splitlines()]
    found.sort(key=lambda f: f["id"])
    return list(to_metres([shape(f["geometry"]) for f in buildings])), found


def compare_demo(program):
    truths, pixels = demo_outlines(program)
    pixels = [shape(f["geometry"]) for f in pixels]
    # The scene's own outlines run along pixel edges.
    truths = [t.simplify(0.5) for t in truths]
    print(f"\n{len(truths)} buildings of the demo, pixels of half a metre\n\n{HEADER}")
    row("pixel edges", truths, pixels)
    for name, options in THEIRS.items():
        # Their lengths are metres, which are two pixels.
        sizes = {key: value / 2 for key, value in options.items() if isinstance(value, float)}
        sizes.setdefault("simplify_tolerance", 0.25)
        sizes.setdefault("parallel_threshold", 0.5)
        found, seconds = regularised(pixels, {**options, **sizes})
        row(name, truths, found, seconds)
    _, answers = demo_outlines(program, "--right-angles")
    kept = sum(f["properties"]["right_angles"] == "kept" for f in answers)
    row(f"right angles ({kept} kept)", truths, [shape(f["geometry"]) for f in answers])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="release", help="directory below target/ that holds the program and the example")
    parser.add_argument("--shapes", type=int, default=1000)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    built = REPOSITORY / "target" / arguments.profile
    compare_shapes(built / "examples/outlines", arguments.shapes)
    compare_demo(built / "geosam-edge")


if __name__ == "__main__":
    main()
