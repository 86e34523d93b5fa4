//! What a board may lack, over real MQTT: a model, a readable chip, room for requests, answers and layers, a
//! broker, and a card that answers at all.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;
#[path = "support/stuck.rs"]
mod stuck;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use certificates::{Authority, Identity};
use mosquitto::{Mosquitto, Setup, Tls, free_port, patience};
use serde_json::{Value, json};
use service::{Board, Ears, POINT, SMALL, code, copy, fixture, is_answer, long_batch};
use stuck::Stuck;

fn scene(more: &str) -> Option<(Mosquitto, Board, Ears)> {
    let broker = Mosquitto::start(Setup::default())?;
    let board = Board::new(&broker, "b1", more);
    Some(serving(broker, board))
}

fn serving(broker: Mosquitto, mut board: Board) -> (Mosquitto, Board, Ears) {
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    (broker, board, ears)
}

fn ask(broker: &Mosquitto, board: &Board, verb: &str, payload: &str) {
    broker.publish(&board.request("c1", verb), payload.as_bytes(), &[]);
}

fn segment(id: &str) -> String {
    format!(r#"{{"id":"{id}",{POINT},{SMALL}}}"#)
}

#[test]
fn it_is_online_only_once_its_subscriptions_are_granted() {
    let Some((mut broker, board, mut ears)) = scene("") else { return };
    let in_order = |log: &str| {
        let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text:?} is not in\n{log}"));
        let state = log.lines().find(|l| l.contains("from geosam-b1 ") && l.contains("'geosam/b1/state'"));
        assert!(place("Sending SUBACK to geosam-b1") < place(state.expect("the state is told")));
    };
    let first = broker.log();
    in_order(&first);
    broker.restart();
    ears.online(&board);
    in_order(&broker.log()[first.len()..]);
}

#[test]
fn requests_at_most_once_and_exactly_once_are_served_once_each() {
    let Some((broker, board, mut ears)) = scene("") else { return };
    for qos in ["0", "2"] {
        broker.publish(&board.request("c1", "segment"), segment(&format!("q{qos}")).as_bytes(), &["-q", qos]);
        assert_eq!(code(&ears.answer(&format!("q{qos}"))), "ok");
    }
    assert!(!ears.rest(Duration::from_millis(500)).iter().any(is_answer), "each once");
}

#[test]
fn a_folder_without_its_model_says_so_and_is_ready_when_the_model_comes() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let models = tempfile::tempdir().expect("a directory");
    let board = Board::configured(&broker.url(), "b1", &fixture("folder_sam"), models.path(), "");
    let (broker, board, mut ears) = serving(broker, board);
    let folder = |ears: &mut Ears, ready: bool| {
        let fits =
            |m: &mosquitto::Received| m.topic == "geosam/b1/folder/folder_sam" && m.json()["ready"] == ready;
        ears.wait("the folder", fits).json()
    };
    let told = folder(&mut ears, false);
    assert_eq!(
        (&told["problem"]["code"], &told["model"]),
        (&json!("MODEL_MISSING"), &json!("mobile_sam.pt"))
    );
    let advice = told["problem"]["message"].as_str().expect("a message");
    assert!(advice.contains("mobile_sam.pt") && advice.contains("import-model"), "{advice}");
    assert_eq!(ears.topic("geosam/b1/event/folder_problem").json()["problem"]["code"], "MODEL_MISSING");
    for (id, prompt) in [("named", POINT.to_owned()), ("any", POINT.replace(r#""folder":"folder_sam","#, ""))]
    {
        ask(&broker, &board, "segment", &format!(r#"{{"id":"{id}",{prompt},{SMALL}}}"#));
        let answer = ears.answer(id);
        assert_eq!(code(&answer), "MODEL_MISSING", "{answer}");
    }
    ask(&broker, &board, "list", r#"{"id":"l1"}"#);
    assert_eq!(ears.answer("l1")["folders"][0]["ready"], false);

    // A model of that name, but of another family.
    let (sam, sam2) = (fixture("models/mobile_sam"), models.path().join("other"));
    copy(&fixture("models/sam2_t"), &sam2);
    let description = std::fs::read_to_string(sam2.join("model.toml")).expect("its description");
    let renamed: Vec<String> = description
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("source_file", _)) => "source_file = \"mobile_sam.pt\"".to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    std::fs::write(sam2.join("model.toml"), renamed.join("\n")).expect("it is written");
    ears.wait("a mismatch", |m| {
        m.topic == "geosam/b1/folder/folder_sam" && m.json()["problem"]["code"] == "MODEL_MISMATCH"
    });
    ask(&broker, &board, "segment", &segment("mismatch"));
    assert_eq!(code(&ears.answer("mismatch")), "MODEL_MISMATCH");

    copy(&sam, &models.path().join(".mobile_sam"));
    std::fs::rename(models.path().join(".mobile_sam"), models.path().join("mobile_sam")).expect("it moves");
    folder(&mut ears, true);
    assert_eq!(ears.topic("geosam/b1/event/folder_added").json()["folder"], "folder_sam");
    ears.wait("info with it", |m| {
        m.topic == "geosam/b1/info" && m.json()["models"].to_string().contains(r#""name":"mobile_sam""#)
    });
    // The same request: what was refused for the model's sake is run now.
    ask(&broker, &board, "segment", &format!(r#"{{"id":"named",{POINT},{SMALL}}}"#));
    assert_eq!(code(&ears.answer("named")), "ok");

    ears.rest(Duration::from_millis(300));
    std::fs::remove_dir_all(models.path().join("mobile_sam")).expect("it is removed");
    assert_eq!(folder(&mut ears, false)["problem"]["code"], "MODEL_MISMATCH");
}

#[test]
fn a_chip_that_cannot_be_read_is_answered_by_its_code_and_the_others_are_served() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let card = tempfile::tempdir().expect("a directory");
    copy(&fixture("folder_sam"), &card.path().join("folder_sam"));
    let chip = chip_file(&card.path().join("folder_sam"));
    let bytes = std::fs::read(&chip).expect("the chip");
    std::fs::write(&chip, &bytes[..bytes.len() / 2]).expect("it is cut");
    let board = Board::with_features(&broker, "b1", card.path(), "");
    let (broker, board, mut ears) = serving(broker, board);
    ask(&broker, &board, "segment", &segment("cut"));
    let answer = ears.answer("cut");
    assert_eq!(code(&answer), "CHIP_UNREADABLE", "{answer}");
    std::fs::write(&chip, &bytes).expect("it is mended");
    ask(&broker, &board, "segment", &segment("cut"));
    assert_eq!(code(&ears.answer("cut")), "ok", "the same request, once the chip is there");
}

/// The file of the chip that [`POINT`] lies in.
fn chip_file(folder: &Path) -> std::path::PathBuf {
    let chip = folder.join("features/chip_000000.pt");
    assert!(chip.is_file(), "{}", chip.display());
    chip
}

#[test]
fn layers_are_bounded_and_a_client_sees_what_it_has_just_saved() {
    let Some((broker, board, mut ears)) = scene("[limits]\nlayers = 2") else { return };
    ears.wait("info", |m| m.topic == "geosam/b1/info" && m.json()["limits"]["layers"] == 2);
    for (round, layer) in ["ponds", "fields", "ponds"].into_iter().enumerate() {
        ask(&broker, &board, "add", &format!(r#"{{"id":"a{round}","session":"s",{POINT},{SMALL}}}"#));
        ask(&broker, &board, "save", &format!(r#"{{"id":"s{round}","session":"s","layer":"{layer}"}}"#));
        // Sent without waiting for the answers before.
        ask(&broker, &board, "fetch", &format!(r#"{{"id":"f{round}","layer":"{layer}"}}"#));
        ask(&broker, &board, "list", &format!(r#"{{"id":"l{round}"}}"#));
        let saved = ears.answer(&format!("s{round}"));
        let fetched = ears.answer(&format!("f{round}"));
        let last = fetched["features"].as_array().and_then(|features| features.last()).cloned();
        assert_eq!(last, Some(saved["saved"]["feature"].clone()), "{fetched}");
        let layers = ears.answer(&format!("l{round}"))["layers"].clone();
        let features = |layer: &Value| layer["features"].as_u64().expect("a number");
        assert_eq!(layers.as_array().map(|all| all.iter().map(features).sum()), Some(round as u64 + 1));
    }
    ask(&broker, &board, "add", &format!(r#"{{"id":"a9","session":"s",{POINT},{SMALL}}}"#));
    ask(&broker, &board, "save", r#"{"id":"s9","session":"s","layer":"roads"}"#);
    let refused = ears.answer("s9");
    let text = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(code(&refused) == "TOO_MANY_LAYERS" && text.contains("roads") && text.contains('2'), "{refused}");
    // The session is as it was, for a layer that there is.
    ask(&broker, &board, "save", r#"{"id":"s10","session":"s","layer":"fields"}"#);
    assert_eq!(code(&ears.answer("s10")), "ok");
    assert_eq!((board.layer("ponds").len(), board.layer("fields").len()), (2, 2));
}

#[test]
fn a_full_inbox_is_busy_for_the_client_that_fills_it_and_then_for_all() {
    let Some((broker, board, mut ears)) = scene("[limits]\ninbox_bytes = 1048576\nclient_queue = 64") else {
        return;
    };
    ask(&broker, &board, "segment", &long_batch("long", 40));
    let large = |id: &str| format!("{}{}", segment(id), " ".repeat(200_000));
    let say = |client: &str, payload: &str| {
        broker.publish(&board.request(client, "segment"), payload.as_bytes(), &[]);
    };
    // Half of the inbox may be one client's.
    for id in ["a1", "a2", "a3"] {
        say("a", &large(id));
    }
    assert_eq!(code(&ears.answer("a3")), "BUSY");
    for id in ["b1", "b2"] {
        say("b", &large(id));
    }
    say("c", &large("c1"));
    say("d", &large("d1"));
    assert_eq!(code(&ears.answer("d1")), "BUSY", "no room for anybody");
    for id in ["a1", "a2", "b1", "b2", "c1"] {
        assert_eq!(code(&ears.answer(id)), "ok", "{id}");
    }
    // There is room again.
    say("d", &large("d1"));
    assert_eq!(code(&ears.answer("d1")), "ok");
}

#[test]
fn what_waits_for_a_broker_that_is_away_is_bounded_and_none_of_it_is_dropped() {
    const REQUESTS: usize = 16;
    let setup = Setup { persistence: true, ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    // All answers and masks would be two and a half times as much.
    let more = "[limits]\noutbox_bytes = 1048576\nclient_queue = 64\n[health]\ninterval_s = 1";
    let board = Board::new(&broker, "b1", more);
    let (mut broker, board, mut ears) = serving(broker, board);
    let full = |id: &str| format!(r#"{{"id":"{id}",{POINT},"output":{{"largest_only":true}}}}"#);
    ask(&broker, &board, "segment", &full("first"));
    let first = ears.answer("first");
    let size = first.to_string().len();
    assert!((70_000..90_000).contains(&size), "{size} bytes");
    let ids: Vec<String> = (0..REQUESTS).map(|i| format!("r{i}")).collect();
    let accepted = |log: String| log.matches("Received PUBACK from geosam-b1 ").count();
    let before = accepted(broker.log());
    // Keeps the decoder busy until the broker is away.
    ask(&broker, &board, "segment", &long_batch("long", 16));
    for id in &ids {
        ask(&broker, &board, "segment", &full(id));
    }
    let start = Instant::now();
    while accepted(broker.log()) < before + REQUESTS + 1 {
        assert!(start.elapsed() < patience(), "the requests are not accepted");
        std::thread::sleep(Duration::from_millis(10));
    }
    broker.stop();
    // As many as fit are carried out meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    broker.restart();
    for id in ids.iter().map(String::as_str).chain(["long"]) {
        assert_eq!(code(&ears.answer(id)), "ok", "{id}");
    }
    let health = ears.wait("health", |m| m.topic == "geosam/b1/health" && m.json()["outbox"]["count"] == 0);
    assert_eq!(health.json()["dropped"], 0);
}

/// systemd's end of the notify protocol (sd_notify(3)).
struct Supervisor {
    socket: UnixDatagram,
    path: String,
    _dir: tempfile::TempDir,
}

impl Supervisor {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        Self { socket, path: path.display().to_string(), _dir: dir }
    }

    /// Starts a board as systemd would, with a watchdog of two seconds.
    fn start(&self, board: &mut Board) {
        board.start_in(&[("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", "2000000")]);
    }

    /// What comes within a time, line by line.
    fn hear(&self, time: Duration) -> Vec<String> {
        let start = Instant::now();
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        while start.elapsed() < time {
            if let Ok(bytes) = self.socket.recv(&mut buffer) {
                lines.extend(String::from_utf8_lossy(&buffer[..bytes]).lines().map(str::to_owned));
            }
        }
        lines
    }

    /// Listens until a line comes.
    fn wait(&self, wanted: &str) -> Vec<String> {
        let (start, mut heard) = (Instant::now(), Vec::new());
        while !heard.iter().any(|line: &String| line.starts_with(wanted)) {
            assert!(start.elapsed() < patience() * 3, "{wanted} does not come: {heard:?}");
            heard.extend(self.hear(Duration::from_millis(200)));
        }
        heard
    }
}

const FED: &str = "WATCHDOG=1";
/// Longer than the service waits before it holds a still thread to hang.
const HANGING: Duration = Duration::from_secs(12);

#[test]
fn the_watchdog_is_fed_while_the_broker_cannot_be_reached() {
    let supervisor = Supervisor::new();
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let mut board = Board::configured(&url, "b1", &fixture("folder_sam"), &fixture("models"), "");
    supervisor.start(&mut board);
    let begin = supervisor.wait("READY=1");
    assert!(begin.iter().any(|line| line.starts_with("STATUS=")), "{begin:?}");
    supervisor.hear(HANGING);
    supervisor.wait(FED);
    assert!(board.stop());
    supervisor.wait("STOPPING=1");
}

#[test]
fn the_watchdog_is_not_fed_while_the_decoder_hangs_on_its_card() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let card = tempfile::tempdir().expect("a directory");
    copy(&fixture("folder_sam"), &card.path().join("folder_sam"));
    let chip = chip_file(&card.path().join("folder_sam"));
    let aside = chip.with_extension("aside");
    std::fs::rename(&chip, &aside).expect("it moves");
    let stuck = Stuck::at(&chip);
    let supervisor = Supervisor::new();
    let mut board = Board::with_features(&broker, "b1", card.path(), "");
    let mut ears = Ears::on(&broker);
    supervisor.start(&mut board);
    ears.online(&board);
    supervisor.wait(FED);
    ask(&broker, &board, "segment", &segment("stuck"));
    supervisor.wait("STATUS=decoding, or reading the card, hangs");
    let hanging = supervisor.hear(Duration::from_secs(3));
    assert!(!hanging.iter().any(|line| line == FED), "{hanging:?}");
    // The rest of it is alive.
    assert!(ears.topic("geosam/b1/info").json()["api"] == 1);
    // The read ends, with an error: served again.
    stuck.let_go();
    assert_eq!(code(&ears.answer("stuck")), "CHIP_UNREADABLE");
    supervisor.wait(FED);
    // A stop does not wait for the card for ever, and the request is not lost.
    let stuck = Stuck::at(&chip);
    ask(&broker, &board, "segment", &segment("again"));
    std::thread::sleep(Duration::from_millis(500));
    assert!(board.stop());
    stuck.let_go();
    std::fs::rename(&aside, &chip).expect("it moves back");
    board.start();
    assert_eq!(code(&ears.answer("again")), "ok");
}

#[test]
fn a_certificate_that_is_replaced_lets_the_board_in_without_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    let server = ours.issue("localhost", Some("localhost"));
    let (good, expired) = (ours.issue("board", None), theirs.issue("board", None));
    let tls = Tls { ca: ours.ca(), cert: server.cert, key: server.key, require_certificate: true };
    let Some(broker) = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() }) else { return };
    let (cert, key) = (dir.path().join("in-use.pem"), dir.path().join("in-use.key"));
    let install = |identity: &Identity| {
        std::fs::copy(&identity.cert, &cert).expect("the certificate");
        std::fs::copy(&identity.key, &key).expect("its key");
    };
    install(&expired);
    let more = format!("ca = {:?}\ncert = {cert:?}\nkey = {key:?}", ours.ca());
    let mut board = Board::new(&broker, "b1", &more);
    let text = |path: &Path| path.display().to_string();
    let (ca, good_cert, good_key) = (text(&ours.ca()), text(&good.cert), text(&good.key));
    let login = ["--cafile", &ca, "--cert", &good_cert, "--key", &good_key, "--insecure"];
    let mut ears = Ears::with(&broker, &login);
    board.start();
    board.wait_for_log("no connection to the broker");
    install(&good);
    ears.online(&board);
    broker.publish(&board.request("c1", "segment"), segment("safe").as_bytes(), &login);
    assert_eq!(code(&ears.answer("safe")), "ok");
}

#[test]
fn an_answer_over_the_brokers_packet_size_is_too_large_and_the_connection_stays() {
    let setup = Setup { extra: vec!["max_packet_size 20000".to_owned()], ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let board = Board::new(&broker, "b1", "[health]\ninterval_s = 1");
    let (broker, board, mut ears) = serving(broker, board);
    ask(&broker, &board, "segment", &format!(r#"{{"id":"large",{POINT}}}"#));
    let answer = ears.answer("large");
    assert_eq!(code(&answer), "TOO_LARGE");
    assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("max_bytes")), "{answer}");
    ask(&broker, &board, "segment", &segment("small"));
    assert_eq!(code(&ears.answer("small")), "ok");
    ears.wait("the drops", |m| m.topic == "geosam/b1/health" && m.json()["dropped"].as_u64() > Some(0));
    let rest = ears.rest(Duration::from_millis(500));
    assert!(!rest.iter().any(|m| m.topic.ends_with("/outbox_full")), "the outbox was not full");
    assert!(!board.log().contains("the broker is away"), "{}", board.log());
}
