//! A footprint of any bytes is read or refused; what is read is a ring of finite positions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut ring = Vec::new();
    if geosam_edge::catalog::read_polygon(bytes, &mut ring).is_ok() {
        assert!(ring.len() >= 3 && ring.iter().flatten().all(|v| v.is_finite()));
    }
});
