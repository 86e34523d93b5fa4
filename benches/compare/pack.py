"""What `geosam-edge pack` costs and saves: the IoU of masks before and after, the size, and whether geosam reads it."""

import json
import shutil
import subprocess

from measure import Row
from peers import Geosam, agreement
from prompts import cases


def masks(program, folder, models, prompts, directory):
    """The mask of each prompt, and the answers in the folder's CRS."""
    import rasterio

    lines = [json.dumps({"id": f"p{i}", "output": {"crs": "source"}, **p}) for i, p in enumerate(prompts)]
    command = [program, "segment", folder, "--models", models, "--request", "-", "--dump", directory]
    answers = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout
    read = lambda i: rasterio.open(directory / f"p{i}.mask.png").read(1) > 0
    return [read(i) for i in range(len(prompts))], answers.splitlines()


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.pt")) / 1e6


def measure(program, work, corpus):
    rows = []
    for name, folder, checkpoint, models in cases(program, work, corpus):
        packed = work / "packed" / name
        shutil.rmtree(packed, ignore_errors=True)
        subprocess.run([program, "pack", folder, packed], check=True, capture_output=True)
        geosam = Geosam(packed, checkpoint, work, 1)
        prompts = geosam.centers()
        before, _ = masks(program, folder, models, prompts, work / "before")
        after, answers = masks(program, packed, models, prompts, work / "after")
        # Both read the packed folder alike.
        for prompt, answer in zip(prompts, answers):
            agreement(answer, geosam.answer(prompt))
        overlap = [(a & b).sum() / max(1, (a | b).sum()) for a, b in zip(before, after)]
        note = f"IoU of the masks before and after: {sum(overlap) / len(overlap):.5f} on average, {min(overlap):.5f} at worst"
        rows.append(Row("pack", f"{name}: chips in half precision", [size(packed)], [size(folder)], unit="MB", note=note))
    return rows
