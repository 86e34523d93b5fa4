//! Saved objects on their way to TAK: the program, mosquitto, and a listener as the server.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

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
    let message = on_topic(peer, "an answer", |message| message.topic.contains("/response/c/"));
    let answer: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(answer["status"], "ok", "{answer}");
    answer
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
    let mut text = String::new();
    let mut until = |part: &str| {
        let (start, mut chunk) = (Instant::now(), [0; 4096]);
        while !text.contains(part) {
            let bytes = stream.read(&mut chunk).unwrap();
            assert!(bytes > 0 && start.elapsed() < patience() * 2, "{part} is not in {text}");
            text.push_str(std::str::from_utf8(&chunk[..bytes]).unwrap());
        }
        std::mem::take(&mut text)
    };
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
