//! A raster under a picture: any bytes are drawn or refused, and only bounded strips or tiles are decoded.
#![no_main]

use std::io::Write as _;

use geosam_edge::picture::{RasterWindow, read_header, read_window};
use libfuzzer_sys::fuzz_target;

const SIDE: usize = 32;

fuzz_target!(|data: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(data).is_err() {
        return;
    }
    let Ok(header) = read_header(file.path()) else { return };
    // The whole raster, seen small.
    let (across, down) = (f64::from(header.width) / SIDE as f64, f64::from(header.height) / SIDE as f64);
    let to_world = |column: f64, row: f64| header.affine.apply(column * across, row * down);
    let window = RasterWindow { width: SIDE, height: SIDE, to_world: &to_world };
    if let Ok(pixels) = read_window(file.path(), &header, &window) {
        assert_eq!(pixels.len(), SIDE * SIDE);
    }
});
