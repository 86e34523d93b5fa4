//! The publisher between a real store and a hostile broker: whatever the broker does, every message arrives or is handed
//! back with a reason, once, and only what the broker is hostile to is handed back.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::bus::memory::{MemoryBroker, OverLimit, PublishPolicy, bus};
use crate::bus::{BusConnection as _, BusEvent, BusEvents, BusHandle, LossCause};
use crate::store::{Change, Class, StoreLimits};

/// What happens between two looks.
#[derive(Debug, Clone)]
enum Happening {
    /// A message to one of the topics, with so many bytes.
    Message(usize, usize),
    Policy(PublishPolicy),
    Cut,
    Connect,
}

/// Topics; the broker hangs up on those below `bad`.
const TOPICS: [&str; 4] = ["good/1", "good/2", "bad/1", "bad/2"];
/// Bytes of the largest packet that it takes.
const LIMIT: usize = 2000;

fn happening() -> impl Strategy<Value = Happening> {
    let policy = prop_oneof![
        Just(PublishPolicy::Accept),
        Just(PublishPolicy::Hold),
        Just(PublishPolicy::LoseAck),
        Just(PublishPolicy::LoseMessage),
    ];
    prop_oneof![
        4 => (0..TOPICS.len(), prop_oneof![3 => Just(100), 1 => Just(3000)])
            .prop_map(|(topic, bytes)| Happening::Message(topic, bytes)),
        1 => policy.prop_map(Happening::Policy),
        1 => Just(Happening::Cut),
        2 => Just(Happening::Connect),
    ]
}

struct Scene {
    publisher: Publisher<BusHandle>,
    events: BusEvents,
    broker: MemoryBroker,
    store: Store,
    _dir: TempDir,
    /// Reasons of what was handed back, by payload.
    handed_back: BTreeMap<Vec<u8>, Vec<Cause>>,
}

impl Scene {
    fn new(over: OverLimit) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (client, events, broker) = bus(None);
        broker.set_policy_of("bad/#", PublishPolicy::HangUp);
        broker.set_packet_limit(Some((LIMIT, over)));
        let mut publisher = Publisher::new(client, "ping".to_owned(), "ping test ".to_owned());
        // Nobody plays the clerk's self-test here.
        publisher.set_echoes(Echoes::Forbidden);
        Self {
            publisher,
            events,
            broker,
            store: Store::open(dir.path(), StoreLimits::default()).unwrap().store,
            _dir: dir,
            handed_back: BTreeMap::new(),
        }
    }

    /// As the clerk does it: events, then what the window lets through, then the commit.
    fn look(&mut self) {
        while let Ok(Some(event)) = self.events.next_event(Some(Duration::ZERO)) {
            match event {
                BusEvent::Connected(session) => self.publisher.connected(session),
                BusEvent::Disconnected { unacknowledged, cause, .. } => {
                    self.publisher.disconnected(&unacknowledged, cause);
                }
                BusEvent::Published { token, outcome } => {
                    self.publisher.published(token, &outcome);
                }
                _ => {}
            }
        }
        for undelivered in self.publisher.pump(&self.store).unwrap() {
            let payload = undelivered.entry.unwrap().message.payload.to_vec();
            self.handed_back.entry(payload).or_default().push(undelivered.cause);
        }
        let out = self.publisher.to_take_out();
        self.store.commit(vec![Change::Acked(out.0.clone()), Change::Discard(out.1.clone())]).unwrap();
        self.publisher.taken_out(&out);
    }

    /// Goes on, with connections as often as the broker ends them, until nothing is left; says how many it took.
    fn finish(&mut self) -> usize {
        let mut connects = 0;
        self.broker.set_policy(PublishPolicy::Accept);
        for _ in 0..1000 {
            self.look();
            if self.store.depths().outbox == 0 {
                return connects;
            }
            if !self.broker.is_connected() {
                self.broker.connect(true);
                connects += 1;
                // What was under way on the last one is heard of first.
                continue;
            }
            self.broker.release(usize::MAX);
            // What was held or lost on this connection stays so until it ends.
            if self.publisher.in_flight.len() == self.publisher.window() {
                self.broker.disconnect("the end of a test");
            }
        }
        panic!("{} messages are left", self.store.depths().outbox);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_broker_does_every_message_arrives_or_is_handed_back_once(
        happenings in proptest::collection::vec(happening(), 1..40),
        over in prop_oneof![Just(OverLimit::HangUp), Just(OverLimit::Refuse), Just(OverLimit::Announced)],
    ) {
        let mut scene = Scene::new(over);
        let mut sent = Vec::new();
        let mut only_accepting = true;
        for happening in happenings {
            match happening {
                Happening::Message(topic, bytes) => {
                    let payload = format!("{:>bytes$}", sent.len()).into_bytes();
                    let message = OutboxMessage::new(Class::Saved, TOPICS[topic], payload.clone());
                    scene.store.commit(vec![Change::Publish(message)]).unwrap();
                    sent.push((payload, topic, bytes));
                }
                Happening::Policy(policy) => {
                    only_accepting &= policy == PublishPolicy::Accept;
                    scene.broker.set_policy(policy);
                }
                Happening::Cut => scene.broker.disconnect("cut"),
                Happening::Connect => scene.broker.connect(true),
            }
            scene.look();
        }
        // What was sent and lost on the last connection comes again on the next.
        scene.broker.disconnect("the last cut");
        let connects = scene.finish();
        prop_assert!(connects <= 3 * sent.len() + 4, "{connects} connections for {} messages", sent.len());
        let arrived = scene.broker.published();
        for (payload, topic, bytes) in sent {
            let hostile = TOPICS[topic].starts_with("bad") || bytes > LIMIT;
            let arrivals = arrived.iter().filter(|message| message.payload == payload).count();
            let back = scene.handed_back.get(&payload).map_or(0, Vec::len);
            prop_assert!(back <= 1, "handed back {back} times");
            prop_assert!(arrivals > 0 || back == 1, "neither arrived nor handed back");
            prop_assert!(!hostile || arrivals == 0);
            prop_assert!(hostile || !only_accepting || back == 0, "an innocent was handed back");
        }
    }
}

#[test]
fn a_network_that_fails_again_and_again_costs_no_message() {
    let mut scene = Scene::new(OverLimit::Refuse);
    let message = OutboxMessage::new(Class::Saved, "good/1", &b"x"[..]);
    scene.store.commit(vec![Change::Publish(message)]).unwrap();
    scene.broker.set_policy(PublishPolicy::LoseMessage);
    for _ in 0..10 {
        scene.broker.connect(true);
        scene.look();
        let flying: Vec<_> = scene.publisher.in_flight.keys().copied().collect();
        assert_eq!(flying.len(), 1);
        // As the driver tells a silence.
        scene.publisher.disconnected(&flying, LossCause::Elsewhere);
        scene.look();
    }
    assert!(scene.handed_back.is_empty());
}

#[test]
fn what_is_told_a_little_after_each_connection_and_ends_it_is_found_out() {
    let mut scene = Scene::new(OverLimit::Refuse);
    let mut connects = 0;
    while connects == 0 || !scene.broker.is_connected() {
        scene.broker.connect(true);
        connects += 1;
        assert!(connects < 10, "it is told again and again");
        // The clerk comes by before there is anything to tell.
        scene.look();
        scene.publisher.tell(OutgoingMessage::new("bad/folder", "there").retained());
        scene.publisher.tell(OutgoingMessage::new("good/state", "online").retained());
        for _ in 0..3 {
            scene.look();
        }
    }
    assert_eq!(connects, 4);
    assert_eq!(scene.broker.retained("good/state").as_deref(), Some(&b"online"[..]));
}

#[test]
fn a_topic_on_which_connections_end_costs_three_of_them_and_not_three_a_message() {
    let mut scene = Scene::new(OverLimit::Refuse);
    let send = |scene: &mut Scene, topic: &str, text: &str| {
        let message = OutboxMessage::new(Class::Saved, topic, text.as_bytes());
        scene.store.commit(vec![Change::Publish(message)]).unwrap();
    };
    scene.broker.connect(true);
    // Of this size are those that the broker takes elsewhere.
    send(&mut scene, "good/1", &"x".repeat(200));
    assert_eq!(scene.finish(), 0);
    let mut connects = 0;
    for message in 0..10 {
        send(&mut scene, "bad/1", &format!("bad {message}"));
        send(&mut scene, "good/2", &format!("good {message}"));
        connects += scene.finish();
    }
    assert_eq!(connects, 3);
    assert_eq!(scene.handed_back.len(), 10);
    assert!(scene.handed_back.values().skip(1).all(|causes| *causes == [Cause::OnForbiddenTopic]));
    let arrived = scene.broker.published();
    assert_eq!(arrived.iter().filter(|message| message.topic == "good/2").count(), 10);
    // A size that none has arrived with may be to blame itself.
    send(&mut scene, "bad/2", &"x".repeat(1500));
    assert_eq!(scene.finish(), 3);
    send(&mut scene, "bad/2", "small");
    assert_eq!(scene.finish(), 3);
    // An answer that comes again as a small error is not to blame for its topic.
    let answer = format!("{{\"id\":\"a\",\"status\":\"ok\",\"masks\":\"{}\"}}", "x".repeat(100));
    let message = OutboxMessage::new(Class::Answer, "bad/answers", answer.as_bytes());
    for _ in 0..2 {
        scene.store.commit(vec![Change::Publish(message.clone())]).unwrap();
        assert_eq!(scene.finish(), 3);
    }
    let error =
        br#"{"id":"a","status":"error","error":{"code":"UNDELIVERABLE","message":"m","retryable":false}}"#;
    for connects in [3, 0] {
        let message = OutboxMessage::new(Class::Answer, "bad/answers", &error[..]);
        scene.store.commit(vec![Change::Publish(message)]).unwrap();
        assert_eq!(scene.finish(), connects);
    }
}

#[test]
fn a_forbidden_topic_is_tried_again_after_ten_minutes() {
    let mut scene = Scene::new(OverLimit::Refuse);
    let begun = std::time::Instant::now();
    scene.publisher.use_clock(Clock::Stopped(begun));
    scene.broker.connect(true);
    // Whether it took connections to be rid of the message, and whether it has arrived.
    let send = |scene: &mut Scene, topic: &str, text: &str, after: Duration| {
        scene.publisher.use_clock(Clock::Stopped(begun + after));
        let message = OutboxMessage::new(Class::Saved, topic, text.as_bytes());
        scene.store.commit(vec![Change::Publish(message)]).unwrap();
        let connects = scene.finish();
        (connects > 0, scene.broker.published().iter().any(|message| *message.payload == *text.as_bytes()))
    };
    assert_eq!(send(&mut scene, "good/1", "a first one of the size", Duration::ZERO), (false, true));
    assert_eq!(send(&mut scene, "bad/1", "ends connections", Duration::ZERO), (true, false));
    assert_eq!(send(&mut scene, "bad/1", "is kept from it", Duration::from_secs(599)), (false, false));
    // Its policy may have been mended meanwhile: here it has not.
    assert_eq!(send(&mut scene, "bad/1", "is tried again", Duration::from_secs(601)), (true, false));
    scene.broker.set_policy_of("bad/#", PublishPolicy::Accept);
    assert_eq!(send(&mut scene, "bad/1", "is kept from it still", Duration::from_secs(1200)), (false, false));
    assert_eq!(send(&mut scene, "bad/1", "has been let in", Duration::from_secs(1202)), (false, true));
    assert_eq!(send(&mut scene, "bad/1", "and goes on so", Duration::from_secs(1202)), (false, true));
}
