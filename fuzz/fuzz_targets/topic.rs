//! Any topic a broker may deliver is read without a panic, and answered on a topic that can be
//! published to.
#![no_main]

use geosam_edge::bus::{Inbound, Topics};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|topic: &str| {
    let Ok(topics) = Topics::new("geosam", "board", &["valley".to_owned()]) else { return };
    let patterns = ["{root}/{device}/response/{client}/".to_owned(), "reply".to_owned()];
    match topics.parse(topic) {
        Inbound::Request(address) => {
            let response = topics.response(&address);
            assert_eq!(response, topic.replacen("/request/", "/response/", 1));
            assert!(topics.allows_response_topic(&response, &address, &patterns) || topic.contains("/fleet/"));
        }
        Inbound::Faulty { reply_to: Some(reply), .. } => {
            assert!(reply.contains("/response/") && !reply.contains(['+', '#', '\0']));
        }
        _ => {}
    }
});
