#!/usr/bin/env bash
# A good engineer would guess: a mask of 6 by 4 pixels has one box in supervision, and a box' area is not less than that of the mask in it.
#
# supervision 0.31.2: from_sam() makes of such a mask the box 3 2 9 6 (its end is the first pixel outside), mask_to_xyxy() 3 2 8 5 (its
# last pixel). The second has an area of 15 around a mask of 24, and of 0 around a line one pixel wide.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check supervision==0.31.2 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import supervision

mask = numpy.zeros((10, 12), bool)
mask[2:6, 3:9] = True
sam = supervision.Detections.from_sam([{"segmentation": mask, "area": 24, "bbox": [3, 2, 6, 4]}])
boxed = supervision.Detections(xyxy=supervision.mask_to_xyxy(mask[None]), mask=mask[None])
seen = [sam.xyxy[0].tolist(), boxed.xyxy[0].tolist(), float(boxed.box_area[0]), float(boxed.area[0])]
print("supervision 0.31.2, box by from_sam() and by mask_to_xyxy(), area of the second and of its mask:", *seen)
assert seen == [[3, 2, 9, 6], [3, 2, 8, 5], 15, 24]
EOF
