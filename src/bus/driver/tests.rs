//! The driver on brokers that break MQTT: stand-ins on real sockets, of a few lines, each with a script.

use std::collections::VecDeque;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::super::options::{BackoffOptions, BrokerUrl};
use super::super::{
    BusClient as _, BusConnection as _, BusEvent, OutgoingMessage, Properties, PublishOutcome, PublishToken,
    Subscription,
};
use super::*;

const BOTH: [Protocol; 2] = [Protocol::V5, Protocol::V311];
/// What a machine under load may take for anything at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A packet that the bus has sent.
struct Packet {
    /// Of which connection, counted from 0.
    connection: usize,
    first: u8,
    body: Vec<u8>,
}

impl Packet {
    fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// The topic of a PUBLISH.
    fn topic(&self) -> &[u8] {
        &self.body[2..2 + usize::from(u16::from_be_bytes([self.body[0], self.body[1]]))]
    }

    /// What a broker answers.
    fn usual_answer(&self, protocol: Protocol) -> Vec<u8> {
        let v5 = protocol == Protocol::V5;
        match self.kind() {
            1 if v5 => vec![0x20, 3, 0, 0, 0],
            1 => vec![0x20, 2, 0, 0],
            3 if self.first & 0b0110 != 0 => {
                let id = 2 + self.topic().len();
                vec![0x40, 2, self.body[id], self.body[id + 1]]
            }
            8 if v5 => vec![0x90, 4, self.body[0], self.body[1], 0, 1],
            8 => vec![0x90, 3, self.body[0], self.body[1], 1],
            12 => vec![0xD0, 0],
            _ => Vec::new(),
        }
    }
}

/// What a stand-in does with a packet: what it answers, or nothing to hang up.
type Script = dyn Fn(&Packet) -> Option<Vec<u8>> + Send + Sync;

/// Reads bytes at a pace.
struct Paced {
    stream: TcpStream,
    pause: Duration,
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(CHUNK);
        if most == CHUNK {
            std::thread::sleep(self.pause);
        }
        self.stream.read(&mut buffer[..most])
    }
}

const CHUNK: usize = 16 << 10;

fn packet(stream: &mut impl Read, connection: usize) -> std::io::Result<Packet> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let first = byte[0];
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Packet { connection, first, body })
}

fn serve(mut stream: TcpStream, connection: usize, pause: Duration, script: &Script) {
    let Ok(clone) = stream.try_clone() else { return };
    let mut paced = Paced { stream: clone, pause };
    while let Ok(packet) = packet(&mut paced, connection) {
        let Some(answer) = script(&packet) else { break };
        if stream.write_all(&answer).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// A stand-in that reads 16 KiB in each pause, and options for it.
fn paced(protocol: Protocol, pause: Duration, script: Box<Script>) -> BusOptions {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if !pause.is_zero() {
        socket2::SockRef::from(&listener).set_recv_buffer_size(CHUNK).unwrap();
    }
    let port = listener.local_addr().unwrap().port();
    let script: Arc<Script> = Arc::from(script);
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let script = Arc::clone(&script);
            std::thread::spawn(move || serve(stream, connection, pause, &*script));
        }
    });
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    BusOptions {
        protocol: protocol.into(),
        backoff: BackoffOptions {
            first: Duration::from_millis(2),
            longest: Duration::from_millis(4),
            stable: Duration::from_secs(3),
        },
        ..BusOptions::new(url, "board")
    }
}

fn broker(
    protocol: Protocol,
    script: impl Fn(&Packet) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> BusOptions {
    paced(protocol, Duration::ZERO, Box::new(script))
}

/// The next event that fits; those before it are passed over. The end of the bus never fits.
fn wait<T>(events: &mut BusEvents, what: &str, mut fits: impl FnMut(&BusEvent) -> Option<T>) -> T {
    let start = std::time::Instant::now();
    let mut passed = VecDeque::new();
    loop {
        let left = PATIENCE.saturating_sub(start.elapsed());
        match events.next_event(Some(left)) {
            Ok(Some(event)) => {
                if let Some(found) = fits(&event) {
                    return found;
                }
                passed.push_back(event);
            }
            other => panic!("{what} does not come ({other:?}) after {passed:?}"),
        }
    }
}

fn connected(events: &mut BusEvents) {
    wait(events, "a connection", |event| matches!(event, BusEvent::Connected(_)).then_some(()));
}

fn lost(events: &mut BusEvents) -> (String, LossCause, Vec<PublishToken>) {
    wait(events, "the end of a connection", |event| match event {
        BusEvent::Disconnected { error, cause, unacknowledged, .. } => {
            Some((error.to_string(), *cause, unacknowledged.clone()))
        }
        _ => None,
    })
}

/// Publishes, and waits until it is acknowledged; a connection that ends meanwhile is a failure.
fn publish(handle: &BusHandle, events: &mut BusEvents, topic: &str) {
    let token = handle.publish_with(OutgoingMessage::new(topic, "x")).unwrap();
    acknowledged(events, token);
}

fn acknowledged(events: &mut BusEvents, wanted: PublishToken) {
    wait(events, "an acknowledgement", |event| match event {
        BusEvent::Published { token, outcome } if *token == wanted => {
            assert_eq!(*outcome, PublishOutcome::Accepted);
            Some(())
        }
        BusEvent::Disconnected { error, .. } => panic!("{error}"),
        _ => None,
    });
}

/// A PUBLISH of MQTT 5 with a topic alias.
fn aliased(topic: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend([0, 5]);
    }
    body.extend([3, 0x23, 0, 7]);
    body.extend(b"{}");
    let mut packet = vec![0x30 | qos << 1, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

#[test]
fn a_topic_alias_that_nobody_introduced_ends_the_connection_and_not_the_bus() {
    for qos in [0, 1] {
        let options = broker(Protocol::V5, move |packet| {
            let mut answer = packet.usual_answer(Protocol::V5);
            if packet.kind() == 8 && packet.connection == 0 {
                answer.extend(aliased("", qos));
            }
            Some(answer)
        });
        let (handle, mut events) = connect(options).unwrap();
        connected(&mut events);
        handle.subscribe_with(&[Subscription::new("t")]).unwrap();
        let (why, cause, _) = lost(&mut events);
        assert!(why.contains("protocol") && why.contains("alias"), "{why}");
        assert_eq!(cause, LossCause::Elsewhere);
        connected(&mut events);
        publish(&handle, &mut events, "after");
        handle.stop(None);
        assert!(wait(&mut events, "the end", |event| match event {
            BusEvent::Stopped { complete } => Some(*complete),
            _ => None,
        }));
    }
}

/// A broker that introduces aliases unasked is understood as long as it names the topic too.
#[test]
fn a_message_that_introduces_an_alias_is_taken() {
    let options = broker(Protocol::V5, |packet| {
        let mut answer = packet.usual_answer(Protocol::V5);
        if packet.kind() == 8 {
            answer.extend(aliased("t", 0));
        }
        Some(answer)
    });
    let (handle, mut events) = connect(options).unwrap();
    connected(&mut events);
    handle.subscribe_with(&[Subscription::new("t")]).unwrap();
    let message = wait(&mut events, "the message", |event| match event {
        BusEvent::Message(message) => Some(message.clone()),
        _ => None,
    });
    assert_eq!((message.topic.as_str(), message.properties), ("t", Properties::default()));
}

/// Packets of all kinds, as they should not be sent: each to a connection of its own, behind CONNACK.
fn oddities() -> Vec<Vec<u8>> {
    let mut odd: Vec<Vec<u8>> = vec![
        vec![0x00, 0],
        vec![0x10, 0],
        vec![0x20, 3, 0, 0, 0],
        vec![0x20, 2, 0, 0],
        vec![0x20, 0],
        vec![0x30, 0],
        vec![0x30, 2, 0, 0],
        vec![0x30, 3, 0, 0, 0],
        vec![0x32, 4, 0, 0, 0, 0],
        vec![0x32, 5, 0, 0, 0, 0, 0],
        vec![0x36, 5, 0, 1, b't', 0, 9],
        vec![0x34, 6, 0, 1, b't', 0, 0, 0],
        vec![0x30, 9, 0, 0xFF, b't', 0, 0, 0, 0, 0, 0],
        aliased("", 2),
        vec![0x40, 2, 0, 0],
        vec![0x40, 2, 0xFF, 0xFF],
        vec![0x40, 4, 0, 1, 0x10, 0],
        vec![0x50, 2, 0, 1],
        vec![0x62, 2, 0, 1],
        vec![0x70, 2, 0, 1],
        vec![0x80, 2, 0, 1],
        vec![0x90, 2, 0, 1],
        vec![0x90, 0],
        vec![0xB0, 0],
        vec![0xB0, 2, 0, 1],
        vec![0xC0, 0],
        vec![0xD0, 0],
        vec![0xD0, 4, 1, 2, 3, 4],
        vec![0xE0, 0],
        vec![0xE0, 1, 0x81],
        vec![0xE0, 2, 0x82, 0],
        vec![0xE0, 1, 0xFF],
        vec![0xE0, 3, 0x82, 9, 0x1F],
        vec![0xF0, 0],
        vec![0xF0, 2, 0x18, 0],
        vec![0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    ];
    // And any bytes behind any first byte, the same each time.
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 32) as u8
    };
    for first in (0..=255).step_by(2) {
        let length = random() % 12;
        let mut packet = vec![first, length];
        packet.extend((0..length).map(|_| if random() & 1 == 0 { random() & 7 } else { random() }));
        odd.push(packet);
    }
    odd
}

#[test]
fn nothing_that_a_broker_sends_ends_the_bus() {
    for protocol in BOTH {
        let odd = oddities();
        let count = odd.len();
        let options = broker(protocol, move |packet| {
            let Some(odd) = odd.get(packet.connection) else { return Some(packet.usual_answer(protocol)) };
            match packet.kind() {
                1 => Some(packet.usual_answer(protocol)),
                // In place of the PUBACK, so that something is under way.
                3 if packet.topic() == b"odd" => Some(odd.clone()),
                _ => None,
            }
        });
        let (handle, mut events) = connect(options).unwrap();
        for _ in 0..count {
            connected(&mut events);
            for topic in ["odd", "hang/up"] {
                // The connection may have ended already.
                let _ = handle.publish_with(OutgoingMessage::new(topic, "x"));
            }
        }
        connected(&mut events);
        publish(&handle, &mut events, "after");
    }
}

#[test]
fn a_broker_that_takes_no_message_in_flight_is_told_as_that() {
    let (_handle, mut events) = connect(broker(Protocol::V5, |packet| {
        Some(if packet.kind() == 1 { vec![0x20, 6, 0, 0, 3, 0x21, 0, 0] } else { Vec::new() })
    }))
    .unwrap();
    let error = wait(&mut events, "a failed attempt", |event| match event {
        BusEvent::ConnectFailed { error, .. } => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("receive maximum") && error.contains("breaks"), "{error}");
}

#[test]
fn a_publish_whose_acknowledgement_is_lost_is_told_and_sent_again_on_a_new_connection() {
    for protocol in BOTH {
        let options = broker(protocol, move |packet| {
            let swallowed = packet.connection == 0 && packet.kind() == 3 && packet.topic() == b"lost";
            Some(if swallowed { Vec::new() } else { packet.usual_answer(protocol) })
        });
        let options = BusOptions { answer_timeout: Duration::from_millis(500), ..options };
        let (handle, mut events) = connect(options).unwrap();
        connected(&mut events);
        publish(&handle, &mut events, "before");
        let token = handle.publish_with(OutgoingMessage::new("lost", "x")).unwrap();
        let (why, cause, unacknowledged) = lost(&mut events);
        assert!(why.contains("has not acknowledged") && why.contains("lost"), "{why}");
        assert_eq!((cause, unacknowledged), (LossCause::Elsewhere, vec![token]));
        connected(&mut events);
        publish(&handle, &mut events, "lost");
        // More than are in flight.
        for _ in 0..40 {
            publish(&handle, &mut events, "after");
        }
    }
}

#[test]
fn a_subscription_that_is_never_answered_is_asked_for_on_a_new_connection() {
    for protocol in BOTH {
        let options = broker(protocol, move |packet| {
            let swallowed = packet.connection == 0 && packet.kind() == 8;
            Some(if swallowed { Vec::new() } else { packet.usual_answer(protocol) })
        });
        let options = BusOptions { answer_timeout: Duration::from_millis(500), ..options };
        let (handle, mut events) = connect(options).unwrap();
        connected(&mut events);
        handle.subscribe_with(&[Subscription::new("t")]).unwrap();
        let (why, _, _) = lost(&mut events);
        assert!(why.contains("has not answered a subscription"), "{why}");
        connected(&mut events);
        let wanted = handle.subscribe_with(&[Subscription::new("t")]).unwrap();
        wait(&mut events, "the subscription", |event| match event {
            BusEvent::Subscribed { token, refused } if *token == wanted && refused.is_empty() => Some(()),
            _ => None,
        });
    }
}

/// A message that takes three times as long on its way as the broker may leave it unanswered.
#[test]
fn a_slow_line_that_still_carries_a_message_is_not_given_up() {
    let protocol = Protocol::V5;
    let answers = Box::new(move |packet: &Packet| Some(packet.usual_answer(protocol)));
    let options = paced(protocol, Duration::from_millis(10), answers);
    let options = BusOptions { answer_timeout: Duration::from_secs(1), ..options };
    let (handle, mut events) = connect(options).unwrap();
    connected(&mut events);
    let begun = std::time::Instant::now();
    let token = handle.publish_with(OutgoingMessage::new("large", vec![7; 4 << 20])).unwrap();
    acknowledged(&mut events, token);
    assert!(begun.elapsed() > Duration::from_secs(2), "the line is not slow: {:?}", begun.elapsed());
}
