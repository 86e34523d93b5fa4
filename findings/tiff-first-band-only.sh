#!/usr/bin/env bash
# A good engineer would guess: read_image() of a TIFF of three bands gives three samples a pixel, however the file arranges them,
# or an error where the arrangement is not supported.
#
# The Rust crate tiff 0.11.3 gives the first band alone of a file whose bands are stored one after another (PlanarConfiguration
# 2, GDAL's INTERLEAVE=BAND), with Ok, while colortype() says RGB.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name probe --vcs none && cargo add --quiet tiff@=0.11.3
python3 - <<'EOF'
import struct

# Two pixels, three bands of 8 bits: 10 20 | 30 40 | 50 60, each band a strip.
pixels = bytes([10, 20, 30, 40, 50, 60])
def write(name, planar, offsets, counts):
    n, tail = len(offsets), 8 + len(pixels)
    listed = lambda values: (4, n, tail + 6 + (0 if values is offsets else 4 * n)) if n > 1 else (4, 1, values[0])
    tags = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, tail), (259, 3, 1, 1), (262, 3, 1, 2), (273, *listed(offsets)),
            (277, 3, 1, 3), (278, 3, 1, 1), (279, *listed(counts)), (284, 3, 1, planar)]
    lists = struct.pack("<3H", 8, 8, 8) + (struct.pack(f"<{2 * n}I", *offsets, *counts) if n > 1 else b"")
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    with open(name, "wb") as file:
        file.write(b"II*\0" + struct.pack("<I", tail + len(lists)) + pixels + lists + body)
write("by_band.tif", 2, [8, 10, 12], [2, 2, 2])
write("by_pixel.tif", 1, [8], [6])
EOF
cat > src/main.rs <<'EOF'
use tiff::decoder::{Decoder, DecodingResult};

fn read(name: &str) -> (tiff::ColorType, Vec<u8>) {
    let mut decoder = Decoder::new(std::fs::File::open(name).unwrap()).unwrap();
    match decoder.read_image().unwrap() {
        DecodingResult::U8(samples) => (decoder.colortype().unwrap(), samples),
        _ => panic!("other samples"),
    }
}

fn main() {
    let (by_band, by_pixel) = (read("by_band.tif"), read("by_pixel.tif"));
    println!("tiff 0.11.3, of two pixels with three bands: by band {by_band:?}, by pixel {by_pixel:?}");
    assert_eq!(by_pixel, (tiff::ColorType::RGB(8), vec![10, 20, 30, 40, 50, 60]));
    assert_eq!(by_band, (tiff::ColorType::RGB(8), vec![10, 20]));
}
EOF
cargo run --quiet
