//! The restricted unpickler on any bytes: it answers or refuses, and walks what it built.
#![no_main]

use geosam_edge::features::torch::unpickle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(pickle) = unpickle(data) {
        let root = pickle.root();
        for (key, value) in root.items().take(16) {
            let _ = (root.get(key), value.kind(), value.as_tensor(), value.elements().map(Iterator::count));
        }
    }
});
