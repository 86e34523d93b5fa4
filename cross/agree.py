#!/usr/bin/env python3
"""Asks two builds of the program the same prompts and compares what they compute.

    cross/agree.py [--prompts N] REFERENCE PROGRAM...

REFERENCE is the program of this machine; PROGRAM the other one, with the emulator before it if it needs one. The
folders are the project's own: the fixtures, written and answered by geosam, and the demo. Logits and scores must agree
within 1e-4; pixels of masks that differ are counted, since a logit on the threshold may fall to either side. An emulator
needs half a minute a prompt: --prompts asks the first N of each folder only. Needs nothing but Python.
"""

import argparse
import array
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4


def fixture_prompts(folder):
    for prompt in json.loads((ROOT / "tests/fixtures" / folder / "expected.json").read_text()):
        request = {"id": str(prompt["id"]), "crs": prompt["crs"], "output": {"crs": "source", "multimask": prompt["multimask"]}}
        request |= {key: prompt[key] for key in ("points", "labels", "bbox") if prompt[key] is not None}
        yield request


def demo_prompts():
    for row in range(3):
        for column in range(3):
            x, y = 9.17105 + column * 0.0006, 47.65225 + row * 0.0004
            yield {"id": f"p{row}{column}", "points": [[x, y]]}
            yield {"id": f"b{row}{column}", "bbox": [x - 0.0002, y - 0.0001, x + 0.0002, y + 0.0001]}


def ask(program, folder, requests, dump):
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    arguments = ["segment", str(folder), "--request", "-", "--dump", str(dump)]
    environment = {k: v for k, v in os.environ.items() if k != "GEOSAM_EDGE_MODELS"}
    done = subprocess.run([*program, *arguments], input=lines, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(program)} failed on {folder}: {done.stderr}{done.stdout[-500:]}")
    return {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}


def read_npy(path):
    data = path.read_bytes()
    header = int.from_bytes(data[8:10], "little")
    values = array.array("f", data[10 + header :])
    if sys.byteorder != "little":
        values.byteswap()
    return values


def compare(folder, requests, reference, program):
    worst_logit = worst_score = 0.0
    pixels = prompts = 0
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
        expected = ask(reference, folder, requests, ours)
        found = ask(program, folder, requests, theirs)
        for name, answer in expected.items():
            if answer["status"] != "ok":
                assert found[name]["status"] == answer["status"], (answer, found[name])
                continue
            prompts += 1
            for mask, other in zip(answer["masks"], found[name]["masks"], strict=True):
                assert mask["chip_id"] == other["chip_id"], name
                worst_score = max(worst_score, abs(mask["score"] - other["score"]))
                pixels = max(pixels, abs(mask["pixels"] - other["pixels"]))
            here = read_npy(Path(ours) / f"{name}.logits.npy")
            there = read_npy(Path(theirs) / f"{name}.logits.npy")
            assert len(here) == len(there) and here, name
            worst_logit = max(worst_logit, max(abs(a - b) for a, b in zip(here, there)))
    print(
        f"{folder.relative_to(ROOT)}: {prompts} prompts; largest difference: logit {worst_logit:.1e}, "
        f"score {worst_score:.1e}, mask {pixels} pixels",
        flush=True,
    )
    return prompts > 0 and worst_logit <= TOLERANCE and worst_score <= TOLERANCE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int)
    parser.add_argument("reference")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    folders = [
        (ROOT / "tests/fixtures/folder_sam", fixture_prompts("folder_sam")),
        (ROOT / "tests/fixtures/folder_sam2", fixture_prompts("folder_sam2")),
        (ROOT / "models/demo/features", demo_prompts()),
    ]

    def check(folder):
        path, prompts = folder
        return compare(path, list(prompts)[: arguments.prompts], [arguments.reference], arguments.program)

    with ThreadPoolExecutor() as pool:
        agree = list(pool.map(check, folders))
    if not all(agree):
        sys.exit(f"they do not agree within {TOLERANCE}")


if __name__ == "__main__":
    main()
