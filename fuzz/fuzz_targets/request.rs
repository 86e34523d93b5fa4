//! Request payloads from strangers: never a panic, and what is accepted is within the limits.
#![no_main]

use geosam_edge::api::{Limits, parse_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let limits = Limits::default();
    if let Ok(request) = parse_request(payload, &limits) {
        let prompt = &request.item.prompt;
        assert_eq!(prompt.points.len(), prompt.foreground.len());
        assert!(prompt.points.len() <= limits.max_points);
    }
});
