use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::bus::message::{IncomingMessage, Properties, PublishOutcome};

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<WireCommand>>>);

impl Recorder {
    fn take(&self) -> Vec<WireCommand> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Topics of the publishes since the last call.
    fn topics(&self) -> Vec<String> {
        let topic = |command| match command {
            WireCommand::Publish(message) => Some(message.topic),
            _ => None,
        };
        self.take().into_iter().filter_map(topic).collect()
    }
}

impl Wire for Recorder {
    fn send(&mut self, command: WireCommand) {
        self.0.lock().unwrap().push(command);
    }
}

fn connected(limits: QueueLimits) -> (Core, Recorder) {
    let (mut core, wire) = (Core::new(limits), Recorder::default());
    core.connected(Box::new(wire.clone()), &BrokerSession::default());
    (core, wire)
}

fn window_of(in_flight: u16) -> QueueLimits {
    QueueLimits { in_flight, ..QueueLimits::default() }
}

fn message(topic: &str) -> OutgoingMessage {
    OutgoingMessage::new(topic, "x")
}

fn incoming(qos: QoS) -> IncomingMessage {
    IncomingMessage {
        topic: "t".to_owned(),
        payload: Vec::new(),
        cut_from: None,
        qos,
        retain: false,
        dup: false,
        properties: Properties::default(),
        ack: None,
    }
}

fn receive(core: &mut Core, packet: u16) -> AckToken {
    let step = Step::Received { packet, message: incoming(QoS::AtLeastOnce) };
    let Some(BusEvent::Message(IncomingMessage { ack: Some(ack), .. })) = core.apply(step) else {
        panic!("no token came with the message");
    };
    ack
}

fn accepted(packet: u16) -> Step {
    Step::PublishAcked { packet, outcome: PublishOutcome::Accepted }
}

#[test]
fn a_publish_without_connection_is_refused_and_not_kept() {
    let mut core = Core::new(QueueLimits::default());
    assert!(matches!(core.publish(message("a")), Err(BusError::NotConnected { .. })));
    assert!(matches!(core.subscribe(&[Subscription::new("a")]), Err(BusError::NotConnected { .. })));
    assert_eq!(core.lost(), []);
}

#[test]
fn an_acknowledgement_names_the_publish_it_belongs_to_in_any_order() {
    let (mut core, _wire) = connected(window_of(16));
    let tokens: Vec<_> = ["a", "b", "c"].map(|topic| core.publish(message(topic)).unwrap()).into();
    for packet in [11, 12, 13] {
        core.apply(Step::PublishSent { packet });
    }
    for (packet, token) in [(13, tokens[2]), (11, tokens[0]), (12, tokens[1])] {
        let outcome = PublishOutcome::Accepted;
        assert_eq!(core.apply(accepted(packet)), Some(BusEvent::Published { token, outcome }));
    }
    assert_eq!(core.apply(accepted(13)), None, "a second acknowledgement is nobody's");
}

#[test]
fn at_most_once_messages_take_no_place_in_the_window_but_keep_their_order() {
    let (mut core, wire) = connected(window_of(1));
    core.publish(message("a")).unwrap();
    core.publish(message("b")).unwrap();
    core.publish(message("c").at_most_once()).unwrap();
    assert_eq!(wire.topics(), ["a"]);
    core.apply(Step::PublishSent { packet: 1 });
    core.apply(accepted(1));
    assert_eq!(wire.topics(), ["b", "c"]);
}

#[test]
fn the_window_counts_from_the_oldest_so_that_no_packet_id_is_reused_early() {
    let (mut core, wire) = connected(window_of(2));
    for topic in ["a", "b", "c", "d"] {
        core.publish(message(topic)).unwrap();
    }
    core.apply(Step::PublishSent { packet: 1 });
    core.apply(Step::PublishSent { packet: 2 });
    assert_eq!(wire.topics(), ["a", "b"]);
    core.apply(accepted(2));
    assert_eq!(wire.topics(), [""; 0], "the first is still out");
    core.apply(accepted(1));
    assert_eq!(wire.topics(), ["c", "d"]);
}

#[test]
fn a_broker_with_a_smaller_receive_maximum_is_heeded() {
    let (mut core, wire) = (Core::new(window_of(16)), Recorder::default());
    core.connected(
        Box::new(wire.clone()),
        &BrokerSession { receive_maximum: Some(1), ..BrokerSession::default() },
    );
    core.publish(message("a")).unwrap();
    core.publish(message("b")).unwrap();
    assert_eq!(wire.topics(), ["a"]);
}

#[test]
fn an_oversized_message_is_measured_and_never_sent() {
    let (mut core, wire) = (Core::new(QueueLimits::default()), Recorder::default());
    core.connected(
        Box::new(wire.clone()),
        &BrokerSession { max_packet_bytes: Some(100), ..BrokerSession::default() },
    );
    // Two bytes of header, two of topic length, one of topic, two of packet id, one of properties.
    let fits = OutgoingMessage::new("a", vec![0; 92]);
    assert!(core.publish(fits).is_ok());
    let over = core.publish(OutgoingMessage::new("a", vec![0; 93]));
    assert_eq!(over, Err(BusError::TooLarge { topic: "a".to_owned(), bytes: 101, limit: 100 }));
    assert_eq!(wire.take().len(), 1);
}

#[test]
fn what_waits_is_bounded_in_number_and_bytes() {
    let limits = QueueLimits { in_flight: 1, waiting: 2, waiting_bytes: 100, ..QueueLimits::default() };
    let (mut core, _wire) = connected(limits);
    for topic in ["sent", "first", "second"] {
        core.publish(message(topic)).unwrap();
    }
    assert!(matches!(core.publish(message("third")), Err(BusError::QueueFull { waiting: 2, .. })));

    let (mut core, _wire) = connected(QueueLimits { waiting: 99, ..limits });
    core.publish(message("sent")).unwrap();
    core.publish(OutgoingMessage::new("large", vec![0; 1000])).unwrap();
    let full = core.publish(message("small"));
    assert!(matches!(full, Err(BusError::QueueFull { waiting: 1, .. })), "{full:?}");
}

#[test]
fn a_lost_connection_returns_what_was_never_acknowledged_in_order() {
    let (mut core, _wire) = connected(window_of(2));
    let tokens: Vec<_> = ["a", "b", "c"].map(|topic| core.publish(message(topic)).unwrap()).into();
    core.publish(message("d").at_most_once()).unwrap();
    core.apply(Step::PublishSent { packet: 1 });
    core.apply(Step::PublishSent { packet: 2 });
    core.apply(accepted(2));
    assert_eq!(core.lost(), [tokens[0], tokens[2]]);
    assert_eq!(core.lost(), []);
    assert_eq!(core.apply(accepted(1)), None, "an acknowledgement after the end is nobody's");
}

#[test]
fn acknowledgements_leave_in_the_order_in_which_the_messages_came() {
    let (mut core, wire) = connected(QueueLimits::default());
    let acks: Vec<_> = [7, 8, 9].map(|packet| receive(&mut core, packet)).into();
    core.acknowledge(acks[2]);
    core.acknowledge(acks[1]);
    assert_eq!(wire.take(), []);
    core.acknowledge(acks[0]);
    let qos = QoS::AtLeastOnce;
    let expected = [7, 8, 9].map(|packet| WireCommand::Acknowledge { packet, qos });
    assert_eq!(wire.take(), expected);
    core.acknowledge(acks[0]);
    assert_eq!(wire.take(), [], "a second call changes nothing");
}

#[test]
fn a_token_of_an_earlier_connection_is_void() {
    let (mut core, wire) = connected(QueueLimits::default());
    let old = receive(&mut core, 1);
    core.lost();
    core.connected(Box::new(wire.clone()), &BrokerSession::default());
    let new = receive(&mut core, 1);
    core.acknowledge(old);
    assert_eq!(wire.take(), []);
    core.acknowledge(new);
    assert_eq!(wire.take().len(), 1);
}

#[test]
fn a_message_repeated_on_one_connection_is_acknowledged_once() {
    let (mut core, wire) = connected(QueueLimits::default());
    let first = receive(&mut core, 5);
    let again = receive(&mut core, 5);
    assert_eq!(first, again);
    core.acknowledge(first);
    core.acknowledge(again);
    assert_eq!(wire.take().len(), 1);
}

#[test]
fn a_subscription_is_answered_filter_by_filter() {
    let (mut core, wire) = connected(QueueLimits::default());
    let token = core.subscribe(&[Subscription::new("a/#"), Subscription::new("b")]).unwrap();
    let other = core.unsubscribe("c").unwrap();
    assert_eq!(wire.take().len(), 2);
    core.apply(Step::SubscribeSent { packet: 1 });
    core.apply(Step::SubscribeSent { packet: 2 });
    assert_eq!(
        core.apply(Step::SubscribeAcked { packet: 2, refused: Vec::new() }),
        Some(BusEvent::Unsubscribed { token: other })
    );
    let refused = vec![None, Some("NotAuthorized".to_owned())];
    assert_eq!(
        core.apply(Step::SubscribeAcked { packet: 1, refused }),
        Some(BusEvent::Subscribed { token, refused: vec![("b".to_owned(), "NotAuthorized".to_owned())] })
    );
    assert!(matches!(core.subscribe(&[Subscription::new("a#")]), Err(BusError::BadTopic { .. })));
    assert!(matches!(core.subscribe(&[]), Err(BusError::BadTopic { .. })));
}

#[test]
fn publishes_at_most_once_wait_here_while_the_wire_lets_none_out() {
    let (mut core, wire) = connected(window_of(1));
    let large = |topic: &str| OutgoingMessage::new(topic, vec![0; 3 << 20]).at_most_once();
    for topic in ["a", "b", "c", "d", "e", "f"] {
        core.publish(large(topic)).unwrap();
    }
    assert_eq!(wire.topics(), ["a"], "one goes, however large it is");
    // What waits here is bounded.
    assert!(matches!(core.publish(large("g")), Err(BusError::QueueFull { .. })));
    for topic in ["b", "c", "d"] {
        core.apply(Step::PublishLeft);
        assert_eq!(wire.topics(), [topic]);
    }
    core.publish(message("h").at_most_once()).unwrap();
    core.apply(Step::PublishLeft);
    core.apply(Step::PublishLeft);
    assert_eq!(wire.topics(), ["e", "f", "h"]);
}

#[test]
fn leave_is_taken_once_everything_and_the_farewell_are_acknowledged() {
    let (mut core, wire) = connected(window_of(1));
    core.publish(message("a")).unwrap();
    core.stop(Some(message("farewell")));
    assert_eq!(core.publish(message("late")), Err(BusError::Stopped));
    assert_eq!(wire.topics(), ["a"]);
    core.apply(Step::PublishSent { packet: 1 });
    core.apply(accepted(1));
    assert_eq!(wire.topics(), ["farewell"]);
    core.apply(Step::PublishSent { packet: 2 });
    core.apply(accepted(2));
    assert_eq!(wire.take(), [WireCommand::Disconnect]);
    core.stop(None);
    assert_eq!(wire.take(), []);
}

#[test]
fn tokens_never_become_zero() {
    let (mut core, _wire) = connected(QueueLimits::default());
    core.last_token = MessageId::MAX;
    assert_eq!(core.publish(message("a")), Ok(PublishToken(1)));
}

/// What a service and a broker may do to the bus.
#[derive(Debug, Clone)]
enum Act {
    Publish(bool),
    /// The broker acknowledges the n-th of those it has got.
    AckPublish(usize),
    Receive,
    /// The service acknowledges the n-th message.
    AckMessage(usize),
    Lose,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => any::<bool>().prop_map(Act::Publish),
        3 => any::<usize>().prop_map(Act::AckPublish),
        3 => Just(Act::Receive),
        3 => any::<usize>().prop_map(Act::AckMessage),
        1 => Just(Act::Lose),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_every_publish_is_accounted_for_and_acks_stay_in_order(
        acts in proptest::collection::vec(act(), 0..80)
    ) {
        let (mut core, wire) = connected(window_of(3));
        let mut open = std::collections::BTreeSet::new();
        let mut on_wire: Vec<u16> = Vec::new();
        let mut packet = 0;
        let mut acks = Vec::new();
        let (mut received, mut acknowledged) = (0u16, Vec::new());
        for act in acts {
            match act {
                Act::Publish(acknowledged) => {
                    let message = if acknowledged { message("a") } else { message("a").at_most_once() };
                    let token = core.publish(message).unwrap();
                    if acknowledged {
                        prop_assert!(open.insert(token), "a token was given twice");
                    }
                }
                Act::AckPublish(index) if !on_wire.is_empty() => {
                    let event = core.apply(accepted(on_wire.swap_remove(index % on_wire.len())));
                    let Some(BusEvent::Published { token, .. }) = event else { panic!("no event") };
                    prop_assert!(open.remove(&token), "a publish was told twice");
                }
                Act::Receive => {
                    received += 1;
                    acks.push(receive(&mut core, received));
                }
                Act::AckMessage(index) if !acks.is_empty() => core.acknowledge(acks[index % acks.len()]),
                Act::Lose => {
                    let lost = core.lost();
                    prop_assert_eq!(lost, open.iter().copied().collect::<Vec<_>>());
                    open.clear();
                    on_wire.clear();
                    wire.take();
                    (received, acknowledged) = (0, Vec::new());
                    core.connected(Box::new(wire.clone()), &BrokerSession::default());
                }
                Act::AckPublish(_) | Act::AckMessage(_) => {}
            }
            for command in wire.take() {
                match command {
                    WireCommand::Publish(message) if message.is_acknowledged() => {
                        packet += 1;
                        on_wire.push(packet);
                        core.apply(Step::PublishSent { packet });
                    }
                    WireCommand::Acknowledge { packet, .. } => acknowledged.push(packet),
                    _ => {}
                }
            }
            prop_assert!(on_wire.len() <= 3, "the window is too wide");
            let in_order: Vec<u16> = (1..=acknowledged.len() as u16).collect();
            prop_assert_eq!(&acknowledged, &in_order);
        }
        prop_assert_eq!(core.lost(), open.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_is_owed_is_the_oldest_that_is_not_answered() {
    let (mut core, _wire) = connected(window_of(2));
    assert_eq!(core.owed(), Owed::default());
    let first = core.publish(message("a")).unwrap();
    let second = core.publish(message("b")).unwrap();
    let asked = core.subscribe(&[Subscription::new("t")]).unwrap();
    for packet in [1, 2] {
        core.apply(Step::PublishSent { packet });
    }
    core.apply(accepted(2));
    let owed = Owed { publish: Some((first, "a".to_owned())), asked: Some(asked) };
    assert_eq!(core.owed(), owed, "{second:?} is answered, and {first:?} is not");
    core.apply(accepted(1));
    core.apply(Step::SubscribeSent { packet: 3 });
    core.apply(Step::SubscribeAcked { packet: 3, refused: Vec::new() });
    assert_eq!(core.owed(), Owed::default());
}

#[test]
fn leave_is_taken_only_when_it_was_asked_for() {
    let (mut core, _wire) = connected(QueueLimits::default());
    core.apply(Step::Departed);
    assert!(!core.is_departing() && core.stats().connected);
    core.stop(None);
    assert!(core.is_departing());
}
