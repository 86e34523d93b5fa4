//! What a TAK server or a group sends: led by the size of the pieces in which it comes. However it is cut the same markers are in
//! it, all of them somewhere on the earth, and no more than a tag is held.
#![no_main]

use geosam_edge::fuzzing::markers_in;
use libfuzzer_sys::fuzz_target;

/// The longest tag, and what shows that it is too long.
const HELD: usize = (16 << 10) + 1;

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let (markers, held) = markers_in(stream, piece.into());
    assert!(held <= HELD);
    assert_eq!(markers, markers_in(stream, stream.len()).0);
    for (uid, lon, lat) in markers {
        assert!(!uid.is_empty() && lon.abs() <= 180.0 && lat.abs() <= 90.0);
    }
});
