//! A TIFF chip of Geo-SAM v1 in memory: its directory and its pixels.
#![no_main]

use std::path::Path;

use geosam_edge::features::v1::chip_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(chip) = chip_of(data, Path::new("sam_feat_vit_b.tif")) {
        assert_eq!(chip.embedding.dim(), (256, 64, 64));
    }
});
