#!/usr/bin/env bash
# A good engineer would guess: masks of two sizes cannot be merged or compared: merge() and iou() of pycocotools raise an error.
#
# pycocotools 2.0.11 returns a mask of 0 by 0 pixels with an area of 0 from merge(), and an IoU of -1, which any threshold takes for
# no overlap.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
from pycocotools import mask

one, two = (mask.encode(numpy.ones((4, width), "uint8", order="F")) for width in (5, 6))
merged, overlap = mask.merge([one, two]), mask.iou([one], [two], [0])
print("pycocotools 2.0.11, of 4x5 and 4x6 pixels, all set:", merged, int(mask.area(merged)), overlap.tolist())
assert merged["size"] == [0, 0] and mask.area(merged) == 0 and overlap.tolist() == [[-1]]
EOF
