//! Any text as a CRS: it is read or refused, in bounded time and memory.
#![no_main]

use geosam_edge::geo::Crs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(crs) = Crs::parse(text) {
        assert!(crs.epsg().is_some());
    }
});
