"""Writes the demo's raster `scene.tif` and the outlines of its objects `truth.geojson`.

    python make_scene.py [--output DIR]

The raster is 2048 x 1536 pixels of 0.5 m in UTM zone 32 north. The outlines are the pixel edges of every object, simplified by 0.37 m,
in longitude and latitude; `inside` is a point well inside the object, `pixels` its true number of pixels.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pyproj
import rasterio
from rasterio.features import rasterize, shapes
from rasterio.transform import from_origin
from shapely import transform
from shapely.geometry import mapping, shape
from shapely.ops import unary_union

from scene import scene

SEED = 950_005
WIDTH, HEIGHT, PIXEL = 2048, 1536, 0.5
CRS = "EPSG:32632"
TRANSFORM = from_origin(512_000.0, 5_278_000.0, PIXEL, PIXEL)
SMALLEST = 350  # pixels; less is left of objects cut by the border


def outlines(numbers, objects):
    """(object, its polygon in the raster's CRS) of all objects large enough."""
    for thing in objects:
        mask = (numbers == thing.number).astype(np.uint8)
        if mask.sum() >= SMALLEST:
            parts = [shape(part) for part, value in shapes(mask, mask=mask > 0, transform=TRANSFORM) if value == 1]
            yield thing, unary_union(parts).simplify(0.37)


def inside(mask):
    """Pixel (column, row) farthest from the outside of the mask."""
    distance = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return float(column) + 0.5, float(row) + 0.5


def rounded(geometry):
    """Coordinates with eight decimals (a millimetre), as RFC 7946 nests them."""
    return [rounded(item) for item in geometry] if isinstance(geometry, (list, tuple)) else round(geometry, 8)


def truth(numbers, objects):
    to_lonlat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    features = []
    for thing, polygon in outlines(numbers, objects):
        mask = numbers == thing.number
        again = rasterize([polygon], numbers.shape, transform=TRANSFORM) > 0
        assert (mask & again).sum() / (mask | again).sum() > 0.975, (thing, mask.sum())
        geometry = mapping(transform(polygon, to_lonlat.transform, interleaved=False))
        features.append({
            "type": "Feature", "id": len(features),
            "properties": {"kind": thing.kind, "pixels": int(mask.sum()),
                           "inside": rounded(to_lonlat.transform(*(TRANSFORM * inside(mask))))},
            "geometry": {"type": geometry["type"], "coordinates": rounded(geometry["coordinates"])},
        })
    return features


def main():
    parser = argparse.ArgumentParser(description="Writes the demo's raster and the outlines of its objects.")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent)
    output = parser.parse_args().output
    image, numbers, objects = scene(SEED, HEIGHT, WIDTH)
    with rasterio.open(output / "scene.tif", "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8", crs=CRS,
                       transform=TRANSFORM, photometric="rgb", interleave="pixel", tiled=True, blockxsize=256, blockysize=256,
                       compress="deflate", predictor=2, zlevel=9) as raster:
        raster.write(image.transpose(2, 0, 1))
    lines = ",\n".join(json.dumps(feature, separators=(",", ":")) for feature in truth(numbers, objects))
    (output / "truth.geojson").write_text('{"type":"FeatureCollection","features":[\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
