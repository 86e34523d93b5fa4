"""Draws what `geosam-edge everything` has found over the scene, each object in a colour of its own: docs/everything.png.

    geosam-edge everything models/demo/features --output-crs source --output found.geojsonl
    python3 models/demo/draw_everything.py found.geojsonl docs/everything.png

Needs rasterio and OpenCV, as make_demo.sh does.
"""

import colorsys
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import rasterio

LONGEST = 1024


def main(found, picture):
    with rasterio.open(Path(__file__).with_name("scene.tif")) as scene:
        pixels = np.ascontiguousarray(scene.read()[::-1].transpose(1, 2, 0))
        to_pixel = ~scene.transform
    objects = [json.loads(line) for line in Path(found).read_text().splitlines()]
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
    scale = LONGEST / max(shown.shape[:2])
    cv2.imwrite(picture, cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    main(*sys.argv[1:])
