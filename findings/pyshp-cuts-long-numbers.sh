#!/usr/bin/env bash
# A good engineer would guess: a number that does not fit into the width of its shapefile field is refused, or warned about as a text
# that is too long is, or left empty; and None is an empty value, in a field of text too.
#
# pyshp 3.1.6 writes the first digits: 123456 in a field of five becomes 12345, and -12345 becomes -1234, without a word. None in a
# field of text becomes the word None.
# Whoever writes areas or counts of masks with pyshp: keep the default width of 50 or check it yourself, and write "" for no text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pyshp==3.1.6
cd "$work"
venv/bin/python -W error - <<'EOF_PROBE'
import shapefile

with shapefile.Writer("fields", shapeType=shapefile.POINT) as writer:
    writer.field("area", "N", 5)
    writer.field("crop", "C", 10)
    for area, crop in ((123456, "wheat"), (-12345, None), (None, "rye")):
        writer.point(9, 47)
        writer.record(area, crop)
with shapefile.Reader("fields") as reader:
    seen = [list(record) for record in reader.records()]
print("pyshp 3.1.6 wrote 123456, -12345 and None to a field of five digits, and wheat, None and rye to one of text:", seen)
assert seen == [[12345, "wheat"], [-1234, "None"], [None, "rye"]]
EOF_PROBE
