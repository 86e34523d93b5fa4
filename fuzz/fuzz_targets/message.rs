//! A message of a stranger: topic, payload, MQTT 5 properties. What is taken must be the same after a restart; a refusal
//! goes where it may, and is small.
#![no_main]

use geosam_edge::fuzzing::{Judged, judged, message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(message) = message(bytes) else { return };
    if let Judged::Refused(messages) = judged(message) {
        for refusal in messages {
            assert!(refusal.topic.starts_with("geosam/") && !refusal.topic.contains(['+', '#']));
            assert!(refusal.topic.len() <= 1024 && !refusal.topic.contains(char::is_control));
            assert!(refusal.payload.len() < 4096 && refusal.correlation.is_none_or(|data| data.len() <= 256));
        }
    }
});
