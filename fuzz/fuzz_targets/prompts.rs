//! A file of prompts in any format: no object more than there are features, and no prompt more than objects.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((objects, prompts)) = geosam_edge::fuzzing::prompts(bytes) {
        assert!(prompts <= objects && objects <= bytes.len());
    }
});
