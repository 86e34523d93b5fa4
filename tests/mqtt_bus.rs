//! The bus on a real broker, Debian's mosquitto, with mosquitto's own clients as the peer.

use std::time::{Duration, Instant};

use geosam_edge::bus::{
    BackoffOptions, BrokerUrl, BusClient, BusConnection, BusError, BusEvent, BusEvents, BusHandle,
    BusOptions, Credentials, IncomingMessage, OutgoingMessage, Properties, Protocol, PublishOutcome,
    PublishToken, QoS, Secret, Subscription, TlsFiles, connect,
};

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/mosquitto.rs"]
mod mosquitto;

use certificates::Authority;
use mosquitto::{Mosquitto, PATIENCE, Setup, Tls, free_port};

const BOTH: [Protocol; 2] = [Protocol::V5, Protocol::V311];

fn options(broker: &Mosquitto, protocol: Protocol, client_id: &str) -> BusOptions {
    let url = BrokerUrl::parse(&broker.url()).unwrap();
    BusOptions {
        protocol,
        keep_alive: Duration::from_secs(5),
        backoff: BackoffOptions {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            stable: Duration::from_secs(1),
        },
        ..BusOptions::new(url, client_id)
    }
}

/// The bus with a memory of events that a test has not asked for yet.
struct Bus {
    handle: BusHandle,
    events: BusEvents,
    seen: Vec<BusEvent>,
}

impl Bus {
    fn start(options: BusOptions) -> Self {
        let (handle, events) = connect(options).unwrap();
        Self { handle, events, seen: Vec::new() }
    }

    /// Connected and subscribed.
    fn subscribed(options: BusOptions, filter: &str) -> Self {
        let mut bus = Self::start(options);
        bus.connected();
        bus.subscribe(filter);
        bus
    }

    /// The first event that fits; the others are kept for later.
    fn wait<T>(&mut self, what: &str, mut fits: impl FnMut(&BusEvent) -> Option<T>) -> T {
        let start = Instant::now();
        let mut index = 0;
        loop {
            while index < self.seen.len() {
                if let Some(found) = fits(&self.seen[index]) {
                    self.seen.remove(index);
                    return found;
                }
                index += 1;
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.events.next_event(Some(left)) {
                Ok(Some(event)) => self.seen.push(event),
                other => panic!("{what} does not come ({other:?}) after {:?}", self.seen),
            }
        }
    }

    fn connected(&mut self) -> bool {
        self.wait("a connection", |event| match event {
            BusEvent::Connected { session_present, .. } => Some(*session_present),
            _ => None,
        })
    }

    fn subscribe(&mut self, filter: &str) {
        let wanted = self.handle.subscribe_with(&[Subscription::new(filter)]).unwrap();
        self.wait("the subscription", |event| match event {
            BusEvent::Subscribed { token, refused } if *token == wanted => {
                assert!(refused.is_empty());
                Some(())
            }
            _ => None,
        });
    }

    fn message(&mut self) -> IncomingMessage {
        self.wait("a message", |event| match event {
            BusEvent::Message(message) => Some(message.clone()),
            _ => None,
        })
    }

    fn outcome(&mut self, wanted: PublishToken) -> PublishOutcome {
        self.wait("the acknowledgement of a publish", |event| match event {
            BusEvent::Published { token, outcome } if *token == wanted => Some(outcome.clone()),
            _ => None,
        })
    }

    fn disconnected(&mut self) -> (BusError, Vec<PublishToken>) {
        self.wait("the end of the connection", |event| match event {
            BusEvent::Disconnected { error, unacknowledged, .. } => {
                Some((error.clone(), unacknowledged.clone()))
            }
            _ => None,
        })
    }

    fn connect_failed(&mut self) -> BusError {
        self.wait("a failed attempt", |event| match event {
            BusEvent::ConnectFailed { error, .. } => Some(error.clone()),
            _ => None,
        })
    }

    fn stopped(&mut self) -> bool {
        self.wait("the end", |event| match event {
            BusEvent::Stopped { complete } => Some(*complete),
            _ => None,
        })
    }

    /// No message comes for a while.
    fn silent(&mut self, time: Duration) {
        let start = Instant::now();
        while let Some(left) = time.checked_sub(start.elapsed()) {
            match self.events.next_event(Some(left)) {
                Ok(Some(BusEvent::Message(message))) => panic!("{message:?} came"),
                Ok(Some(event)) => self.seen.push(event),
                _ => break,
            }
        }
    }
}

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
    assert_eq!(request.properties.user, [("operator".to_owned(), "7".to_owned())]);
    assert!(request.properties.message_expiry_s.is_some_and(|left| left <= 60));

    let answer = OutgoingMessage::new("reply/17", "ok").with(Properties {
        content_type: Some("application/geo+json".to_owned()),
        correlation_data: request.properties.correlation_data,
        user: vec![("board".to_owned(), "a".to_owned())],
        ..Properties::default()
    });
    bus.handle.publish_with(answer).unwrap();
    let answer = peer.next();
    assert_eq!((answer.correlation_data.as_str(), answer.text().as_str()), ("c-17", "ok"));
    assert_eq!(answer.content_type, "application/geo+json");
    assert!(answer.user_properties.contains("board") && answer.user_properties.contains('a'));
}

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
fn a_user_needs_the_right_password_and_none_is_ever_shown() {
    let users = vec![("board".to_owned(), "hunter2".to_owned())];
    let Some(broker) = Mosquitto::start(Setup { users, ..Setup::default() }) else { return };
    for protocol in BOTH {
        let with = |password: &str| BusOptions {
            credentials: Some(Credentials { username: "board".to_owned(), password: Secret::new(password) }),
            ..options(&broker, protocol, "board")
        };
        let mut bus = Bus::start(with("hunter2"));
        bus.connected();
        let wrong = with("hunter3");
        assert!(!format!("{wrong:?}").contains("hunter"));
        let mut bus = Bus::start(wrong);
        let error = bus.connect_failed();
        assert!(matches!(error, BusError::Refused { .. }), "{error:?}");
        assert!(!error.to_string().contains("hunter"));
        bus.connect_failed();
    }
}

#[test]
fn a_publish_that_the_access_list_forbids_is_refused_under_mqtt5() {
    let acl = "topic readwrite geosam/board/#\n".to_owned();
    let Some(broker) = Mosquitto::start(Setup { acl: Some(acl), ..Setup::default() }) else { return };
    let mut bus = Bus::start(options(&broker, Protocol::V5, "board"));
    bus.connected();
    let allowed = bus.handle.publish_with(OutgoingMessage::new("geosam/board/state", "online")).unwrap();
    let forbidden = bus.handle.publish_with(OutgoingMessage::new("geosam/other/state", "x")).unwrap();
    assert_eq!(bus.outcome(allowed), PublishOutcome::Accepted);
    let outcome = bus.outcome(forbidden);
    assert!(matches!(&outcome, PublishOutcome::Refused { reason } if reason.contains("NotAuthorized")));
}

#[test]
fn tls_wants_a_known_authority_and_the_brokers_listener_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    let server = ours.issue("localhost", Some("localhost"));
    let (board, stranger) = (ours.issue("board", None), theirs.issue("board", None));
    let tls = Tls { ca: ours.ca(), cert: server.cert, key: server.key, require_certificate: true };
    let Some(broker) = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() }) else { return };
    for protocol in BOTH {
        let with = |ca, identity: Option<&certificates::Identity>| BusOptions {
            tls: TlsFiles {
                ca: Some(ca),
                cert: identity.map(|identity| identity.cert.clone()),
                key: identity.map(|identity| identity.key.clone()),
            },
            ..options(&broker, protocol, "board")
        };
        let mut bus = Bus::subscribed(with(ours.ca(), Some(&board)), "a");
        bus.handle.publish_with(OutgoingMessage::new("a", vec![b'x'; 300_000])).unwrap();
        assert_eq!(bus.message().payload.len(), 300_000);

        for refused in
            [with(theirs.ca(), Some(&board)), with(ours.ca(), None), with(ours.ca(), Some(&stranger))]
        {
            let error = Bus::start(refused).connect_failed();
            assert!(matches!(error, BusError::Unreachable { .. } | BusError::Refused { .. }), "{error:?}");
        }
    }
    let mixed =
        TlsFiles { ca: Some(ours.ca()), cert: Some(board.cert.clone()), key: Some(stranger.key.clone()) };
    let mixed = BusOptions { tls: mixed, ..options(&broker, Protocol::V5, "board") };
    let error = connect(mixed).err().expect("the key is another's");
    assert!(error.to_string().contains("does not go with the key"), "{error}");
    let half = TlsFiles { ca: Some(ours.ca()), cert: Some(board.cert), key: None };
    let half = BusOptions { tls: half, ..options(&broker, Protocol::V5, "board") };
    assert!(matches!(connect(half), Err(BusError::Tls { .. })));
}

#[test]
fn a_plain_connection_to_a_tls_listener_fails_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    let server = ours.issue("localhost", Some("localhost"));
    let tls = Tls { ca: ours.ca(), cert: server.cert, key: server.key, require_certificate: false };
    let Some(broker) = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() }) else { return };
    let plain = BrokerUrl { tls: false, ..BrokerUrl::parse(&broker.url()).unwrap() };
    let error =
        Bus::start(BusOptions { broker: plain, ..options(&broker, Protocol::V5, "board") }).connect_failed();
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
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
    while got.len() < 20 && start.elapsed() < PATIENCE {
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
            assert!(start.elapsed() < 3 * PATIENCE, "{} open, {} of {asked} got", open.len(), got.len());
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
                    BusEvent::Connected { .. } => {
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
