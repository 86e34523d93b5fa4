//! Saved objects on their way to TAK, and markers on theirs from it: the program, mosquitto, and a listener as the server.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use mosquitto::{Mosquitto, Peer, Received, Setup, patience};
use serde_json::Value;
use service::{Board, POINT, SMALL};

/// Events of the layer's first object, on its topic.
fn on_topic(peer: &Peer, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
    let start = Instant::now();
    loop {
        match peer.within(Duration::from_millis(200)) {
            Some(message) if fits(&message) => return message,
            _ => assert!(start.elapsed() < patience() * 2, "{what} does not come"),
        }
    }
}

fn ask(broker: &Mosquitto, board: &Board, verb: &str, request: &str) {
    broker.publish(&board.request("c", verb), request.as_bytes(), &[]);
}

fn answer(peer: &Peer) -> Value {
    let answer = answer_on(peer);
    assert_eq!(answer["status"], "ok", "{answer}");
    answer
}

fn answer_on(peer: &Peer) -> Value {
    let message = on_topic(peer, "an answer", |message| message.topic.contains("/response/"));
    serde_json::from_slice(&message.payload).unwrap()
}

/// What a server has received.
#[derive(Default)]
struct Shapes(String);

impl Shapes {
    /// Reads until this has come, and gives all that has.
    fn until(&mut self, stream: &mut TcpStream, part: &str) -> String {
        let (start, mut chunk) = (Instant::now(), [0; 4096]);
        while !self.0.contains(part) {
            let bytes = stream.read(&mut chunk).unwrap();
            assert!(bytes > 0 && start.elapsed() < patience() * 2, "{part} is not in {}", self.0);
            self.0.push_str(std::str::from_utf8(&chunk[..bytes]).unwrap());
        }
        std::mem::take(&mut self.0)
    }
}

#[test]
fn what_is_saved_reaches_a_server_and_a_topic_and_leaves_both_when_it_is_deleted() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "[cot]\ntargets = [\"mqtt:cot\", \"tcp://{}\"]\npause_ms = 1\n",
        listener.local_addr().unwrap()
    );
    let answers = broker.subscribe("geosam/b/response/#", &[]);
    let topics = broker.subscribe("geosam/b/cot/+", &[]);
    let mut board = Board::new(&broker, "b", &more);
    board.start();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(patience() * 2)).unwrap();
    let mut shapes = Shapes::default();
    let mut until = |part: &str| shapes.until(&mut stream, part);
    until("type=\"a-f-G-U-C\"");
    on_topic(&topics, "the presence", |message| message.topic == "geosam/b/cot/geosam-edge-b");

    ask(&broker, &board, "save", &format!(r#"{{"id":"1","layer":"l",{POINT},{SMALL}}}"#));
    let id = answer(&answers)["saved"]["id"].as_str().unwrap().to_owned();
    let shape = until("</remarks><archive/></detail></event>");
    assert!(shape.contains(&format!("uid=\"{id}\" type=\"u-d-f\"")), "{shape}");
    let topic = format!("geosam/b/cot/{id}");
    let message = on_topic(&topics, "the shape", |message| message.topic == topic);
    assert!(message.text().contains("type=\"u-d-f\""));

    ask(&broker, &board, "delete", &format!(r#"{{"id":"2","layer":"l","ids":["{id}"]}}"#));
    answer(&answers);
    until(&format!("<link uid=\"{id}\""));
    on_topic(&topics, "the deletion", |m| m.topic == topic && m.text().contains("t-x-d-d"));
    on_topic(&topics, "that nothing is retained", |m| m.topic == topic && m.payload.is_empty());
    assert!(board.stop());
}

#[test]
fn a_target_that_is_not_reached_is_told_and_answers_come_all_the_same() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let answers = broker.subscribe("geosam/b/response/#", &[]);
    let events = broker.subscribe("geosam/b/event/cot_problem", &[]);
    let health = broker.subscribe("geosam/b/health", &[]);
    let mut board =
        Board::new(&broker, "b", &format!("[health]\ninterval_s = 1\n[cot]\ntargets = [\"{target}\"]\n"));
    board.start();
    let event = on_topic(&events, "the event", |_| true);
    service::validate(&event);
    assert!(event.text().contains(&target), "{}", event.text());
    on_topic(&health, "the problem", |message| {
        service::validate(message);
        message.text().contains(&target)
    });
    ask(&broker, &board, "save", &format!(r#"{{"id":"1","layer":"l",{POINT},{SMALL}}}"#));
    answer(&answers);
    assert_eq!(board.log().matches("is not sent what is saved").count(), 1, "{}", board.log());
}

/// A marker as ATAK sends it.
fn marker(uid: &str, [lon, lat]: [f64; 2]) -> String {
    let now = SystemTime::now();
    let (time, stale) = (humantime::format_rfc3339_millis(now), humantime::format_rfc3339_millis(now + HOUR));
    format!(
        "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\n<event version='2.0' uid='{uid}' type='a-u-G' \
         how='h-g-i-g-o' time='{time}' start='{time}' stale='{stale}'><point lat='{lat}' lon='{lon}' hae='490.1' ce='9999999.0' \
         le='9999999.0'/><detail><status readiness='true'/><archive/><contact callsign='Pond &#252;'/><precisionlocation \
         altsrc='DTED0'/></detail></event>"
    )
}

const HOUR: Duration = Duration::from_secs(3600);
/// [`POINT`] in degrees.
const PLACE: [f64; 2] = [14.427_459_067, 48.996_413_479];

#[test]
fn a_marker_set_in_tak_comes_back_as_the_shape_of_the_object_under_it_and_once_alone() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "[cot]\ntargets = [\"tcp://{}\"]\npause_ms = 1\nmarker_layer = \"marked\"\n",
        listener.local_addr().unwrap()
    );
    let answers = broker.subscribe("geosam/b/response/tak/save", &[]);
    let mut board = Board::new(&broker, "b", &more);
    board.start();
    board.wait_for_log("a feature folder answers prompts");
    let accepted = || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(patience() * 2)).unwrap();
        stream
    };
    let mut stream = accepted();
    stream.write_all(marker("m1", PLACE).as_bytes()).unwrap();
    let answered = answer_on(&answers);
    assert_eq!(answered["status"], "ok", "{answered}");
    let shape = Shapes::default().until(&mut stream, "</remarks><archive/></detail></event>");
    let id = answered["saved"]["id"].as_str().unwrap();
    assert!(shape.contains(&format!("uid=\"{id}\" type=\"u-d-f\"")), "{shape}");
    assert!(shape.contains("<remarks>layer marked"), "{shape}");
    let saved = &board.layer("marked")[0];
    assert_eq!(saved["properties"]["tak_uid"], "m1");
    assert_eq!(saved["properties"]["tak_callsign"], "Pond \u{fc}");
    assert_eq!(saved["properties"]["tak_type"], "a-u-G");

    // A server hands its clients what it has on each new connection; where there is no imagery there is a refusal.
    let outside = marker("m2", [0.0, 0.0]);
    for _ in 0..2 {
        drop(stream);
        stream = accepted();
        stream.write_all(format!("{}{outside}", marker("m1", PLACE)).as_bytes()).unwrap();
    }
    assert_eq!(answer_on(&answers)["error"]["code"], "NO_CHIP_COVERS");
    // The board may have forgotten that it asked, but not what it has done.
    assert!(board.stop());
    drop(stream);
    board.start();
    let mut stream = accepted();
    stream.write_all(marker("m1", PLACE).as_bytes()).unwrap();
    assert_eq!(answer_on(&answers)["saved"]["id"], id);
    assert!(answers.until_silent(Duration::from_millis(500)).is_empty());
    assert_eq!(board.layer("marked").len(), 1);
    assert_eq!(board.log().matches("there is no object for a marker of TAK").count(), 1, "{}", board.log());
    assert!(board.stop());
}

#[test]
fn markers_are_not_listened_to_unless_a_layer_is_named_for_them() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("[cot]\ntargets = [\"tcp://{}\"]\npause_ms = 1\n", listener.local_addr().unwrap());
    let requests = broker.subscribe("geosam/b/request/tak/+", &[]);
    let mut board = Board::new(&broker, "b", &more);
    board.start();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(patience() * 2)).unwrap();
    stream.write_all(marker("m1", PLACE).as_bytes()).unwrap();
    ask(&broker, &board, "save", &format!(r#"{{"id":"1","layer":"l",{POINT},{SMALL}}}"#));
    Shapes::default().until(&mut stream, "</remarks><archive/></detail></event>");
    assert!(requests.until_silent(Duration::from_millis(300)).is_empty());
    assert_eq!(board.layer("l").len(), 1);
}

#[test]
fn a_broker_that_does_not_let_the_board_ask_is_told_of() {
    let users = vec![("board".to_owned(), "secret".to_owned()), ("peer".to_owned(), "secret".to_owned())];
    // Enough for everything but to ask itself.
    let acl = "user board\ntopic read geosam/b/#\ntopic write geosam/b/+\ntopic write geosam/b/event/+\ntopic write geosam/b/folder/+\n\
               topic write geosam/b/request/b/ping\nuser peer\ntopic readwrite #\n";
    let setup = Setup { users, acl: Some(acl.to_owned()), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "username = \"board\"\npassword_env = \"GEOSAM_TEST_PASSWORD\"\n[cot]\ntargets = [\"tcp://{}\"]\nmarker_layer = \"m\"\n",
        listener.local_addr().unwrap()
    );
    let events = broker.subscribe("geosam/b/event/cot_problem", &["-u", "peer", "-P", "secret"]);
    let mut board = Board::new(&broker, "b", &more);
    board.start();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(format!("{}{}", marker("m1", PLACE), marker("m2", PLACE)).as_bytes()).unwrap();
    let event = on_topic(&events, "the event", |_| true);
    service::validate(&event);
    assert!(event.text().contains("let the board publish on geosam/b/request/tak/save"), "{}", event.text());
    assert!(events.until_silent(Duration::from_millis(300)).is_empty());
}
