#!/usr/bin/env bash
# A good engineer would guess: the COCO annotation that sahi makes of a mask has that mask's area and, decoded, its pixels, or sahi says
# that it can not put a hole into polygons.
#
# sahi 0.12.8 leaves the hole out of "segmentation", and takes it off "area", measured through the middles of the border's pixels: of a
# mask of 1200 pixels, which its own Mask has right, the annotation says 1082, and its polygon has 1521.
# Whoever makes training data of SAM's masks with sahi: encode bool_mask with pycocotools, and take its area.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check sahi==0.12.8 pycocotools==2.0.11 numpy==2.2.6
cd "$work"
venv/bin/python -W ignore - <<'EOF_PROBE'
import numpy
import pycocotools.mask
from sahi.annotation import ObjectAnnotation

mask = numpy.zeros((60, 60), bool)
mask[10:50, 10:50] = True
mask[20:40, 20:40] = False
given = ObjectAnnotation.from_bool_mask(mask, category_id=0, category_name="field", full_shape=[60, 60])
made = given.to_coco_annotation().json
whole = pycocotools.mask.merge(pycocotools.mask.frPyObjects(made["segmentation"], 60, 60))
seen = [int(mask.sum()), int(given.mask.bool_mask.sum()), made["area"], int(pycocotools.mask.area(whole)), len(made["segmentation"])]
print("sahi 0.12.8: pixels of the mask, of sahi's, area of the annotation, pixels of its polygons, number of these:", *seen)
assert seen == [1200, 1200, 1082, 1521, 1]
EOF_PROBE
