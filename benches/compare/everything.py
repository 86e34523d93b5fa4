"""Many prompts: everything on one chip against ultralytics' automatic masks, and a file of point prompts against a loop over geosam.

The features, the grid of points and the thresholds are the same; `generate` compares boxes where ours compares masks. Ours is the whole process, from its
start to the last Feature; theirs begins with the model and the features in memory.
"""

import json

from measure import REPOSITORY, Row, timed, watched
from peers import Geosam, checkpoint

CHIPS = 20
PROMPTS = 10_000
SAMPLE = 500


def measure(program, work, threads, rounds):
    model = work / "demo" / "mobile_sam.pt"
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        checkpoint(model)
    return [*everything(program, work, model, threads, rounds), *file_of_prompts(program, work, model, threads)]


def everything(program, work, model, threads, rounds):
    folder = some_chips(work / "one-chip", 1)
    found = work / "everything.geojsonl"
    command = [program, "everything", folder, "--models", REPOSITORY / "models/demo/models", "--threads", str(threads),
               "--output-crs", "source", "--output", found]
    automatic = Automatic(folder, model, threads)
    ours, theirs, memory = [], [], 0
    for _ in range(rounds):
        milliseconds, most, status = watched(command)
        if status != 0:
            raise SystemExit(f"{command} ends with {status}")
        ours.append(milliseconds)
        memory = max(memory, most)
        seconds, masks = timed(automatic.generate)
        theirs.append(seconds)
    objects = len(found.read_text().splitlines())
    note = f"{objects} objects, theirs {masks} masks"
    return [Row("-", f"everything on one chip, 1024 points, {threads} threads", ours, theirs, 0.2, note=note),
            Row("-", "memory of that", [memory], bar=300, unit="MB")]


def file_of_prompts(program, work, model, threads):
    """The centres of random boxes, spread over twenty chips; of theirs a sample counts for all."""
    import random

    folder = some_chips(work / "twenty-chips", CHIPS)
    geosam = Geosam(folder, model, work, threads)
    random.seed(1)
    prompts = []
    for _ in range(PROMPTS):
        left, bottom, right, top = random.choice(geosam.frame.geometry.values).bounds
        side = lambda a, b: a + (b - a) * random.uniform(0.1, 0.9)
        prompts.append([side(left, right), side(bottom, top)])
    table = work / "prompts.csv"
    table.write_text("lon,lat\n" + "".join(f"{x},{y}\n" for x, y in prompts))
    command = [program, "segment", folder, "--models", REPOSITORY / "models/demo/models", "--threads", str(threads),
               "--crs", "source", "--output-crs", "source", "--prompts", table, "--output", work / "found.geojsonl"]
    # 1 where a prompt finds nothing.
    ours, memory, status = watched(command)
    if status not in (0, 1):
        raise SystemExit(f"{command} ends with {status}")

    def loop():
        for x, y in prompts[:SAMPLE]:
            geosam.answer({"points": [[x, y]], "labels": [1], "crs": geosam.crs})

    theirs = timed(loop)[0] * PROMPTS / SAMPLE
    note = f"theirs: {SAMPLE} prompts, extrapolated"
    return [Row("-", f"{PROMPTS} point prompts from a file over {CHIPS} chips, {threads} threads", [ours], [theirs], 0.06, note=note),
            Row("-", "memory of that", [memory], bar=300, unit="MB")]


def some_chips(folder, count):
    """The demo's chips, again and again, five kilometres apart."""
    import geopandas as gpd
    import pandas as pd
    import shutil

    if (folder / "manifest.parquet").exists():
        return folder
    demo = REPOSITORY / "models/demo/features"
    frame = gpd.read_parquet(demo / "manifest.parquet")
    (folder / "features").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        row = frame.iloc[[number % len(frame)]].copy()
        shift = 5000.0 * (number // len(frame))
        name = f"chip_{number:06}.pt"
        original = row["feature_path"].iloc[0].replace("\\", "/").rsplit("/", 1)[-1]
        shutil.copy(demo / "features" / original, folder / "features" / name)
        row["feature_path"], row["chip_id"] = f"features/{name}", f"chip_{number:06}"
        transform = json.loads(row["transform"].iloc[0])
        transform[2] += shift
        row["transform"], row["chip_center_x"] = json.dumps(transform), row["chip_center_x"] + shift
        row = row.set_geometry(row.geometry.translate(xoff=shift))
        rows.append(row)
    gpd.GeoDataFrame(pd.concat(rows, ignore_index=True), crs=frame.crs).to_parquet(folder / "manifest.parquet")
    return folder


class Automatic:
    """ultralytics' `generate` on features that are there: its image encoder is not run."""

    def __init__(self, folder, model, threads):
        import torch
        from ultralytics.models.sam import Predictor

        torch.set_num_threads(threads)
        payload = torch.load(next((folder / "features").iterdir()), map_location="cpu")
        self.features = payload["features"].float()
        self.predictor = Predictor(overrides={"model": str(model), "imgsz": 1024, "save": False, "verbose": False, "conf": 0.25, "iou": 0.7})
        self.predictor.setup_model(model=None)
        # The source's height and width are those of the first image of a batch.
        self.predictor.batch = None, [torch.zeros(3, 1024, 1024)], None
        self.predictor.get_im_features = lambda image: self.features
        self.image = torch.zeros(1, 3, 1024, 1024)

    def generate(self):
        import torch

        with torch.no_grad():
            masks, _, _ = self.predictor.generate(self.image, points_stride=32, stability_score_offset=1.0)
        return len(masks)

