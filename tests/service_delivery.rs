//! What the service promises: nothing acknowledged is lost, nothing is done twice. Kills, restarts, cards.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;
#[path = "support/stuck.rs"]
mod stuck;

use std::time::{Duration, Instant};

use mosquitto::{Mosquitto, Setup, patience};
use serde_json::{Value, json};
use service::{Board, Ears, POINT, SMALL, code, copy, fixture, is_answer, long_batch, publish_lines};
use stuck::Stuck;

fn persistent() -> Option<Mosquitto> {
    Mosquitto::start(Setup { persistence: true, ..Setup::default() })
}

/// Waits until the board has acknowledged so many messages to the broker.
fn acknowledged(broker: &Mosquitto, board: &Board, count: usize) {
    let start = Instant::now();
    let line = format!("Received PUBACK from geosam-{} ", board.device);
    while broker.log().matches(&line).count() < count {
        assert!(start.elapsed() < patience(), "{count} acknowledgements do not come:\n{}", broker.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn segment(id: &str) -> String {
    format!(r#"{{"id":"{id}",{POINT},{SMALL}}}"#)
}

/// A request that needs no decoder: its answer is that no chip is there.
fn nowhere(id: &str) -> String {
    format!(r#"{{"id":"{id}","folder":"folder_sam","points":[[1,2]]}}"#)
}

/// A board that the broker knows, and that is off; and ears.
fn away(broker: &Mosquitto) -> (Board, Ears) {
    let mut board = Board::new(broker, "b1", "");
    let mut ears = Ears::on(broker);
    board.start();
    ears.online(&board);
    assert!(board.stop());
    (board, ears)
}

#[test]
fn a_request_that_ends_the_program_twice_is_answered_and_others_are_served() {
    let Some(broker) = persistent() else { return };
    let card = tempfile::tempdir().expect("a directory");
    copy(&fixture("folder_sam"), &card.path().join("folder_sam"));
    let chip = card.path().join("folder_sam/features/chip_000000.pt");
    // The request runs until the program is ended.
    let stuck = Stuck::at(&chip);
    let mut board = Board::with_features(&broker, "b1", card.path(), "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    broker.publish(&board.request("c1", "segment"), segment("pill").as_bytes(), &[]);
    broker.publish(&board.request("c2", "segment"), nowhere("other").as_bytes(), &[]);
    for ends in 1..=2 {
        let start = Instant::now();
        while !board.running().contains(&format!(" {ends}\n")) {
            assert!(start.elapsed() < patience() * 2, "it does not run: {}", board.running());
            std::thread::sleep(Duration::from_millis(10));
        }
        board.kill();
        board.start();
    }
    let answer = ears.answer("pill");
    assert_eq!((code(&answer), &answer["error"]["retryable"]), ("INTERNAL", &json!(false)), "{answer}");
    assert_eq!(code(&ears.answer("other")), "NO_CHIP_COVERS");
    assert!(board.stop());
    stuck.let_go();
}

#[test]
fn what_was_acknowledged_is_answered_after_a_kill_and_saved_once() {
    let Some(broker) = persistent() else { return };
    let mut board = Board::new(&broker, "b1", "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    let say = |verb: &str, payload: &str| broker.publish(&board.request("c1", verb), payload.as_bytes(), &[]);
    say("add", &format!(r#"{{"id":"a1","session":"s1",{POINT},{SMALL}}}"#));
    assert_eq!(code(&ears.answer("a1")), "ok");
    // Retained messages of the board to itself are acknowledged too, so count from here.
    let before = broker.log().matches("Received PUBACK from geosam-b1 ").count();
    say("segment", &long_batch("long", 40));
    let save = format!(r#"{{"id":"sv","session":"s1","layer":"ponds",{SMALL}}}"#);
    say("save", &save);
    for id in ["n1", "n2", "n3"] {
        say("segment", &segment(id));
    }
    acknowledged(&broker, &board, before + 5);
    board.kill();
    assert!(!ears.rest(Duration::from_millis(300)).iter().any(is_answer), "the decoder was busy");
    // The client has waited long enough, and says it again.
    broker.publish(&board.request("c1", "save"), save.as_bytes(), &[]);
    board.start();
    for id in ["long", "sv", "n1", "n2", "n3"] {
        assert_eq!(code(&ears.answer(id)), "ok", "{id}");
    }
    let rest = ears.rest(Duration::from_secs(1));
    let saved: Vec<Value> =
        rest.iter().filter(|m| m.topic.contains("/saved/")).map(|m| m.json()["id"].clone()).collect();
    let lines = board.layer("ponds");
    assert_eq!((lines.len(), saved.len()), (1, 1));
    assert_eq!(lines[0]["id"], saved[0]);
    // Once more, and killed in between: the stored answer.
    board.kill();
    board.start();
    broker.publish(&board.request("c1", "save"), save.as_bytes(), &[]);
    assert_eq!(ears.answer("sv")["saved"]["id"], saved[0]);
    assert_eq!(board.layer("ponds").len(), 1);
}

#[test]
fn requests_wait_in_the_broker_while_the_board_is_down() {
    let Some(broker) = persistent() else { return };
    let (mut board, mut ears) = away(&broker);
    // More than a decoder has worked off before the last one comes; none is BUSY.
    let ids: Vec<String> = (0..150).map(|i| format!("w{i}")).collect();
    for id in &ids {
        broker.publish(&board.request("c1", "segment"), nowhere(id).as_bytes(), &[]);
    }
    board.start();
    for id in &ids {
        assert_eq!(code(&ears.answer(id)), "NO_CHIP_COVERS", "{id}");
    }
}

/// mosquitto sends them all at once, whatever the board says it takes.
#[test]
fn thousands_of_messages_that_wait_for_the_board_do_not_end_its_connection() {
    let Some(broker) = persistent() else { return };
    let (mut board, mut ears) = away(&broker);
    let lines: Vec<String> = (0..12_000).map(|n| n.to_string()).collect();
    publish_lines(&broker, "geosam/b1/request/c1/segment/astray", &lines);
    broker.publish(&board.request("c2", "segment"), nowhere("last").as_bytes(), &[]);
    board.start();
    assert_eq!(code(&ears.answer("last")), "NO_CHIP_COVERS");
    assert!(!board.log().contains("more slowly than they come"), "{}", board.log());
}

#[test]
fn a_broker_that_restarts_in_the_middle_loses_nothing() {
    let Some(mut broker) = persistent() else { return };
    let mut board = Board::new(&broker, "b1", "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    let topic = board.request("c1", "segment");
    let ids: Vec<String> = (0..12).map(|i| format!("m{i}")).collect();
    for id in &ids {
        broker.publish(&topic, segment(id).as_bytes(), &[]);
    }
    assert_eq!(code(&ears.answer("m0")), "ok");
    broker.stop();
    std::thread::sleep(Duration::from_millis(500));
    broker.restart();
    for id in &ids[1..] {
        assert_eq!(code(&ears.answer(id)), "ok");
    }
    assert!(!board.log().contains("panicked"));
    assert!(board.stop());
}

#[test]
fn a_folder_comes_and_goes_with_its_card() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let card = tempfile::tempdir().expect("a directory");
    copy(&fixture("folder_sam"), &card.path().join("ponds"));
    let mut board = Board::with_features(&broker, "b1", card.path(), "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    assert_eq!(ears.topic("geosam/b1/event/folder_added").json()["folder"], "ponds");
    let ask = |ears: &mut Ears, id: &str| {
        let payload = format!(
            r#"{{"id":"{id}","folder":"ponds","crs":"EPSG:32633","points":[[458120,5427215]],{SMALL}}}"#
        );
        broker.publish(&board.request("c1", "segment"), payload.as_bytes(), &[]);
        ears.answer(id)
    };
    assert_eq!(code(&ask(&mut ears, "1")), "ok");
    let aside = tempfile::tempdir().expect("a directory");
    let (here, there) = (card.path().join("ponds"), aside.path().join("ponds"));
    std::fs::rename(&here, &there).expect("it moves");
    assert_eq!(ears.topic("geosam/b1/event/folder_removed").json()["folder"], "ponds");
    ears.wait("its message is cleared", |m| m.topic == "geosam/b1/folder/ponds" && m.payload.is_empty());
    assert_eq!(code(&ask(&mut ears, "2")), "UNKNOWN_FOLDER");
    std::fs::rename(&there, &here).expect("it moves back");
    assert_eq!(ears.topic("geosam/b1/event/folder_added").json()["folder"], "ponds");
    assert_eq!(code(&ask(&mut ears, "3")), "ok");

    // The whole card.
    let slot = card.path().to_owned();
    let pulled = aside.path().join("card");
    std::fs::rename(&slot, &pulled).expect("it moves");
    assert_eq!(ears.topic("geosam/b1/event/card_error").json()["problem"]["code"], "CARD_ERROR");
    let told = ears.wait("not ready", |m| {
        m.topic == "geosam/b1/folder/ponds" && !m.payload.is_empty() && m.json()["ready"] == false
    });
    assert_eq!(told.json()["problem"]["code"], "CARD_ERROR");
    let answer = ask(&mut ears, "4");
    assert!(["CARD_ERROR", "FOLDER_NOT_READY"].contains(&code(&answer)), "{answer}");
    std::fs::rename(&pulled, &slot).expect("it moves back");
    assert_eq!(ears.topic("geosam/b1/event/folder_added").json()["folder"], "ponds");
    assert_eq!(code(&ask(&mut ears, "5")), "ok");

    // Gone while the board was down: its message is cleared at the next start.
    assert!(board.stop());
    std::fs::rename(&here, &there).expect("it moves");
    ears.rest(Duration::from_millis(200));
    board.start();
    ears.wait("cleared", |m| m.topic == "geosam/b1/folder/ponds" && m.payload.is_empty());
}

#[test]
fn boards_of_a_group_share_requests_and_answer_each_once() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let more = "[fleet]\ngroups = [\"north\"]\n[health]\ninterval_s = 1";
    let mut boards = ["b1", "b2"].map(|device| Board::new(&broker, device, more));
    let mut ears = Ears::on(&broker);
    for board in &mut boards {
        board.start();
        ears.online(board);
    }
    let ids: Vec<String> = (0..200).map(|i| format!("g{i}")).collect();
    let lines: Vec<String> = ids.iter().map(|id| nowhere(id)).collect();
    for some in lines.chunks(20) {
        publish_lines(&broker, "geosam/fleet/north/request/c1/segment", some);
        std::thread::sleep(Duration::from_millis(100));
    }
    for id in &ids {
        let told = ears.wait(id, |m| is_answer(m) && m.json()["id"] == **id);
        assert_eq!(told.topic, "geosam/fleet/north/response/c1/segment");
        assert_eq!(code(&told.json()), "NO_CHIP_COVERS");
    }
    for board in &boards {
        let health = format!("geosam/{}/health", board.device);
        ears.wait("both have worked", |m| {
            m.topic == health && m.json()["requests"]["failed"].as_u64() > Some(50)
        });
    }
    broker.publish("geosam/fleet/north/request/c1/add", br#"{"id":"a","session":"s","points":[[1,2]]}"#, &[]);
    let rest = ears.rest(Duration::from_secs(1));
    let again = rest.iter().filter(|m| is_answer(m) && m.json()["id"] != "a").count();
    assert_eq!(again, 0, "each once");
}

#[test]
fn an_access_list_keeps_clients_apart() {
    let users = ["board", "c1", "c2"].map(|user| (user.to_owned(), "secret".to_owned()));
    let acl = "user board\ntopic readwrite geosam/#\n\
               pattern write geosam/+/request/%u/+\npattern read geosam/+/response/%u/+\n";
    let setup = Setup { users: users.to_vec(), acl: Some(acl.to_owned()), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let login = "username = \"board\"\npassword_env = \"GEOSAM_TEST_PASSWORD\"";
    let mut board = Board::new(&broker, "b1", login);
    let mut all = Ears::with(&broker, &["-u", "board", "-P", "secret"]);
    board.start();
    all.online(&board);
    let other = broker.subscribe("geosam/b1/response/#", &["-u", "c2", "-P", "secret"]);
    let c1 = ["-u", "c1", "-P", "secret"];
    broker.publish(&board.request("c2", "segment"), nowhere("forged").as_bytes(), &c1);
    broker.publish(&board.request("c1", "segment"), nowhere("own").as_bytes(), &c1);
    assert_eq!(code(&all.answer("own")), "NO_CHIP_COVERS");
    let heard = all.rest(Duration::from_millis(500));
    assert!(!heard.iter().any(is_answer), "nobody asks in another's name");
    assert_eq!(other.within(Duration::from_millis(200)), None, "nobody hears another's answers");
    assert!(!board.log().contains("secret"), "passwords are not logged");
}

#[test]
fn a_burst_costs_few_syncs_of_the_card() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let more = "receive_maximum = 128\n[limits]\nqueue = 256\nclient_queue = 256\n[health]\ninterval_s = 1";
    let mut board = Board::new(&broker, "b1", more);
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    let syncs = |ears: &mut Ears, failed: u64| {
        // The second one: what was in flight at the first has settled.
        let fits = |m: &mosquitto::Received| {
            m.topic == "geosam/b1/health" && {
                let health = m.json();
                health["requests"]["failed"] == failed && health["outbox"]["count"] == json!(0)
            }
        };
        ears.wait("health", fits).json()["card_syncs"].as_u64().expect("a number")
    };
    let before = syncs(&mut ears, 0);
    let lines: Vec<String> = (0..100).map(|i| nowhere(&format!("q{i}"))).collect();
    publish_lines(&broker, &board.request("c1", "segment"), &lines);
    for i in 0..100 {
        assert_eq!(code(&ears.answer(&format!("q{i}"))), "NO_CHIP_COVERS");
    }
    let cost = syncs(&mut ears, 100) - before;
    eprintln!("card syncs for a burst of 100 requests: {cost}");
    assert!(cost <= 60, "{cost} syncs");
}
