"""geosam as the peer: its environment, checkpoints that it accepts, folders that it can follow, its answers."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from measure import REPOSITORY

PACKAGES = ["geosam==0.1.3", "ultralytics", "torch", "onnx", "onnxruntime", "rasterio", "shapely", "geopandas",
            "pyarrow", "pyproj", "paho-mqtt"]
INDEX = "https://download.pytorch.org/whl/cpu"


def ensure(directory):
    """Runs this program again in a virtual environment that has the peers, creating it if need be."""
    try:
        import geosam, onnxruntime, paho.mqtt, rasterio, torch, ultralytics  # noqa: F401
        return
    except ImportError as missing:
        python = directory / "bin" / "python"
        if Path(sys.executable) == python:
            raise SystemExit(f"{directory}: {missing}")
    if not python.exists():
        print(f"installing the peers into {directory} ...", file=sys.stderr)
        venv.create(directory, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        # The processor's build of torch, where that index can be reached: the usual one brings gigabytes of CUDA.
        if subprocess.run([*pip, "torch", "torchvision", "--index-url", INDEX]).returncode:
            print("that index cannot be reached; taking torch from PyPI", file=sys.stderr)
        subprocess.run([*pip, *PACKAGES], check=True)
    os.execv(python, [str(python), *sys.argv])


def versions():
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("geosam", "ultralytics", "torch", "onnxruntime", "rasterio"))


def checkpoint(path, seed=None):
    """A checkpoint of MobileSAM that geosam accepts: random weights, or the demo's decoder behind a random encoder."""
    import torch
    from ultralytics.models.sam.build import build_mobile_sam

    torch.manual_seed(seed or 0)
    state = build_mobile_sam().state_dict()
    if seed is None:
        sys.path.insert(0, str(REPOSITORY / "models/demo"))
        from decoder import decoder_state

        state |= decoder_state()
    torch.save(state, path)
    return path


class Geosam:
    """geosam's query engine on a copy of a folder whose paths are this machine's: it cannot follow a moved one."""

    def __init__(self, folder, checkpoint, work, threads):
        import geopandas as gpd
        import torch
        from geosam.engines import FeatureQueryEngine
        from geosam.models import ModelSpec

        torch.set_num_threads(threads)
        self.checkpoint = checkpoint.resolve()
        copy = work / "geosam" / f"{folder.parent.name}-{folder.name}"
        frame = gpd.read_parquet(folder / "manifest.parquet")
        names = [p.replace("\\", "/").rsplit("/", 1)[-1] for p in frame["feature_path"]]
        if not copy.exists():
            (copy / "features").mkdir(parents=True)
            for name in names:
                payload = torch.load(folder / "features" / name, map_location="cpu")
                payload["checkpoint_path"] = str(self.checkpoint)
                torch.save(payload, copy / "features" / name)
            moved = frame.copy()
            moved["feature_path"] = [str(copy.resolve() / "features" / name) for name in names]
            moved["checkpoint_path"] = str(self.checkpoint)
            moved.to_parquet(copy / "manifest.parquet")
        self.frame, self.manifest = gpd.read_parquet(copy / "manifest.parquet"), copy / "manifest.parquet"
        self.family, self.crs = self.frame["model_type"].iloc[0], self.frame.crs.to_string()
        spec = ModelSpec(model_type=self.family, checkpoint_path=str(self.checkpoint))
        self.engine = FeatureQueryEngine(str(self.manifest), spec)

    def answer(self, prompt):
        """GeoJSON text."""
        import numpy as np
        from geosam.query import Points
        from geosam.vectorization import MaskVectorizer

        query = Points(prompt["points"], labels=prompt["labels"], crs=prompt["crs"], dtype=np.float64)
        return json.dumps(MaskVectorizer.from_query_result(self.engine.query(query)).to_geojson())

    def centers(self):
        """A prompt in the middle of each chip, in the folder's CRS, where the nearest chip is that chip."""
        columns = zip(self.frame["chip_center_x"], self.frame["chip_center_y"])
        return [{"points": [[x, y]], "labels": [1], "crs": self.crs} for x, y in columns]


def agreement(ours, theirs):
    """Polygons and corners of two answers in the folder's CRS; the share by which their corners differ."""
    def count(features):
        rings = [ring for f in features for ring in parts(f["geometry"])]
        return len(features), sum(map(len, rings))

    def parts(geometry):
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        return [ring for polygon in polygons for ring in polygon]

    ours, theirs = count(json.loads(ours)["result"]["features"]), count(json.loads(theirs)["features"])
    if abs(ours[1] - theirs[1]) > 0.01 * theirs[1] + 8:
        raise SystemExit(f"the answers differ: {ours} polygons and corners, theirs {theirs}")
    return ours, theirs


def fresh(arguments):
    """What a fresh Python process does for its first answer; the parent times it."""
    folder, path, work, threads, prompt = json.loads(arguments)
    print(Geosam(Path(folder), Path(path), Path(work), threads).answer(prompt))
