//! Sizes: large payloads, what is over the broker's limit, and what is over ours.

use geosam_edge::bus::{BusClient, BusError, BusOptions, OutgoingMessage, Protocol, PublishOutcome};

use crate::mosquitto::{Mosquitto, Setup};
use crate::{BOTH, Bus, options};

#[test]
fn a_mask_of_300_kilobytes_goes_both_ways() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let large: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    for protocol in BOTH {
        let mut bus = Bus::subscribed(options(&broker, protocol, "board"), "large/in");
        let peer = broker.subscribe("large/out", &[]);
        broker.publish("large/in", &large, &[]);
        let message = bus.message();
        assert!(message.payload == large && message.cut_from.is_none());
        bus.handle.acknowledge(message.ack.unwrap());
        let token = bus.handle.publish_with(OutgoingMessage::new("large/out", large.clone())).unwrap();
        assert_eq!(bus.outcome(token), PublishOutcome::Accepted);
        assert!(peer.next().payload == large);
    }
}

#[test]
fn a_message_over_the_brokers_packet_size_is_measured_and_not_sent() {
    let setup = Setup { extra: vec!["max_packet_size 50000".to_owned()], ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let mut bus = Bus::start(options(&broker, Protocol::V5, "board"));
    bus.connected();
    let refused = bus.handle.publish_with(OutgoingMessage::new("a", vec![b'x'; 60_000]));
    assert!(matches!(refused, Err(BusError::TooLarge { limit: 50_000, .. })), "{refused:?}");
    let token = bus.handle.publish_with(OutgoingMessage::new("a", vec![b'x'; 40_000])).unwrap();
    assert_eq!(bus.outcome(token), PublishOutcome::Accepted, "the connection is sound");
}

#[test]
fn a_message_over_our_own_limit_is_not_sent_either() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let mut options = options(&broker, Protocol::V311, "board");
    options.queue.max_packet_bytes = 1000;
    let mut bus = Bus::start(options);
    bus.connected();
    let refused = bus.handle.publish_with(OutgoingMessage::new("a", vec![b'x'; 1000]));
    assert!(matches!(refused, Err(BusError::TooLarge { limit: 1000, .. })), "{refused:?}");
}

#[test]
fn a_payload_that_the_broker_will_not_take_is_refused_and_the_connection_stays() {
    let setup = Setup { extra: vec!["message_size_limit 50000".to_owned()], ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let mut bus = Bus::start(options(&broker, Protocol::V5, "board"));
    bus.connected();
    let peer = broker.subscribe("a", &[]);
    let small = || OutgoingMessage::new("a", "small");
    let first = bus.handle.publish_with(small()).unwrap();
    let large = bus.handle.publish_with(OutgoingMessage::new("a", vec![b'x'; 60_000])).unwrap();
    assert_eq!(bus.outcome(first), PublishOutcome::Accepted);
    let outcome = bus.outcome(large);
    assert!(
        matches!(&outcome, PublishOutcome::Refused { reason } if reason.contains("TooLarge")),
        "{outcome:?}"
    );
    assert_eq!(peer.next().text(), "small");
    let after = bus.handle.publish_with(small()).unwrap();
    assert_eq!(bus.outcome(after), PublishOutcome::Accepted);
    assert_eq!(bus.handle.stats().connections, 1);
}

#[test]
fn a_request_over_the_limit_is_still_seen_and_costs_nobody_anything() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let id = format!("board-{protocol}");
        let options = BusOptions { max_incoming_bytes: 20_000, ..options(&broker, protocol, &id) };
        let filter = format!("geosam/{id}/request/#");
        let mut bus = Bus::subscribed(options.clone(), &filter);
        let segment = format!("geosam/{id}/request/pad/segment");
        let list = format!("geosam/{id}/request/pad/list");
        // More than the broker may have under way, so that a slot that one of them kept would show.
        for _ in 0..40 {
            broker.publish(&segment, &vec![b'x'; 400_000], &[]);
        }
        broker.publish(&list, b"{}", &[]);
        for _ in 0..40 {
            let large = bus.message();
            assert_eq!((large.cut_from, large.payload.len()), (Some(400_000), 0));
            assert_eq!(large.topic, segment, "so that it can be answered");
            bus.handle.acknowledge(large.ack.unwrap());
        }
        let next = bus.message();
        assert_eq!(next.payload, b"{}");
        bus.handle.acknowledge(next.ack.unwrap());
        assert_eq!(bus.handle.stats().connections, 1, "without a disconnect");
    }
}

#[test]
fn a_request_of_any_size_that_came_while_the_board_was_off_is_passed_over() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let id = format!("board-{protocol}");
        let options = options(&broker, protocol, &id);
        let filter = format!("geosam/{id}/request/#");
        let bus = Bus::subscribed(options.clone(), &filter);
        bus.handle.stop(None);
        drop(bus);
        let large = vec![b'x'; 70 << 20];
        broker.publish(&format!("geosam/{id}/request/alice/list"), &large, &[]);
        broker.publish(&format!("geosam/{id}/request/bob/list"), b"{}", &[]);
        let before = resident_bytes();
        let mut bus = Bus::start(options);
        assert!(bus.connected(), "the session is kept");
        let cut = bus.message();
        assert_eq!(cut.cut_from, Some(70 << 20));
        let next = bus.message();
        assert_eq!(next.payload, b"{}");
        assert!(resident_bytes() < before + (20 << 20), "it is not kept in memory");
    }
}

/// Resident memory of this process (proc(5)).
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() << 10
}
