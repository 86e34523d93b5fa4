//! Markers that others set: each is asked for once, as a client would ask, and only where that is wanted.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use super::*;
use crate::api::{Limits, parse_request};
use crate::bus::QoS;

const TOPIC: &str = "geosam/board-7/request/tak/save";
const ANSWERS: &str = "geosam/board-7/response/tak/save";

fn event(uid: &str, kind: &str, lasts: i64) -> String {
    let now = SystemTime::now();
    let distance = Duration::from_secs(lasts.unsigned_abs());
    let stale = if lasts < 0 { now - distance } else { now + distance };
    let (now, stale) = (humantime::format_rfc3339_millis(now), humantime::format_rfc3339_millis(stale));
    format!(
        "<event version=\"2.0\" uid=\"{uid}\" type=\"{kind}\" how=\"h-g-i-g-o\" time=\"{now}\" start=\"{now}\" \
         stale=\"{stale}\"><point lat=\"47.65281208\" lon=\"9.17211953\" hae=\"0\" ce=\"1\" le=\"1\"/><detail>\
         <contact callsign=\"Pond {uid}\"/></detail></event>"
    )
}

fn marker(uid: &str) -> String {
    event(uid, "a-u-G", 3600)
}

fn listening(target: &str) -> CotOptions {
    CotOptions { marker_layer: Some("marked".to_owned()), ..Scene::options(target) }
}

/// Waits for so many requests, and for none that comes after them.
fn requests(broker: &Broker, count: usize) -> Vec<Value> {
    let start = Instant::now();
    while broker.0.lock().unwrap().len() < count {
        assert!(start.elapsed() < PATIENCE, "{count} requests");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    let messages = std::mem::take(&mut *broker.0.lock().unwrap());
    assert!(messages.iter().all(|message| message.topic == TOPIC && !message.retain));
    assert!(messages.iter().all(|message| message.qos == QoS::AtLeastOnce));
    messages.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
}

fn uids_of(requests: &[Value]) -> Vec<&str> {
    let mut uids: Vec<&str> =
        requests.iter().map(|request| request["properties"]["tak_uid"].as_str().unwrap()).collect();
    uids.sort_unstable();
    uids
}

#[test]
fn a_marker_is_asked_for_once_as_a_client_would_ask() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    scene.write("ponds", &[line("shape", 5)]);
    let broker = Arc::new(Broker::default());
    let sender = scene.start_with(listening(&target), Arc::clone(&broker));
    sender.live.broker_connected();
    let (mut stream, events) = accepted(&listener);
    assert_eq!(uids(&events, 2), ["geosam-edge-board-7", "shape"]);
    let others = [
        event("geosam-edge-board-7", "a-f-G-U-C", 3600),
        event("shape", "a-u-G", 3600),
        event("drawn", "u-d-f", 3600),
        event("stale", "a-u-G", -1),
    ];
    stream.write_all(others.concat().as_bytes()).unwrap();
    stream.write_all(format!("{}{}", marker("a"), marker("a")).as_bytes()).unwrap();
    let asked = requests(&broker, 1);
    assert_eq!(uids_of(&asked), ["a"]);
    assert_eq!(asked[0]["layer"], "marked");
    assert_eq!(asked[0]["points"], json!([[9.17212, 47.652_812]]));
    assert_eq!(asked[0]["properties"]["tak_callsign"], "Pond a");
    assert_eq!(asked[0]["properties"]["tak_type"], "a-u-G");
    parse_request(asked[0].to_string().as_bytes(), &Limits::default()).unwrap();

    // The server hands it over again, after a new connection; a moved one is another request.
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    let (mut stream, _events) = accepted(&listener);
    let moved = marker("a").replace("9.17211953", "9.17212953");
    stream.write_all(format!("{}{moved}", marker("a")).as_bytes()).unwrap();
    let again = requests(&broker, 1);
    assert_eq!(again[0]["points"], json!([[9.17213, 47.652_812]]));
    assert_ne!(again[0]["id"], asked[0]["id"]);

    // After another start the same marker is the same request, which the service does not run twice.
    drop(sender);
    let sender = scene.start_with(listening(&target), Arc::clone(&broker));
    sender.live.broker_connected();
    let (mut stream, _events) = accepted(&listener);
    stream.write_all(marker("a").as_bytes()).unwrap();
    assert_eq!(requests(&broker, 1), asked);
}

#[test]
fn a_marker_waits_for_the_broker_and_is_asked_for_again_until_it_is_answered() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    let broker = Arc::new(Broker::default());
    let sender = scene.start_with(listening(&target), Arc::clone(&broker));
    let (mut stream, _events) = accepted(&listener);
    stream.write_all(format!("{}{}", marker("a"), marker("b")).as_bytes()).unwrap();
    assert!(requests(&broker, 0).is_empty());
    sender.live.broker_connected();
    let asked = requests(&broker, 2);
    assert_eq!(uids_of(&asked), ["a", "b"]);
    let answer = json!({"id": asked[0]["id"], "status": "ok", "saved": {"id": "x"}}).to_string();
    sender.live.answered("geosam/board-7/response/me/save", answer.as_bytes());
    sender.live.answered(ANSWERS, answer.as_bytes());
    sender.live.broker_away();
    sender.live.broker_connected();
    assert_eq!(requests(&broker, 1), asked[1..]);

    assert!(sender.live.broker_refuses(TOPIC) && !sender.live.broker_refuses(ANSWERS));
    sender.until_problem("let the board publish on geosam/board-7/request/tak/save");
    assert_eq!(sender.live.take_news().len(), 1);
    sender.live.broker_away();
    sender.live.broker_connected();
    assert_eq!(requests(&broker, 1), asked[1..]);
    sender.until_well();
}

#[test]
fn nobody_is_listened_to_unless_a_layer_is_named() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    let broker = Arc::new(Broker::default());
    let sender = scene.start_with(Scene::options(&target), Arc::clone(&broker));
    sender.live.broker_connected();
    let (mut stream, events) = accepted(&listener);
    stream.write_all(marker("a").as_bytes()).unwrap();
    sender.saved("ponds", "a", line("a", 5));
    assert_eq!(uids(&events, 2)[1], "a");
    assert!(requests(&broker, 0).is_empty());
    assert!(!sender.live.broker_refuses(TOPIC));
}

#[test]
fn a_server_that_sends_what_cannot_be_read_is_sent_what_is_saved_all_the_same() {
    let (scene, (listener, target)) = (Scene::new(), listener());
    let broker = Arc::new(Broker::default());
    let sender = scene.start_with(listening(&target), Arc::clone(&broker));
    sender.live.broker_connected();
    let (mut stream, events) = accepted(&listener);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"<!DOCTYPE a [").unwrap();
    for _ in 0..20 {
        stream.write_all(&[b'<'; 65_536]).unwrap();
    }
    stream.write_all(marker("a").as_bytes()).unwrap();
    assert_eq!(uids_of(&requests(&broker, 1)), ["a"]);
    sender.saved("ponds", "a", line("a", 5));
    assert_eq!(uids(&events, 2)[1], "a");
}

#[test]
fn a_multicast_group_is_listened_to() {
    let group = {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        SocketAddrV4::new(Ipv4Addr::new(239, 2, 3, 77), free.local_addr().unwrap().port())
    };
    let scene = Scene::new();
    let broker = Arc::new(Broker::default());
    let options =
        CotOptions { multicast_interface: Some(Ipv4Addr::LOCALHOST), ..listening(&format!("udp://{group}")) };
    let sender = scene.start_with(options, Arc::clone(&broker));
    sender.live.broker_connected();
    let member = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    member.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let send = |datagram: &[u8]| member.send_to(datagram, &SockAddr::from(group)).unwrap();
    let start = Instant::now();
    // It may not be a member yet.
    while broker.0.lock().unwrap().is_empty() {
        assert!(start.elapsed() < PATIENCE);
        send(marker("a").as_bytes());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(uids_of(&requests(&broker, 1)), ["a"]);
    // Each is whole, or none.
    send(&marker("b").as_bytes()[..200]);
    send(&marker("b").as_bytes()[200..]);
    send(marker("c").as_bytes());
    assert_eq!(uids_of(&requests(&broker, 1)), ["c"]);
}
