//! The soak: thousands of requests flow while the broker is restarted and the service is killed, again and
//! again; in the end every request is answered, and every saved object is in its layer once.
//!
//! It takes its time, so it runs only when asked for:
//!
//! ```text
//! CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test --features demo --test soak -- --ignored --nocapture
//! ```
//!
//! `GEOSAM_SOAK_REQUESTS` and `GEOSAM_SOAK_RESTARTS` change the 10,000 requests and the 20 restarts and 20
//! kills. With `GEOSAM_SOAK_HOSTILE=1` one more client sends the worst that it can think of all the while; nobody waits
//! for its answers, but the others' must come. `GEOSAM_SOAK_CARD` names a directory on a small file system of its own: the
//! state is kept there, and the file system is filled to the last byte as often as the service is killed
//! (`mount -t tmpfs -o size=96m tmpfs DIR`). The clients are mosquitto's own: one `mosquitto_pub` for each request, which
//! ends well only when it has the broker's PUBACK and is run again with the same payload when it does not; one
//! `mosquitto_sub` hears all.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;
#[path = "support/soak_report.rs"]
mod soak_report;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use mosquitto::{Mosquitto, Received, Setup};
use serde_json::{Value, json};
use service::{Board, validate};
use soak_report::Report;

const DEVICE: &str = "soak";
/// Publishers at the same time, each with a session and a layer of its own.
const CLIENTS: usize = 4;
/// Requests on their way: published, and not yet answered.
const WINDOW: usize = 200;
/// Nothing for so long means that nothing will come any more.
const SILENCE: Duration = Duration::from_secs(180);
/// Queues wide enough for the window several times over, also beside a client that fills its share, and answers kept for
/// the whole run.
const LIMITS: &str = "[limits]\nqueue = 4096\nclient_queue = 1024\nanswers = 100000\n\
                      [decoder]\nworkers = 2\nthreads = 1\n[health]\ninterval_s = 3600";

/// A request, and what must be answered.
pub struct Asked {
    pub verb: &'static str,
    pub payload: Value,
    pub expected: &'static str,
    /// The prompt of the object that a `save` must save.
    pub saves: Option<[f64; 2]>,
}

/// The requests of one client, in order. Of twenty, three times two add and save an object, one is a batch, four
/// point at an object, and nine at a place without imagery.
fn requests(client: usize, count: usize, places: &[[f64; 2]]) -> Vec<Asked> {
    let output = json!({"vectorization": "simplified", "tolerance": 3, "largest_only": true});
    let place = |n: usize| places[(n * 7 + client * 13) % places.len()];
    let ask = |n: usize| {
        let id = format!("c{client}-{n}");
        let plain = |verb, payload, expected| Asked { verb, payload, expected, saves: None };
        match n % 20 {
            step @ (0 | 1 | 6 | 7 | 12 | 13) => {
                let at = place(n - step % 2);
                let session = format!("s{client}");
                if step % 2 == 0 {
                    let payload = json!({"id": id, "session": session, "points": [at], "output": output});
                    return plain("add", payload, "ok");
                }
                let layer = format!("layer-{client}");
                let properties = json!({"request": id});
                let payload = json!({"id": id, "session": session, "layer": layer, "output": output,
                                     "properties": properties});
                Asked { saves: Some(at), ..plain("save", payload, "ok") }
            }
            3 => {
                let prompt = |n| json!({"points": [place(n)], "output": output});
                plain("segment", json!({"id": id, "prompts": [prompt(n), prompt(n + 1)]}), "ok")
            }
            4 | 9 | 14 | 19 => {
                plain("segment", json!({"id": id, "points": [place(n)], "output": output}), "ok")
            }
            _ => plain("segment", json!({"id": id, "points": [[1.0, 2.0]]}), "NO_CHIP_COVERS"),
        }
    };
    (0..count).map(ask).collect()
}

/// Points inside the objects of the demo's scene.
fn places() -> Vec<[f64; 2]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/truth.geojson");
    let truth: Value = serde_json::from_slice(&std::fs::read(path).expect("the truth")).expect("JSON");
    let features = truth["features"].as_array().expect("features").iter();
    let inside = |feature: &Value| serde_json::from_value(feature["properties"]["inside"].clone());
    features.map(|feature| inside(feature).expect("a position")).collect()
}

/// What the publishers tell.
enum Told {
    /// The broker has acknowledged a request.
    Published { id: String, at: Instant },
    /// It had not, and the request is published again.
    Again,
}

/// Publishes requests one after the other, each until the broker has it.
fn publish(
    port: u16,
    client: usize,
    asked: &[Asked],
    answered: &AtomicUsize,
    end: &AtomicBool,
    tell: &Sender<Told>,
) {
    for (n, request) in asked.iter().enumerate() {
        while n * CLIENTS > answered.load(Ordering::Relaxed) + WINDOW {
            if end.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let topic = format!("geosam/{DEVICE}/request/c{client}/{}", request.verb);
        let payload = request.payload.to_string();
        let port = port.to_string();
        let arguments =
            ["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-q", "1", "-t", &topic, "-m", &payload];
        loop {
            if end.load(Ordering::Relaxed) {
                return;
            }
            let mut command = Command::new("mosquitto_pub");
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().expect("mosquitto_pub runs").success() {
                break;
            }
            let _ = tell.send(Told::Again);
            std::thread::sleep(Duration::from_millis(100));
        }
        let id = format!("c{client}-{n}");
        let _ = tell.send(Told::Published { id, at: Instant::now() });
    }
}

/// What a client that means ill, or knows nothing, may publish below its own topic: verb, properties, payload.
fn worst() -> Vec<(&'static str, Vec<String>, Vec<u8>)> {
    let everything = r#""output":{"multimask":true,"max_bytes":1000000000000}"#;
    let plain = |verb, payload: String| (verb, Vec::new(), payload.into_bytes());
    let with = |names: &[&str], verb, payload: &str| {
        let properties = names.iter().flat_map(|name| ["-D", "publish"].into_iter().chain(name.split('=')));
        (verb, properties.map(str::to_owned).collect::<Vec<_>>(), payload.as_bytes().to_vec())
    };
    let at = places()[0];
    let nowhere = r#"{"id":"h","points":[[1,2]]}"#;
    let long = "x/".repeat(2000);
    let prompts = |count| vec![format!(r#"{{"points":[{at:?}]}}"#); count].join(",");
    let batch = |count| format!(r#"{{"id":"h{count}","prompts":[{}],{everything}}}"#, prompts(count));
    vec![
        plain("fetch", format!(r#"{{"id":"h","layer":"layer-0","limit":1000000000,{everything}}}"#)),
        plain("segment", batch(16)),
        plain("segment", batch(64)),
        plain("segment", "[".repeat(200_000)),
        plain(
            "segment",
            format!(r#"{{"id":"h","points":[[1,2]],"ttl_ms":0,"x":"{}"}}"#, "y".repeat(500_000)),
        ),
        plain("save", r#"{"id":"h","session":"none","layer":"../../etc"}"#.to_owned()),
        plain("clear", r#"{"session":"s0"}"#.to_owned()),
        plain("cancel", "{}".to_owned()),
        plain("nonsense", "{}".to_owned()),
        with(&["response-topic=$SYS/broker"], "segment", nowhere),
        with(&[&format!("response-topic=geosam/soak/response/hostile/{long}")], "segment", nowhere),
        with(&["response-topic=geosam/soak/response/c0/segment"], "segment", nowhere),
        with(&[&format!("correlation-data={}", "c".repeat(60_000))], "segment", nowhere),
        with(&["user-property=a=b"], "list", r#"{"id":"h"}"#),
        // The same id for something else, a layer for each request, a session for each.
        plain("add", format!(r#"{{"id":"h","session":"h","points":[{at:?}]}}"#)),
        plain("add", format!(r#"{{"id":"h","session":"h","points":[{at:?},{at:?}]}}"#)),
        plain("save", r#"{"id":"h","session":"h","layer":"hostile"}"#.to_owned()),
        plain("unsave", r#"{"id":"u","session":"s0","layer":"layer-0"}"#.to_owned()),
        plain("segment", format!(r#"{{"id":"s","points":[{at:?}],"stitch":true,"max_chips":1024}}"#)),
        plain("segment", "\0".repeat(1_000_000)),
    ]
}

/// Publishes the worst again and again, without waiting for anything.
fn molest(port: u16, end: &AtomicBool) -> usize {
    let port = port.to_string();
    let mut published = 0;
    for (verb, properties, payload) in worst().into_iter().cycle() {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let topic = format!("geosam/{DEVICE}/request/hostile/{verb}");
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-q", "1", "-t", &topic, "-s"]);
        command.args(properties).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("mosquitto_pub runs");
        // One that has given up does not read.
        let _ = child.stdin.take().expect("its input").write_all(&payload);
        published += usize::from(child.wait().expect("a status").success());
        std::thread::sleep(Duration::from_millis(20));
    }
    published
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
#[ignore = "takes half an hour; the head of this file says how to run it"]
fn everything_is_answered_and_saved_once_while_broker_and_service_fall_again_and_again() {
    let (count, restarts) = (number("GEOSAM_SOAK_REQUESTS", 10_000), number("GEOSAM_SOAK_RESTARTS", 20));
    let Some(mut broker) = Mosquitto::start(Setup { persistence: true, ..Setup::default() }) else { return };
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let (features, models) = (demo.join("features"), demo.join("models"));
    let card = std::env::var_os("GEOSAM_SOAK_CARD").map(PathBuf::from);
    let mut board = match &card {
        Some(card) => {
            Board::with_state(&broker.url(), DEVICE, &features, &models, &card.join("state"), LIMITS)
        }
        None => Board::configured(&broker.url(), DEVICE, &features, &models, LIMITS),
    };
    let responses = format!("geosam/{DEVICE}/response/#");
    let others = format!("geosam/{DEVICE}/saved/#");
    let peer = broker.subscribe(&responses, &["-c", "-x", "86400", "-t", &others, "-t", "geosam/soak/state"]);
    board.start();
    assert_eq!(peer.next().text(), "online");

    let places = places();
    let all: Vec<Vec<Asked>> = (0..CLIENTS)
        .map(|client| requests(client, count / CLIENTS + usize::from(client < count % CLIENTS), &places))
        .collect();
    let falls = restarts * if card.is_some() { 3 } else { 2 };
    let mut report = Report::new(&all, falls, card.is_some());
    let (answered, end) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, told) = channel();
    std::thread::scope(|scope| {
        for (client, asked) in all.iter().enumerate() {
            let (port, sender) = (broker.port(), sender.clone());
            let (answered, end) = (&answered, &end);
            scope.spawn(move || publish(port, client, asked, answered, end, &sender));
        }
        let hostile = (number("GEOSAM_SOAK_HOSTILE", 0) > 0).then(|| {
            let (port, end) = (broker.port(), &end);
            scope.spawn(move || molest(port, end))
        });
        // Kills, restarts and a full card take turns, evenly spread over the answers.
        let mut fallen = 0;
        let mut last = Instant::now();
        while !report.is_complete() && last.elapsed() < SILENCE {
            for news in told.try_iter() {
                match news {
                    Told::Published { id, at } => report.published(&id, at),
                    Told::Again => report.published_again(),
                }
            }
            let message = peer.within(Duration::from_millis(50));
            if let Some(message) = message {
                last = Instant::now();
                hear(&message, &mut report);
                answered.store(report.answered(), Ordering::Relaxed);
            }
            if fallen < falls && report.answered() >= (fallen + 1) * count / (falls + 1) {
                fell(fallen, &mut board, &mut broker, card.as_deref());
                fallen += 1;
                report.fell(fallen, falls);
                last = Instant::now();
            }
        }
        end.store(true, Ordering::Relaxed);
        if let Some(hostile) = hostile {
            report.molested(hostile.join().expect("it ends"));
        }
    });
    for news in told.try_iter() {
        if let Told::Published { id, at } = news {
            report.published(&id, at);
        }
    }
    // What comes twice at the end, too.
    while let Some(message) = peer.within(Duration::from_secs(5)) {
        hear(&message, &mut report);
    }
    let ended_well = board.stop();
    let layers: Vec<Vec<Value>> =
        (0..CLIENTS).map(|client| board.layer(&format!("layer-{client}"))).collect();
    let panicked = board.log().contains("panicked");
    // Before anything can fail: their logs are long.
    drop((peer, board, broker));
    report.layers(&layers);
    println!("{report}");
    assert!(ended_well && !panicked, "the service ended well");
    report.assert_complete();
}

fn hear(message: &Received, report: &mut Report) {
    validate(message);
    if message.topic.contains("/response/hostile/") || message.topic.ends_with("/saved/hostile") {
        return;
    }
    if message.topic.contains("/response/") {
        report.answer(&message.json());
    } else if message.topic.contains("/saved/") {
        report.saved(&message.json());
    }
}

/// Kills the service, restarts the broker, or fills the card for a while.
fn fell(turn: usize, board: &mut Board, broker: &mut Mosquitto, card: Option<&Path>) {
    // A pause that differs from turn to turn, so that falls meet the service in all of its moments.
    let pause = Duration::from_millis((turn as u64 * 137) % 700);
    let kinds = if card.is_some() { 3 } else { 2 };
    if let Some(card) = card.filter(|_| turn % kinds == 2) {
        let filler = card.join("filler");
        fill(&filler);
        std::thread::sleep(Duration::from_secs(3) + pause);
        if turn.is_multiple_of(2) {
            // A start on a full card, too.
            board.kill();
            board.start();
            std::thread::sleep(Duration::from_secs(2));
        }
        std::fs::remove_file(filler).expect("the filler goes");
    } else if turn.is_multiple_of(kinds) {
        board.kill();
        std::thread::sleep(pause);
        board.start();
    } else {
        broker.stop();
        std::thread::sleep(pause);
        broker.restart();
    }
}

/// Fills a file system to the last byte.
fn fill(filler: &Path) {
    let mut file = std::fs::File::create(filler).expect("a file on the card");
    let block = [0x5a_u8; 4096];
    for bytes in [4096, 512, 1] {
        while file.write_all(&block[..bytes]).is_ok() {}
    }
}
