#!/usr/bin/env bash
# A good engineer would guess: results that are the ground truth itself have an average precision of 1, whichever numbers the
# annotations have.
#
# pycocotools 2.0.11 takes the id 0 for no match: with ids from 0 the annotation that has it counts as missed and its result as wrong,
# 0.56 for four objects. With ids from 1 it is 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import contextlib, io
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

def precision(first):
    rings = [[x, 2, x + 6, 2, x + 6, 8, x, 8] for x in (2, 12, 22, 32)]
    common = {"image_id": 1, "category_id": 1}
    truth, results = COCO(), []
    annotations = []
    for n, ring in enumerate(rings):
        box = {"iscrowd": 0, "area": 36, "bbox": [ring[0], 2, 6, 6]}
        annotations.append({**common, **box, "id": first + n, "segmentation": [ring]})
        results.append({**common, "score": 0.9 - n / 10, "segmentation": mask.frPyObjects([ring], 20, 60)[0]})
    image = {"id": 1, "width": 60, "height": 20, "file_name": "a"}
    truth.dataset = {"info": {}, "images": [image], "categories": [{"id": 1, "name": "field"}], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return round(float(evaluation.stats[0]), 3)

from_0, from_1 = precision(0), precision(1)
print("pycocotools 2.0.11, average precision with ids from 0 and from 1:", from_0, from_1)
assert from_1 == 1 and 0.5 < from_0 < 0.6
EOF
