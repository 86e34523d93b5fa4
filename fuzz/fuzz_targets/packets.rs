//! What a broker sends: led by a version and the largest payload. The same goes on to the library however the bytes are
//! cut on their way, and it is hardly more than came.
#![no_main]

use geosam_edge::fuzzing::looked_through;
use libfuzzer_sys::fuzz_target;

/// What stands for a payload that is left out, with the length before it.
const MARK: usize = 24 + 4;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[version, limit], stream)) = bytes.split_first_chunk() else { return };
    let (v5, limit) = (version == 5, usize::from(limit) + MARK);
    let whole = looked_through(v5, limit, [stream]);
    let single = looked_through(v5, limit, stream.chunks(1));
    assert_eq!(whole, single);
    if let Ok(whole) = whole {
        // Each that is cut was over the limit.
        assert!(whole.len() <= stream.len() + MARK * (1 + stream.len() / limit));
    }
});
