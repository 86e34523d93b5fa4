#!/usr/bin/env bash
# A good engineer would guess: an 8-bit TIFF says by its photometric interpretation (MinIsBlack: gray) whether a ColorMap that it also
# has is to be used, and all readers agree on what its pixels are.
#
# GDAL (rasterio 1.4.4) takes such a file for a palette and gives its band colours; Pillow 13.0.0 reads it as gray.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 pillow==13.0.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import struct
import rasterio
from PIL import Image

# Two pixels, 1 and 2, and a map that makes the first red and the second green.
colours = [0] * 768
colours[1] = colours[256 + 2] = 65535
pixels, tail = bytes([1, 2]), 10 + 2 * len(colours)
tags = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1),
        (279, 4, 1, len(pixels)), (320, 3, len(colours), 10)]
with open("gray.tif", "wb") as file:
    file.write(b"II*\0" + struct.pack("<I", tail) + pixels + struct.pack("<768H", *colours))
    file.write(struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4))
with rasterio.open("gray.tif") as image:
    by_gdal = image.colorinterp[0].name, image.colormap(1)[1]
by_pillow = Image.open("gray.tif").mode
print(f"GDAL {rasterio.__gdal_version__}: {by_gdal}; Pillow 13.0.0: {by_pillow}")
assert by_gdal == ("palette", (255, 0, 0, 255)) and by_pillow == "L"
EOF
