"""Draws the demo's buildings with right angles over the scene and over their pixels: docs/outlines.png.

    python3 models/demo/draw_roofs.py target/release/geosam-edge docs/outlines.png

Needs rasterio and matplotlib.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import rasterio
from rasterio.windows import from_bounds

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).parent
HALF = 26  # metres around a building's middle


def ask(program, buildings, *flags):
    """One outline a building, in the scene's own metres."""
    with tempfile.TemporaryDirectory() as directory:
        prompts, answers = Path(directory) / "prompts.geojson", Path(directory) / "answers.geojsonl"
        points = [{"type": "Feature", "id": n, "properties": {}, "geometry": {"type": "Point", "coordinates": b["properties"]["inside"]}}
                  for n, b in enumerate(buildings)]
        prompts.write_text(json.dumps({"type": "FeatureCollection", "features": points}))
        subprocess.run([program, "segment", HERE / "features", "--models", HERE / "models", "--prompts", prompts, "--output", answers,
                        "--output-crs", "source", "--largest-only", *flags], check=True)
        found = {f["id"]: f for f in map(json.loads, answers.read_text().splitlines())}
    return [found[n] for n in range(len(buildings))]


def draw(axes, feature, **style):
    geometry = feature["geometry"]
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    for ring in (ring for polygon in polygons for ring in polygon):
        axes.plot(*np.array(ring).T, **style)


def main(program, picture):
    truth = json.loads((HERE / "truth.geojson").read_text())["features"]
    buildings = [f for f in truth if f["properties"]["kind"] == "building"]
    pixels = ask(program, buildings)
    roofs = ask(program, buildings, "--right-angles", "--measures")
    whole = [n for n, p in enumerate(pixels) if not p["properties"]["touches_chip_edge"]]
    around = lambda n: np.array(roofs[n]["geometry"]["coordinates"][0])
    middle = lambda n: (around(n).min(axis=0) + around(n).max(axis=0)) / 2
    figure, all_axes = plt.subplots(2, 4, figsize=(12, 6.6))
    with rasterio.open(HERE / "scene.tif") as scene:
        low, high = np.array(scene.bounds[:2]) + HALF, np.array(scene.bounds[2:]) - HALF
        shown = [n for n in whole if (low < middle(n)).all() and (middle(n) < high).all()]
        shown.sort(key=lambda n: -roofs[n]["properties"]["pixels"])
        for axes, number in zip(all_axes.flat, shown[::4]):
            x, y = middle(number)
            bounds = (x - HALF, y - HALF, x + HALF, y + HALF)
            window = from_bounds(*bounds, scene.transform)
            image = scene.read((1, 2, 3), window=window).transpose(1, 2, 0)
            axes.imshow(image, extent=(bounds[0], bounds[2], bounds[1], bounds[3]), interpolation="nearest")
            draw(axes, pixels[number], color="white", linewidth=1)
            draw(axes, roofs[number], color="#d00000", linewidth=2)
            told = roofs[number]["properties"]
            axes.set_title(f"{told['perimeter_m']:.1f} m around, {told['orientation_deg']:.0f}°, {told['elongation']:.2f} : 1", fontsize=10)
            axes.set_axis_off()
    figure.tight_layout(h_pad=1.5)
    figure.savefig(picture, dpi=64, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
