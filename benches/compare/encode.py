#!/usr/bin/env python3
"""What encoding costs on the workstation: processor seconds and bytes a chip, with the real geosam.

    venv/bin/pip install geosam==0.1.3 ultralytics==8.4.190
    venv/bin/python benches/compare/encode.py

Weights are random (real ones cannot be shipped, and the time does not depend on them), the raster is noise of 2 chips of
1024 x 1024 pixels. Processor time is counted, over all threads, since it does not depend on what else the machine does; on
N cores that are free it takes about an N-th of it, and a GPU far less.
"""
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rasterio
import torch
from geosam.datasets import RasterDataset
from geosam.engines import FeatureCacheBuilder
from geosam.models import ModelSpec
from ultralytics.models.sam.build import build_mobile_sam, build_sam2_t, build_sam_vit_b

SIDE, CHIPS = 1024, 2
# All of them; or those named on the command line. sam_b takes minutes a chip where the cores are busy.
MODELS = [("mobile_sam", "sam", build_mobile_sam), ("sam_b", "sam", build_sam_vit_b), ("sam2.1_t", "sam2", build_sam2_t)]


def write_raster(path):
    pixels = np.random.default_rng(1).integers(0, 255, (3, SIDE, SIDE * CHIPS), dtype=np.uint8)
    transform = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5300000)
    profile = dict(driver="GTiff", count=3, height=SIDE, width=SIDE * CHIPS, dtype="uint8", crs="EPSG:32632", transform=transform)
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels)


def main():
    print(f"geosam {version('geosam')}, torch {torch.__version__}, {os.cpu_count()} cores, {platform.machine()}")
    with tempfile.TemporaryDirectory() as work:
        raster = Path(work, "noise.tif")
        write_raster(raster)
        for name, family, build in MODELS:
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            checkpoint = Path(work, f"{name}.pt")
            # SAM 2 checkpoints hold their weights under "model", as those that are published.
            state = build().state_dict()
            torch.save({"model": state} if family == "sam2" else state, checkpoint)
            spec = ModelSpec(model_type=family, checkpoint_path=str(checkpoint))
            folder = Path(work, name)
            used = time.process_time()
            FeatureCacheBuilder(RasterDataset(str(raster)), spec, str(folder), chip_size=SIDE, stride=SIDE).build()
            used = time.process_time() - used
            chips = list(folder.glob("features/chip_*.pt"))
            size = sum(chip.stat().st_size for chip in chips) / len(chips)
            print(f"{name:<11} {len(chips)} chips: {used / len(chips):.1f} processor seconds and {size / 1e6:.1f} MB a chip")


if __name__ == "__main__":
    sys.exit(main())
