//! A raster as tiles: the first bytes say which tile, the others are the file. Any bytes give tiles or a refusal, and a tile
//! is a whole PNG.
#![no_main]

use std::io::Write as _;

use geosam_edge::picture::{TilePlace, TiledRaster};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[z, x, y], raster)) = data.split_first_chunk() else { return };
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(raster).is_err() {
        return;
    }
    let Ok(raster) = TiledRaster::open(file.path()) else { return };
    let (width, height) = raster.size();
    // A preview of more would take long.
    if u64::from(width) * u64::from(height) < 1 << 26 {
        let _ = raster.prepare(&|| true);
    }
    let place = TilePlace { z: z % 32, x: u32::from(x), y: u32::from(y) };
    if let Ok(Some(png)) = raster.tile(place) {
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xAE\x42\x60\x82"));
    }
});
