//! A manifest of any bytes is read or refused: no panic, no memory on the word of a length field.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = geosam_edge::catalog::check_manifest(bytes);
});
