//! Who is away, and comes back: our session, the last will, a broker that restarts, hangs or is not there.

use std::time::{Duration, Instant};

use geosam_edge::bus::{
    BackoffOptions, BrokerUrl, BusClient, BusConnection, BusError, BusEvent, BusOptions, OutgoingMessage,
    Protocol, PublishOutcome,
};

use crate::mosquitto::{Mosquitto, Setup, free_port, patience};
use crate::{BOTH, Bus, options};

#[test]
fn a_message_that_was_not_acknowledged_comes_again() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let id = format!("board-{protocol}");
        let filter = format!("geosam/{id}/request/#");
        let mut bus = Bus::subscribed(options(&broker, protocol, &id), &filter);
        for text in ["1", "2", "3"] {
            broker.publish(&format!("geosam/{id}/request/pad/segment"), text.as_bytes(), &[]);
        }
        let requests: Vec<_> = (0..3).map(|_| bus.message()).collect();
        // The third is done first, but the broker may hear of it only after the second.
        bus.handle.acknowledge(requests[2].ack.unwrap());
        bus.handle.acknowledge(requests[0].ack.unwrap());
        broker.wait_for_log(&format!("Received PUBACK from {id}"));
        drop(bus);

        let mut bus = Bus::start(options(&broker, protocol, &id));
        assert!(bus.connected(), "the session was kept");
        let again = [bus.message(), bus.message()];
        assert_eq!([&again[0].payload, &again[1].payload], [b"2", b"3"]);
        assert!(again[0].dup && again[1].dup);
        for message in again {
            bus.handle.acknowledge(message.ack.unwrap());
        }
        bus.handle.stop(None);
        assert!(bus.stopped());

        let mut bus = Bus::start(options(&broker, protocol, &id));
        assert!(bus.connected());
        bus.silent(Duration::from_millis(300));
    }
}

#[test]
fn requests_sent_while_we_are_away_wait_in_the_broker() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let id = format!("board-{protocol}");
        let mut bus = Bus::subscribed(options(&broker, protocol, &id), &format!("geosam/{id}/request/#"));
        bus.handle.stop(None);
        assert!(bus.stopped());
        for index in 0..50 {
            let topic = format!("geosam/{id}/request/pad/segment");
            broker.publish(&topic, format!("{index}").as_bytes(), &[]);
        }
        let mut bus = Bus::start(options(&broker, protocol, &id));
        assert!(bus.connected());
        for index in 0..50 {
            let message = bus.message();
            assert_eq!(String::from_utf8_lossy(&message.payload), index.to_string());
            bus.handle.acknowledge(message.ack.unwrap());
        }
    }
}

#[test]
fn the_last_will_is_seen_when_we_are_gone_and_the_farewell_when_we_stop() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    for protocol in BOTH {
        let state = format!("geosam/board-{protocol}/state");
        let will = Some(OutgoingMessage::new(&state, "offline: lost").retained());
        let options = BusOptions { will, ..options(&broker, protocol, &format!("board-{protocol}")) };
        let peer = broker.subscribe(&state, &[]);
        let mut bus = Bus::start(options.clone());
        bus.connected();
        bus.handle.publish_with(OutgoingMessage::new(&state, "online").retained()).unwrap();
        assert_eq!(peer.next().text(), "online");
        drop(bus);
        assert_eq!(peer.next().text(), "offline: lost");

        let mut bus = Bus::start(options);
        bus.connected();
        bus.handle.publish_with(OutgoingMessage::new(&state, "online").retained()).unwrap();
        assert_eq!(peer.next().text(), "online");
        let start = Instant::now();
        bus.handle.stop(Some(OutgoingMessage::new(&state, "offline: stopped").retained()));
        assert!(bus.stopped(), "the farewell was acknowledged");
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!(peer.next().text(), "offline: stopped");
        assert_eq!(peer.within(Duration::from_millis(300)), None, "no will after leave was taken");
        let late = broker.subscribe(&state, &[]).next();
        assert_eq!((late.text().as_str(), late.retain), ("offline: stopped", true));
    }
}

#[test]
fn a_broker_restart_keeps_the_session_and_returns_what_it_never_acknowledged() {
    let setup = Setup { persistence: true, ..Setup::default() };
    let Some(mut broker) = Mosquitto::start(setup) else { return };
    for protocol in BOTH {
        let id = format!("board-{protocol}");
        let topic = format!("geosam/{id}/request/pad/segment");
        let mut bus = Bus::subscribed(options(&broker, protocol, &id), &format!("geosam/{id}/request/#"));
        broker.publish(&topic, b"before", &[]);
        let before = bus.message();
        broker.signal("STOP");
        let token = bus.handle.publish_with(OutgoingMessage::new("a", "lost?")).unwrap();
        broker.signal("CONT");
        broker.stop();
        let (_, unacknowledged) = bus.disconnected();
        let refused = bus.handle.publish_with(OutgoingMessage::new("a", "nowhere"));
        assert!(matches!(refused, Err(BusError::NotConnected { .. })), "{refused:?}");
        broker.restart();
        assert!(bus.connected(), "the session survives");
        if unacknowledged.is_empty() {
            assert_eq!(bus.outcome(token), PublishOutcome::Accepted);
        } else {
            assert_eq!(unacknowledged, [token]);
        }
        let again = bus.message();
        assert_eq!((again.payload.as_slice(), again.dup), (&b"before"[..], true));
        bus.handle.acknowledge(before.ack.unwrap());
        bus.handle.acknowledge(again.ack.unwrap());
        broker.publish(&topic, b"after", &[]);
        assert_eq!(bus.message().payload, b"after", "the subscription survives");
    }
}

#[test]
fn a_broker_that_lost_its_store_is_told_by_the_session() {
    let Some(mut broker) = Mosquitto::start(Setup::default()) else { return };
    let mut bus = Bus::subscribed(options(&broker, Protocol::V5, "board"), "geosam/board/request/#");
    broker.restart();
    bus.disconnected();
    assert!(!bus.connected());
    bus.subscribe("geosam/board/request/#");
    broker.publish("geosam/board/request/pad/list", b"{}", &[]);
    assert_eq!(bus.message().payload, b"{}");
}

#[test]
fn an_unreachable_broker_is_tried_again_and_does_not_hinder_a_stop() {
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{}", free_port())).unwrap();
    let backoff = BackoffOptions { first: Duration::from_millis(20), ..BackoffOptions::default() };
    let mut bus = Bus::start(BusOptions { backoff, ..BusOptions::new(url, "board") });
    for _ in 0..3 {
        assert!(matches!(bus.connect_failed(), BusError::Unreachable { .. }));
    }
    let start = Instant::now();
    bus.handle.stop(Some(OutgoingMessage::new("a", "offline")));
    assert!(!bus.stopped(), "the farewell went nowhere");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_broker_that_hangs_is_given_up_and_a_stop_does_not_wait_for_it() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let hung = BusOptions { stop_timeout: Duration::from_secs(1), ..options(&broker, Protocol::V5, "a") };
    let mut waiting = Bus::start(options(&broker, Protocol::V5, "b"));
    let mut bus = Bus::start(hung);
    bus.connected();
    waiting.connected();
    broker.signal("STOP");
    let token = waiting.handle.publish_with(OutgoingMessage::new("x", vec![0; 8 << 20])).unwrap();
    bus.handle.publish_with(OutgoingMessage::new("x", "y")).unwrap();
    let start = Instant::now();
    bus.handle.stop(Some(OutgoingMessage::new("geosam/a/state", "offline")));
    assert!(!bus.stopped());
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    // A write larger than the socket's buffers never returns; it must not keep us from noticing.
    let (_, unacknowledged) = waiting.disconnected();
    assert_eq!(unacknowledged, [token]);
    broker.signal("CONT");
    waiting.connected();
}

#[test]
fn two_boards_with_one_client_id_slow_down() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let mut first = Bus::start(options(&broker, Protocol::V5, "board"));
    first.connected();
    let mut second = Bus::start(options(&broker, Protocol::V5, "board"));
    second.connected();
    first.disconnected();
    std::thread::sleep(Duration::from_secs(3));
    let fights = first.handle.stats().connections + second.handle.stats().connections;
    assert!(fights < 20, "{fights} connections in three seconds");
}

/// What an outbox does with the bus: everything unacknowledged is published again after each connect.
#[test]
fn nothing_is_lost_either_way_while_the_broker_restarts() {
    const COUNT: usize = 400;
    let setup = Setup { persistence: true, ..Setup::default() };
    for protocol in BOTH {
        let Some(mut broker) = Mosquitto::start(setup.clone()) else { return };
        let mut bus = Bus::subscribed(options(&broker, protocol, "board"), "geosam/board/request/#");
        let peer = broker.subscribe("out", &["-c"]);
        let (mut open, mut by_token) = (std::collections::BTreeSet::new(), std::collections::HashMap::new());
        let (mut got, mut next, mut restarts, mut asked) = (std::collections::BTreeSet::new(), 0, 0, 0);
        let start = Instant::now();
        while next < COUNT || !open.is_empty() || got.len() < asked {
            assert!(start.elapsed() < 3 * patience(), "{} open, {} of {asked} got", open.len(), got.len());
            if next < COUNT {
                open.insert(next);
                let message = OutgoingMessage::new("out", next.to_string());
                if let Ok(token) = bus.handle.publish_with(message) {
                    by_token.insert(token, next);
                }
                next += 1;
            }
            if next % 20 == 0 && asked < next / 20 {
                broker.publish("geosam/board/request/pad/x", asked.to_string().as_bytes(), &[]);
                asked += 1;
            }
            if next % 100 == 50 && restarts < next / 100 + 1 {
                broker.stop();
                broker.restart();
                restarts += 1;
            }
            while let Ok(Some(event)) =
                bus.events.next_event(Some(Duration::from_millis(u64::from(next == COUNT))))
            {
                match event {
                    BusEvent::Connected(_) => {
                        by_token.clear();
                        for index in &open {
                            let message = OutgoingMessage::new("out", index.to_string());
                            // The connection may be gone again: the next one sends it.
                            if let Ok(token) = bus.handle.publish_with(message) {
                                by_token.insert(token, *index);
                            }
                        }
                    }
                    BusEvent::Published { token, outcome: PublishOutcome::Accepted } => {
                        open.remove(&by_token.remove(&token).expect("a token of this connection"));
                    }
                    BusEvent::Message(message) => {
                        got.insert(String::from_utf8(message.payload).unwrap().parse::<usize>().unwrap());
                        bus.handle.acknowledge(message.ack.unwrap());
                    }
                    _ => {}
                }
            }
        }
        let mut arrived = std::collections::BTreeSet::new();
        while arrived.len() < COUNT {
            arrived.insert(peer.next().text().parse::<usize>().unwrap());
        }
        assert_eq!((restarts, got.len(), asked), (4, 20, 20));
    }
}
