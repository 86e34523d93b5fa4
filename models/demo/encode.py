"""Encodes the demo's raster through geosam's own data path, and lets geosam itself answer prompts on the result.

    pip install geosam ultralytics torch rasterio
    python encode.py ENCODER.pt --checkpoint demo.pt [--output DIR]

geosam does everything (RasterDataset, tiling, FeatureCacheBuilder, EncodedImageFeatures.save, manifest) but the encoding of a
chip's pixels, where the demo's encoder is plugged in as its model adapter. Then the real FeatureQueryEngine is asked for every
object of `truth.geojson`, once with the point inside it and once with its bounds, and the IoU with the truth is printed.
Last, the features are stored as half, and the absolute paths are replaced by those of an imagined machine.

The checkpoint written (SAM's parameter names, the demo's own image encoder under `image_encoder.`) is for `geosam-edge import-model`.
geosam and ultralytics are tools of the developer; nothing of them is part of this project.
"""

import argparse
import json
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import torch
from rasterio import Affine
from rasterio.features import rasterize
from shapely import transform
from shapely.geometry import box, shape
from ultralytics.models.sam.build import build_mobile_sam

from decoder import decoder_state
from evaluate import embed, load_encoder, overlap
from geosam import engines
from geosam.datasets import RasterDataset
from geosam.engines import FeatureCacheBuilder, FeatureQueryEngine
from geosam.models import EncodedImageFeatures, ModelSpec
from geosam.query import BoundingBox, Points
from layout import FRAME
from make_scene import CRS

HERE = Path(__file__).resolve().parent
CHECKPOINT = "demo.pt"
STRIDE = 512
FOREIGN = {"feature_path": "/data/encode/demo/features/", "source_path": "/data/encode/scene.tif",
           "checkpoint_path": "/data/models/" + CHECKPOINT}


class DemoAdapter:
    """What FeatureCacheBuilder needs of a model."""

    def __init__(self, spec, network):
        self.spec, self.network = spec, network

    def encode_image(self, image):
        assert image.shape == (FRAME, FRAME, 3), "the demo encodes chips of the frame's size only"
        features = embed(self.network, image).contiguous(memory_format=torch.channels_last)
        return EncodedImageFeatures("sam", self.spec.resolved_checkpoint_path, image.shape[:2], (FRAME, FRAME), features)


def write_checkpoints(network, target, for_geosam):
    """The demo's checkpoint, and one that geosam's builder accepts: its image encoder is not used here and stays random."""
    weights = decoder_state()
    own = {f"image_encoder.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    torch.save({**own, **weights}, target)
    torch.save({**build_mobile_sam().state_dict(), **weights}, for_geosam)


def encode(network, raster, work, checkpoint):
    spec = ModelSpec(model_type="sam", checkpoint_path=checkpoint)
    original = engines.build_model_adapter
    engines.build_model_adapter = lambda spec: DemoAdapter(spec, network)
    try:
        builder = FeatureCacheBuilder(RasterDataset(raster), spec, work, chip_size=FRAME, stride=STRIDE)
        return builder.build(), spec
    finally:
        engines.build_model_adapter = original


def ask_geosam(manifest, spec, truth):
    """(kind, IoU by point, IoU by box) for every object; the truth is cut to the chip that geosam chose."""
    engine = FeatureQueryEngine(manifest, spec)
    scene = box(*engine.manifest.total_bounds).buffer(-0.01)  # rounded outlines may stick out by a hair
    to_native = pyproj.Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    answers = []
    for feature in truth["features"]:
        polygon = transform(shape(feature["geometry"]), to_native.transform, interleaved=False)
        point = to_native.transform(*feature["properties"]["inside"])
        west, south, east, north = polygon.intersection(scene).bounds
        scores = []
        for query in (Points([point], labels=[1], crs=CRS, dtype=np.float64), BoundingBox(west, south, east, north, crs=CRS)):
            try:
                result = engine.query(query)
            except ValueError:  # no chip covers the box of a long road
                scores.append(float("nan"))
                continue
            here = Affine(*list(result.mask_transform)[:6])
            true = rasterize([polygon], result.mask_array.shape[1:], transform=here) > 0
            scores.append(overlap(result.mask_array[0], true))
        answers.append((feature["properties"]["kind"], *scores))
    return answers


def mean(values):
    values = values[~np.isnan(values)]
    return values.mean() if len(values) else float("nan")


def report(answers):
    for kind in sorted({answer[0] for answer in answers}):
        values = np.array([answer[1:] for answer in answers if answer[0] == kind])
        good = (values >= 0.8).sum(0)
        print(f"{kind:9} {len(values):3} objects: by point {mean(values[:, 0]):.3f} ({good[0]} at least 0.8), "
              f"by box {mean(values[:, 1]):.3f} ({good[1]})")
    for number, (kind, *values) in enumerate(answers):
        if min(values) < 0.8:
            print(f"  below 0.8: object {number}, {kind}, by point {values[0]:.2f}, by box {values[1]:.2f}")


def store(manifest, target):
    """The folder as it is committed: half precision, and paths that exist on no machine."""
    (target / "features").mkdir(parents=True, exist_ok=True)
    frame = gpd.read_parquet(manifest)
    for path in map(Path, frame["feature_path"]):
        encoded = EncodedImageFeatures.load(path)
        small = encoded.features.to(torch.float16)
        assert torch.equal(small.float(), encoded.features)
        encoded.features, encoded.checkpoint_path = small, FOREIGN["checkpoint_path"]
        encoded.save(target / "features" / path.name)
    frame["feature_path"] = [FOREIGN["feature_path"] + Path(path).name for path in frame["feature_path"]]
    frame["source_path"], frame["checkpoint_path"] = FOREIGN["source_path"], FOREIGN["checkpoint_path"]
    frame.to_parquet(target / "manifest.parquet")


def main():
    parser = argparse.ArgumentParser(description="Encodes the demo's raster through geosam and checks geosam's masks on it.")
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, help="where the checkpoint for import-model is written")
    parser.add_argument("--output", type=Path, default=HERE / "features")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = load_encoder(options.encoder)
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for_geosam = work / "demo_mobile_sam.pt"
        write_checkpoints(network, options.checkpoint, for_geosam)
        manifest, spec = encode(network, HERE / "scene.tif", work / "folder", for_geosam)
        report(ask_geosam(manifest, spec, json.loads((HERE / "truth.geojson").read_text())))
        store(manifest, options.output)


if __name__ == "__main__":
    main()
