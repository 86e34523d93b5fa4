"""Goals 2 and 3: one prompt end to end, hot, cold, and from the start of the process, against geosam."""

import json
import subprocess
import sys
from pathlib import Path

from measure import Asked, REPOSITORY, Row, forget, request, timed
from peers import Geosam, agreement, checkpoint


def cases(program, work, corpus):
    """Name, folder, checkpoint for geosam, models for us."""
    demo = work / "demo" / "mobile_sam.pt"
    noise = work / "noise" / "mobile_sam.pt"
    for path, seed in ((demo, None), (noise, 7)):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            checkpoint(path, seed)
    yield "demo", REPOSITORY / "models/demo/features", demo, REPOSITORY / "models/demo/models"
    # A decoder of random weights gives the roughest of masks: tens of thousands of corners.
    yield "noise", REPOSITORY / "tests/fixtures/folder_sam", noise, imported(program, noise)
    if corpus:
        real = corpus / "checkpoints/mobile_sam.pt"
        yield "corpus", corpus / "mobile_sam", real, imported(program, real, work / "corpus-models")


def imported(program, path, models=None):
    models = models or path.parent / "models"
    if not models.exists():
        subprocess.run([program, "import-model", path, "--models", models], check=True, capture_output=True)
    return models


def measure(program, work, corpus, threads, rounds, cold_rounds):
    rows = []
    for name, folder, path, models in cases(program, work, corpus):
        geosam = Geosam(folder, path, work, threads)
        prompts = geosam.centers()
        running = Asked(program, folder, models, threads)
        same = [agreement(running.ask(request(p, "source")), geosam.answer(p)) for p in prompts]
        corners = max(ours[1] for ours, _ in same)
        ours, theirs = [], []
        for _ in range(rounds):
            for prompt in prompts:
                ours.append(timed(lambda: running.ask(request(prompt)))[0])
                theirs.append(timed(lambda: geosam.answer(prompt))[0])
        what = f"{name}, {threads} threads: hot prompt to GeoJSON ({len(prompts)} chips, up to {corners} corners)"
        rows.append(Row("2", what, ours, theirs, 0.15))

        ours, theirs = [], []
        copies = [Path(p) for p in geosam.frame["feature_path"]]
        originals = [folder / "features" / copy.name for copy in copies]
        for _ in range(cold_rounds):
            running.close()
            running = Asked(program, folder, models, threads)
            # The decoder is there from the first prompt on; the other chips have not been read.
            running.ask(request(prompts[0]))
            for prompt, original, copy in list(zip(prompts, originals, copies))[1:]:
                forget(original)
                ours.append(timed(lambda: running.ask(request(prompt)))[0])
                forget(copy)
                theirs.append(timed(lambda: geosam.answer(prompt))[0])
        running.close()
        rows.append(Row("2", f"{name}, {threads} threads: cold, first prompt on a chip", ours, theirs, 0.5))

        ours, theirs = [], []
        arguments = json.dumps([str(folder), str(path), str(work), threads, prompts[0]])
        for _ in range(cold_rounds):
            ours.append(timed(lambda: start(program, folder, models, threads, prompts[0]))[0])
            again = [sys.executable, Path(__file__).with_name("run.py"), "--fresh", arguments]
            theirs.append(timed(lambda: subprocess.run(again, check=True, stdout=subprocess.DEVNULL))[0])
        rows.append(Row("3", f"{name}, {threads} threads: fresh process to its first GeoJSON", ours, theirs, 0.1))
    return rows


def start(program, folder, models, threads, prompt):
    point = ",".join(map(str, prompt["points"][0]))
    command = [program, "segment", folder, "--models", models, "--threads", str(threads), "--crs", prompt["crs"],
               "--point", point]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
