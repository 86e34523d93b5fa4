"""The time of one prompt, hot and from a cold start: geosam-edge against geosam, interleaved on this machine.

    cargo build --release
    python benches/compare/one_prompt.py target/release/geosam-edge --checkpoint mobile_sam.pt

Needs geosam, ultralytics, torch (in a virtual environment). The folder is tests/fixtures/folder_sam unless --folder
names another; the checkpoint is the one that encoded it, with its image encoder: geosam
loads nothing less.

hot:  the program runs and has answered on this chip before. Prompt in, GeoJSON bytes out, over pipes for geosam-edge
      (its chip is prepared in memory), in process for geosam (it reads the chip's file at every query).
cold: a fresh process until its first GeoJSON: `geosam-edge segment`, and a Python script that imports geosam.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def moved_manifest(folder, checkpoint, work):
    """geosam cannot follow a moved folder: a copy of its manifest with this machine's paths."""
    import geopandas as gpd

    frame = gpd.read_parquet(folder / "manifest.parquet")
    here = folder.resolve() / "features"
    frame["feature_path"] = [str(here / p.replace("\\", "/").rsplit("/", 1)[-1]) for p in frame["feature_path"]]
    frame["checkpoint_path"] = str(checkpoint.resolve())
    target = work / "manifest.parquet"
    frame.to_parquet(target)
    return target, frame["model_type"].iloc[0], frame.crs.to_string()


def geosam_once(manifest, family, checkpoint, prompt):
    """What the fresh Python process does; the parent times it."""
    import torch
    from geosam.engines import FeatureQueryEngine
    from geosam.models import ModelSpec

    torch.set_num_threads(int(os.environ["THREADS"]))
    engine = FeatureQueryEngine(manifest, ModelSpec(model_type=family, checkpoint_path=checkpoint))
    return engine, geosam_answer(engine, prompt)


def geosam_answer(engine, prompt):
    import numpy as np
    from geosam.query import Points
    from geosam.vectorization import MaskVectorizer

    query = Points(prompt["points"], labels=prompt["labels"], crs=prompt["crs"], dtype=np.float64)
    return json.dumps(MaskVectorizer.from_query_result(engine.query(query)).to_geojson())


def summary(name, ours, theirs):
    ratio = statistics.median(ours) / statistics.median(theirs)
    spread = lambda xs: f"{statistics.median(xs) * 1e3:8.1f} ms (min {min(xs) * 1e3:.1f}, max {max(xs) * 1e3:.1f})"
    print(f"| {name} | {spread(ours)} | {spread(theirs)} | {ratio:.3f} |")


def main():
    parser = argparse.ArgumentParser(description="One prompt, geosam-edge against geosam.")
    parser.add_argument("program", type=Path)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "tests/fixtures/folder_sam")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cold-rounds", type=int, default=5)
    parser.add_argument("--geosam-once", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["THREADS"] = str(options.threads)
    if options.geosam_once:
        print(geosam_once(**options.geosam_once)[1])
        return

    work = Path(tempfile.mkdtemp())
    manifest, family, crs = moved_manifest(options.folder, options.checkpoint, work)
    import geopandas as gpd

    first = gpd.read_parquet(manifest).iloc[0]
    center = [first["chip_center_x"], first["chip_center_y"]]
    prompt = {"points": [center], "labels": [1], "crs": crs}
    request = json.dumps({"id": "1", "output": {"crs": "source"}, **prompt}) + "\n"
    models = work / "models"
    subprocess.run([options.program, "import-model", options.checkpoint, "--models", models], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [options.program, "segment", options.folder, "--models", models, "--threads", str(options.threads)]
    server = subprocess.Popen([*command, "--request", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ours_hot():
        start = time.perf_counter()
        server.stdin.write(request)
        server.stdin.flush()
        answer = server.stdout.readline()
        elapsed = time.perf_counter() - start
        assert json.loads(answer)["status"] == "ok", answer[:500]
        return elapsed, json.loads(answer)

    once = {"manifest": str(manifest), "family": family, "checkpoint": str(options.checkpoint), "prompt": prompt}
    engine, _ = geosam_once(**once)
    ours, theirs = [], []
    ours_hot()
    for _ in range(options.rounds):
        elapsed, answer = ours_hot()
        ours.append(elapsed)
        start = time.perf_counter()
        text = geosam_answer(engine, prompt)
        theirs.append(time.perf_counter() - start)
    server.stdin.close()
    server.wait()
    polygons = len(answer["result"]["features"]), len(json.loads(text)["features"])
    print(f"folder {options.folder.name}, {options.threads} threads, {polygons[0]} polygons (geosam: {polygons[1]})")
    assert abs(polygons[0] - polygons[1]) <= 0.01 * polygons[1] + 1, "the answers differ"

    ours_cold, theirs_cold = [], []
    for _ in range(options.cold_rounds):
        start = time.perf_counter()
        subprocess.run([*command, "--crs", "source", "--output-crs", "source", "--point", ",".join(map(str, center))],
                       check=True, stdout=subprocess.DEVNULL)
        ours_cold.append(time.perf_counter() - start)
        start = time.perf_counter()
        subprocess.run([sys.executable, __file__, options.program, "--checkpoint", options.checkpoint, "--folder",
                        options.folder, "--geosam-once", json.dumps(once)], check=True, stdout=subprocess.DEVNULL)
        theirs_cold.append(time.perf_counter() - start)
    print("| one prompt | geosam-edge | geosam | ratio |\n|---|---|---|---|")
    summary("hot", ours, theirs)
    summary("fresh process", ours_cold, theirs_cold)


if __name__ == "__main__":
    main()
