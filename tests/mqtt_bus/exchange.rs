//! Messages both ways: acknowledgement, MQTT 5 properties, order in a burst, retained requests, shared
//! subscriptions.

use std::time::{Duration, Instant};

use geosam_edge::bus::{
    BusClient, BusConnection, BusEvent, OutgoingMessage, Properties, Protocol, PublishOutcome, QoS,
    Subscription,
};

use crate::mosquitto::{Mosquitto, Setup, patience};
use crate::{BOTH, Bus, options};

#[test]
fn messages_go_both_ways_and_are_acknowledged() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let device = format!("board-{}", if protocol == Protocol::V5 { "v5" } else { "v4" });
        let mut bus = Bus::start(options(&broker, protocol, &device));
        assert!(!bus.connected(), "a new session");
        bus.subscribe(&format!("geosam/{device}/request/#"));
        let peer = broker.subscribe(&format!("geosam/{device}/response/#"), &[]);

        broker.publish(&format!("geosam/{device}/request/pad/segment"), b"{\"id\": 1}", &[]);
        let request = bus.message();
        assert_eq!(request.topic, format!("geosam/{device}/request/pad/segment"));
        assert_eq!((request.payload.as_slice(), request.qos), (&b"{\"id\": 1}"[..], QoS::AtLeastOnce));
        assert!(!request.retain && !request.dup);
        bus.handle.acknowledge(request.ack.unwrap());

        let topic = format!("geosam/{device}/response/pad/segment");
        let token = bus.handle.publish_with(OutgoingMessage::new(&topic, "answer")).unwrap();
        assert_eq!(bus.outcome(token), PublishOutcome::Accepted);
        let answer = peer.next();
        assert_eq!((answer.topic.as_str(), answer.text().as_str()), (topic.as_str(), "answer"));

        let once = OutgoingMessage::new(&topic, "once").at_most_once();
        bus.handle.publish_with(once).unwrap();
        assert_eq!(peer.next().text(), "once");
        broker.publish(&format!("geosam/{device}/request/pad/list"), b"{}", &["-q", "0"]);
        let request = bus.message();
        assert_eq!((request.qos, request.ack), (QoS::AtMostOnce, None));
        broker.publish(&format!("geosam/{device}/request/pad/list"), b"{}", &["-q", "2"]);
        assert_eq!(bus.message().qos, QoS::AtLeastOnce, "exactly once arrives as at least once");
    }
}

#[test]
fn request_and_response_meet_by_mqtt5_properties() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let mut bus = Bus::subscribed(options(&broker, Protocol::V5, "board"), "geosam/board/request/#");
    let peer = broker.subscribe("reply/#", &[]);
    let properties = [
        "-D",
        "publish",
        "response-topic",
        "reply/17",
        "-D",
        "publish",
        "correlation-data",
        "c-17",
        "-D",
        "publish",
        "content-type",
        "application/json",
        "-D",
        "publish",
        "user-property",
        "operator",
        "7",
        "-D",
        "publish",
        "message-expiry-interval",
        "60",
    ];
    broker.publish("geosam/board/request/pad/segment", b"{}", &properties);
    let request = bus.message();
    assert_eq!(request.properties.response_topic.as_deref(), Some("reply/17"));
    assert_eq!(request.properties.correlation_data.as_deref(), Some(&b"c-17"[..]));
    assert_eq!(request.properties.content_type.as_deref(), Some("application/json"));
    assert!(request.properties.message_expiry_s.is_some_and(|left| left <= 60));

    let answer = OutgoingMessage::new("reply/17", "ok").with(Properties {
        content_type: Some("application/geo+json".to_owned()),
        correlation_data: request.properties.correlation_data,
        ..Properties::default()
    });
    bus.handle.publish_with(answer).unwrap();
    let answer = peer.next();
    assert_eq!((answer.correlation_data.as_str(), answer.text().as_str()), ("c-17", "ok"));
    assert_eq!(answer.content_type, "application/geo+json");
}

#[test]
fn a_burst_beyond_the_window_arrives_whole_and_in_order() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let mut bus = Bus::start(options(&broker, protocol, "board"));
        bus.connected();
        let peer = broker.subscribe("burst", &[]);
        let message = |index: i32| OutgoingMessage::new("burst", format!("{index}"));
        let tokens: Vec<_> = (0..300).map(|i| bus.handle.publish_with(message(i)).unwrap()).collect();
        for token in tokens {
            assert_eq!(bus.outcome(token), PublishOutcome::Accepted);
        }
        for index in 0..300 {
            assert_eq!(peer.next().text(), index.to_string());
        }
        assert_eq!((bus.handle.stats().waiting, bus.handle.stats().in_flight), (0, 0));
    }
}

#[test]
fn a_request_published_as_retained_is_told_under_mqtt5() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let mut bus = Bus::subscribed(options(&broker, Protocol::V5, "board"), "geosam/board/request/#");
    broker.publish("geosam/board/request/pad/segment", b"{}", &["-r"]);
    assert!(bus.message().retain);
    let again = Subscription { retained_again: false, ..Subscription::new("geosam/board/request/#") };
    bus.handle.subscribe_with(&[again]).unwrap();
    bus.silent(Duration::from_millis(300));
}

#[test]
fn a_shared_subscription_gives_each_request_to_one_board() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let filter = "$share/valley/geosam/fleet/valley/request/#";
    let mut boards = ["a", "b"].map(|id| Bus::subscribed(options(&broker, Protocol::V5, id), filter));
    let topic = "geosam/fleet/valley/request/pad/segment";
    for index in 0..20 {
        broker.publish(topic, format!("{index}").as_bytes(), &[]);
    }
    let mut got = Vec::new();
    let start = Instant::now();
    while got.len() < 20 && start.elapsed() < patience() {
        for board in &mut boards {
            while let Ok(Some(BusEvent::Message(message))) =
                board.events.next_event(Some(Duration::from_millis(20)))
            {
                board.handle.acknowledge(message.ack.unwrap());
                got.push(String::from_utf8(message.payload).unwrap().parse::<u32>().unwrap());
            }
        }
    }
    got.sort_unstable();
    assert_eq!(got, (0..20).collect::<Vec<_>>());
}
