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
fn a_payload_that_the_broker_will_not_take_is_refused_once_and_not_for_ever() {
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
    bus.disconnected();
    bus.connected();
    let after = bus.handle.publish_with(small()).unwrap();
    assert_eq!(bus.outcome(after), PublishOutcome::Accepted);
}

#[test]
fn a_request_over_the_limit_is_still_seen_and_does_not_block_the_session() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let options = BusOptions { max_incoming_bytes: 20_000, ..options(&broker, Protocol::V311, "board") };
    let mut bus = Bus::subscribed(options, "geosam/board/request/#");
    broker.publish("geosam/board/request/pad/segment", &vec![b'x'; 400_000], &[]);
    broker.publish("geosam/board/request/pad/list", b"{}", &[]);
    let (error, _) = bus.disconnected();
    assert!(matches!(error, BusError::Lost { .. }));
    assert!(bus.connected());
    let large = bus.message();
    assert_eq!((large.cut_from, large.payload.len()), (Some(400_000), 0));
    assert_eq!(large.topic, "geosam/board/request/pad/segment", "so that it can be answered");
    bus.handle.acknowledge(large.ack.unwrap());
    let next = bus.message();
    assert_eq!(next.payload, b"{}");
    bus.handle.acknowledge(next.ack.unwrap());
}

#[test]
fn a_request_too_large_to_be_read_at_all_costs_the_session_but_not_the_service() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let options = BusOptions {
        max_incoming_bytes: 20_000,
        rescue_bytes: 100_000,
        ..options(&broker, Protocol::V311, "board")
    };
    let mut bus = Bus::subscribed(options, "geosam/board/request/#");
    broker.publish("geosam/board/request/pad/segment", &vec![b'x'; 400_000], &[]);
    bus.disconnected();
    assert!(!bus.connected(), "the session was discarded");
    bus.subscribe("geosam/board/request/#");
    broker.publish("geosam/board/request/pad/list", b"{}", &[]);
    assert_eq!(bus.message().payload, b"{}");
}

#[test]
fn an_mqtt5_broker_keeps_what_is_over_our_limit_to_itself() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let options = BusOptions { max_incoming_bytes: 20_000, ..options(&broker, Protocol::V5, "board") };
    let mut bus = Bus::subscribed(options, "geosam/board/request/#");
    broker.publish("geosam/board/request/pad/segment", &vec![b'x'; 400_000], &[]);
    broker.publish("geosam/board/request/pad/list", b"{}", &[]);
    assert_eq!(bus.message().payload, b"{}");
    assert_eq!(bus.handle.stats().connections, 1, "without a disconnect");
}
