//! The sender against sockets: a reader that takes events by ATAK's rules.

mod heard;
mod markers;
mod reader;
mod tls;

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::thread::CotThread;
use super::*;
use crate::bus::OutgoingMessage;
use crate::durable::Disk;
use crate::layers::LayerOp;
use reader::{Heard, heard, read_on};

const PATIENCE: Duration = Duration::from_secs(20);

/// A state directory with layers.
struct Scene {
    state: TempDir,
}

fn line(id: &str, vertices: usize) -> String {
    let at = |k: usize| std::f64::consts::TAU * (k % vertices) as f64 / vertices as f64;
    let ring: Vec<String> = (0..=vertices)
        .map(|k| format!("[{:.7},{:.7}]", 9.0 + 0.01 * at(k).cos(), 47.0 + 0.01 * at(k).sin()))
        .collect();
    format!(
        r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"Polygon","coordinates":[[{}]]}},"properties":{{"score":0.9}}}}"#,
        ring.join(",")
    )
}

impl Scene {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("layers")).unwrap();
        Self { state }
    }

    fn write(&self, layer: &str, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.state.path().join(format!("layers/{layer}.geojsonl")), text).unwrap();
    }

    fn options(target: &str) -> CotOptions {
        CotOptions {
            targets: vec![CotTarget::parse(target).unwrap()],
            pause: Duration::from_millis(2),
            stable: Duration::from_millis(50),
            retry: (Duration::from_millis(20), Duration::from_millis(50)),
            received_after: Duration::from_millis(50),
            interval: Duration::from_secs(3600),
            ..CotOptions::new("board-7", "geosam/board-7")
        }
    }

    fn start(&self, options: CotOptions) -> Sender {
        self.start_with(options, Arc::new(Broker::default()))
    }

    fn start_with(&self, options: CotOptions, broker: Arc<Broker>) -> Sender {
        let live = CotLive::open(options, &Disk::default(), self.state.path());
        let thread = live.start(broker).unwrap();
        Sender { live, _thread: thread }
    }
}

struct Sender {
    live: CotLive,
    _thread: CotThread,
}

impl Sender {
    fn saved(&self, layer: &str, id: &str, line: String) {
        self.live.changed([LayerOp::append(layer, id, line).unwrap()].iter());
    }

    fn deleted(&self, layer: &str, id: &str) {
        self.live.changed([LayerOp::remove(layer, id).unwrap()].iter());
    }

    fn until_problem(&self, part: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(found) = self.live.problems().into_iter().find(|problem| problem.contains(part)) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "{part}: {:?}", self.live.problems());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_well(&self) {
        let start = Instant::now();
        while !self.live.problems().is_empty() {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.live.problems());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What has been published, in order.
#[derive(Default)]
struct Broker(Mutex<Vec<OutgoingMessage>>);

impl Outlet for Broker {
    fn publish(&self, message: OutgoingMessage, taken: oneshot::Sender<bool>) {
        self.0.lock().unwrap().push(message);
        let _ = taken.send(true);
    }
}

fn next(events: &Receiver<Heard>) -> Heard {
    events.recv_timeout(PATIENCE).expect("an event")
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, target)
}

fn accepted(listener: &TcpListener) -> (std::net::TcpStream, Receiver<Heard>) {
    let stream = listener.accept().unwrap().0;
    (stream.try_clone().unwrap(), read_on(stream))
}

fn uids(events: &Receiver<Heard>, count: usize) -> Vec<String> {
    (0..count).map(|_| next(events).uid).collect()
}

#[test]
fn presence_comes_first_then_all_there_is_then_what_changes_and_a_deletion_in_two_steps() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    scene.write("ponds", &[line("a", 5), line("b", 6)]);
    scene.write("roads", &[line("c", 7)]);
    let sender = scene.start(Scene::options(&target));
    let (_stream, events) = accepted(&listener);
    let presence = next(&events);
    assert_eq!((presence.uid.as_str(), presence.kind.as_str()), ("geosam-edge-board-7", "a-f-G-U-C"));
    assert_eq!(uids(&events, 3), ["a", "b", "c"]);
    sender.saved("ponds", "d", line("d", 8));
    let saved = next(&events);
    assert_eq!((saved.uid.as_str(), saved.vertices, saved.lasts), ("d", 9, 86_400.0));
    sender.live.changed([LayerOp::replace("ponds", "d", line("d", 9)).unwrap()].iter());
    assert_eq!((next(&events).vertices, scene.start_is_quiet(&events)), (10, true));
    sender.deleted("ponds", "d");
    let (last, gone) = (next(&events), next(&events));
    assert_eq!((last.uid.as_str(), last.kind.as_str(), last.lasts), ("d", "u-d-f", 2.0));
    assert_eq!(gone.deleted.as_deref(), Some("d"));
    sender.until_well();
}

impl Scene {
    /// Nothing more comes.
    fn start_is_quiet(&self, events: &Receiver<Heard>) -> bool {
        events.recv_timeout(Duration::from_millis(200)).is_err()
    }
}

#[test]
fn after_a_connection_is_lost_all_comes_again_and_what_was_deleted_meanwhile_is_told() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    scene.write("ponds", &[line("a", 5), line("b", 6)]);
    let sender = scene.start(Scene::options(&target));
    let (stream, events) = accepted(&listener);
    assert_eq!(uids(&events, 3)[1..], ["a", "b"]);
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    scene.write("ponds", &[line("b", 6)]);
    sender.deleted("ponds", "a");
    // The connection may have been taken up before the deletion was.
    let (_stream, events) = accepted(&listener);
    let all: Vec<Heard> = (0..4).map(|_| next(&events)).collect();
    assert_eq!(all[0].kind, "a-f-G-U-C");
    assert!(all.iter().any(|event| event.deleted.as_deref() == Some("a")), "{all:?}");
    assert!(all.iter().any(|event| event.uid == "b"), "{all:?}");
    let of_a = all.iter().filter(|event| event.uid == "a").map(|event| event.lasts).collect::<Vec<_>>();
    assert_eq!(of_a, [2.0]);
}

#[test]
fn what_is_gone_when_it_starts_again_is_deleted() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    scene.write("ponds", &[line("a", 5), line("b", 6)]);
    let sender = scene.start(Scene::options(&target));
    let (_stream, events) = accepted(&listener);
    assert_eq!(uids(&events, 3)[1..], ["a", "b"]);
    // The ledger is written at the next news.
    sender.saved("ponds", "c", line("c", 5));
    assert_eq!(next(&events).uid, "c");
    let ledger = scene.state.path().join("cot.jsonl");
    let start = Instant::now();
    while !["\"a\"", "\"b\"", "\"c\""]
        .iter()
        .all(|id| fs::read_to_string(&ledger).is_ok_and(|text| text.contains(id)))
    {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(sender);
    scene.write("ponds", &[line("b", 6)]);
    let _sender = scene.start(Scene::options(&target));
    let (_stream, events) = accepted(&listener);
    let all: Vec<Heard> = (0..6).map(|_| next(&events)).collect();
    let mut deleted: Vec<_> = all.iter().filter_map(|event| event.deleted.clone()).collect();
    deleted.sort();
    assert_eq!(deleted, ["a", "c"]);
    assert!(all.iter().any(|event| event.uid == "b" && event.lasts > 3600.0));
}

#[test]
fn all_comes_again_at_an_interval_and_only_of_the_layers_that_are_named() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    scene.write("ponds", &[line("a", 5)]);
    scene.write("roads", &[line("b", 5)]);
    let mut options = Scene::options(&target);
    options.interval = Duration::from_millis(150);
    options.layers = vec!["ponds".to_owned(), "nothing-yet".to_owned()];
    let sender = scene.start(options);
    let (_stream, events) = accepted(&listener);
    sender.saved("roads", "c", line("c", 5));
    assert_eq!(uids(&events, 4)[1..], ["a", "a", "a"]);
    // By hand, with nobody telling it.
    scene.write("ponds", &[line("d", 5)]);
    let start = Instant::now();
    let (mut comes, mut goes) = (false, false);
    while !(comes && goes) {
        let event = next(&events);
        comes |= event.uid == "d";
        goes |= event.deleted.as_deref() == Some("a");
        assert!(start.elapsed() < PATIENCE && event.uid != "b" && event.uid != "c");
    }
}

#[test]
fn a_datagram_is_an_event() {
    let scene = Scene::new();
    scene.write("ponds", &[line("a", 5)]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = scene.start(Scene::options(&format!("udp://{}", socket.local_addr().unwrap())));
    let mut buffer = vec![0; 70_000];
    let mut datagram = || {
        let bytes = socket.recv(&mut buffer).unwrap();
        heard(std::str::from_utf8(&buffer[..bytes]).unwrap())
    };
    assert_eq!(datagram().kind, "a-f-G-U-C");
    assert_eq!(datagram().uid, "a");
    sender.saved("ponds", "large", line("large", 20_000));
    let large = datagram();
    assert!(large.uid == "large" && large.bytes > 20_000 && large.vertices > 500, "{large:?}");
    sender.deleted("ponds", "a");
    assert_eq!(datagram().lasts, 2.0);
    assert_eq!(datagram().deleted.as_deref(), Some("a"));
}

#[test]
fn nothing_is_sent_before_the_clock_is_set() {
    let scene = Scene::new();
    scene.write("ponds", &[line("a", 5)]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut options = Scene::options(&format!("udp://{}", socket.local_addr().unwrap()));
    options.clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let sender = scene.start(options);
    assert!(sender.until_problem("clock").contains("1970-01-02T00:00:00Z, before 2024"));
    assert_eq!(sender.live.take_news().len(), 1);
    assert!(socket.recv(&mut [0; 10]).is_err());
}

#[test]
fn a_target_that_is_not_there_is_told_once_and_served_when_it_comes() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    scene.write("ponds", &[line("a", 5)]);
    drop(listener);
    let sender = scene.start(Scene::options(&target));
    assert!(sender.until_problem(&target).contains("it cannot be reached"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sender.live.take_news().len(), 1);
    let listener = TcpListener::bind(target.trim_start_matches("tcp://")).unwrap();
    let (_stream, events) = accepted(&listener);
    assert_eq!(uids(&events, 2)[1], "a");
    sender.until_well();
    assert!(sender.live.take_news().is_empty());
}

#[test]
fn what_others_send_is_thrown_away() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    let sender = scene.start(Scene::options(&target));
    let (mut stream, events) = accepted(&listener);
    assert_eq!(next(&events).kind, "a-f-G-U-C");
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..200 {
        stream.write_all(&[b'x'; 65_536]).unwrap();
    }
    sender.saved("ponds", "a", line("a", 5));
    assert_eq!(next(&events).uid, "a");
}

#[test]
fn more_changes_than_memory_is_given_come_from_the_files() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    let sender = scene.start(Scene::options(&target));
    let (_stream, events) = accepted(&listener);
    assert_eq!(next(&events).kind, "a-f-G-U-C");
    let lines: Vec<String> = (0..600).map(|n| line(&format!("o{n}"), 300)).collect();
    scene.write("ponds", &lines);
    let changes: Vec<LayerOp> = lines
        .into_iter()
        .enumerate()
        .map(|(n, line)| LayerOp::append("ponds", &format!("o{n}"), line).unwrap())
        .collect();
    sender.live.changed(changes.iter());
    let mut left: std::collections::BTreeSet<String> = (0..600).map(|n| format!("o{n}")).collect();
    while !left.is_empty() {
        left.remove(&next(&events).uid);
    }
}

#[test]
fn each_object_is_a_retained_topic_of_the_broker_that_is_emptied_when_it_is_gone() {
    let scene = Scene::new();
    scene.write("ponds", &[line("a", 5), line("b/\u{fc}", 5)]);
    let broker = Arc::new(Broker::default());
    let sender = scene.start_with(Scene::options("mqtt:cot"), Arc::clone(&broker));
    std::thread::sleep(Duration::from_millis(100));
    assert!(broker.0.lock().unwrap().is_empty() && sender.live.problems().is_empty());
    sender.live.broker_connected();
    let until = |count: usize| {
        let start = Instant::now();
        while broker.0.lock().unwrap().len() < count {
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
        std::mem::take(&mut *broker.0.lock().unwrap())
    };
    let all = until(3);
    let topics: Vec<&str> = all.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(
        topics,
        ["geosam/board-7/cot/geosam-edge-board-7", "geosam/board-7/cot/a", "geosam/board-7/cot/b%2F%C3%BC"]
    );
    assert!(all.iter().all(|message| message.retain));
    heard(std::str::from_utf8(&all[1].payload).unwrap());
    sender.deleted("ponds", "a");
    let gone = until(2);
    assert!(gone.iter().all(|message| message.topic == topics[1]));
    assert_eq!(gone.iter().map(|message| message.retain).collect::<Vec<_>>(), [false, true]);
    assert_eq!(heard(std::str::from_utf8(&gone[0].payload).unwrap()).deleted.as_deref(), Some("a"));
    assert!(gone[1].payload.is_empty());
    // On another connection all comes again, and the deletion too, which may not have arrived.
    sender.live.broker_away();
    sender.live.broker_connected();
    let again: Vec<(String, bool)> =
        until(4).into_iter().map(|message| (message.topic, message.payload.is_empty())).collect();
    assert_eq!(again[0].0, topics[0]);
    assert_eq!(again[1..3], [(topics[1].to_owned(), false), (topics[1].to_owned(), true)]);
    assert_eq!(again[3], (topics[2].to_owned(), false));
    assert!(!sender.live.broker_refuses("geosam/board-7/info"));
    assert!(sender.live.broker_refuses("geosam/board-7/cot/a"));
    sender.until_problem("let the board publish and retain below geosam/board-7/cot/");
}
