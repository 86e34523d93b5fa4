"""Draws what `geosam-edge everything` has found over the scene, each object in a colour of its own: docs/everything.png.

    geosam-edge everything models/demo/features --output-crs source --output found.geojsonl
    python3 models/demo/draw_everything.py found.geojsonl docs/everything.png

And what one prompt has found over all chips, with the chips it was put together from: docs/stitched.png.

    geosam-edge segment models/demo/features --stitch --point 9.15988092,47.6547598 --output-crs source --output road.geojson
    python3 models/demo/draw_everything.py road.geojson docs/stitched.png models/demo/features

Needs rasterio, geopandas and OpenCV, as make_demo.sh does.
"""

import colorsys
import json
import sys
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import rasterio

LONGEST = 1024


def features(path):
    """The Features of a FeatureCollection, or of a file with one a line."""
    text = Path(path).read_text()
    if text.lstrip().startswith('{"type":"FeatureCollection"'):
        return json.loads(text)["features"]
    return [json.loads(line) for line in text.splitlines()]


def main(found, picture, folder=None):
    with rasterio.open(Path(__file__).with_name("scene.tif")) as scene:
        pixels = np.ascontiguousarray(scene.read()[::-1].transpose(1, 2, 0))
        to_pixel = ~scene.transform
    objects = features(found)
    objects.sort(key=lambda o: -o["properties"]["pixels"])
    shown = pixels.copy()
    for number, item in enumerate(objects):
        geometry = item["geometry"]
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        rings = [np.round([to_pixel * tuple(p) for p in ring]).astype(np.int32) for rings in polygons for ring in rings]
        # Neighbours in the list get colours far apart.
        red, green, blue = colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.9, 1.0)
        colour = [255 * blue, 255 * green, 255 * red]
        inside = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(inside, rings, 1)
        shown[inside == 1] = (0.6 * pixels[inside == 1] + 0.4 * np.array(colour)).astype(np.uint8)
        cv2.polylines(shown, rings, True, colour, 3)
    chips = gpd.read_parquet(Path(folder) / "manifest.parquet").geometry if folder else []
    for chip in chips:
        corners = np.round([to_pixel * p for p in chip.exterior.coords]).astype(np.int32)
        cv2.polylines(shown, [corners], True, [255, 255, 255], 4)
    scale = LONGEST / max(shown.shape[:2])
    cv2.imwrite(picture, cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    main(*sys.argv[1:])
