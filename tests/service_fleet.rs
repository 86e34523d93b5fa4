//! `everything` over a group of boards: the chips that they ask come together as one machine finds them, also where one of them is
//! killed. With mosquitto and four services.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mosquitto::{Mosquitto, Setup, patience};
use serde_json::{Value, json};
use service::program::geosam_edge;
use service::{Board, Ears, code, is_answer};

const GROUP: &str = "[fleet]\ngroups = [\"north\"]";

const ASKED: &str = "geosam/fleet/north/request/everything/everything";

fn demo(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(part)
}

/// The command without what differs between one machine and many.
fn everything(points: &str) -> Command {
    let mut command = geosam_edge();
    command.arg("everything").arg(demo("features")).arg("--models").arg(demo("models"));
    command.args(["--points-per-side", points, "--threads", "1"]);
    command
}

fn boards<const N: usize>(broker: &Mosquitto, names: [&str; N]) -> ([Board; N], Ears) {
    let (features, models) = (demo("features"), demo("models"));
    let mut boards = names.map(|name| Board::configured(&broker.url(), name, &features, &models, GROUP));
    let mut ears = Ears::on(broker);
    for board in &mut boards {
        board.start();
        ears.online(board);
    }
    (boards, ears)
}

fn lines(output: &[u8]) -> Vec<Value> {
    std::str::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn four_boards_find_what_one_machine_finds_though_one_of_them_is_killed() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let (mut boards, mut ears) = boards(&broker, ["b1", "b2", "b3", "b4"]);
    let alone = everything("16").output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let mut command = everything("16");
    command.args(["--fleet", "north", "--broker", &broker.url(), "--patience", "20"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Each of them has one now, and nothing is answered yet, or hardly anything.
    ears.wait("a chip", |m| m.topic == ASKED);
    boards[1].kill();
    let together = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&together.stderr);
    assert!(together.status.success(), "{told}");
    assert_eq!(lines(&together.stdout), lines(&alone.stdout));
    // The chips that the killed one has are given out again.
    let heard = ears.rest(Duration::from_millis(300));
    let requests = heard.iter().filter(|m| m.topic == ASKED).count();
    assert!(requests >= 6, "{requests} and the first");
}

#[test]
fn the_masks_of_a_chip_are_answered_and_nothing_is_saved() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let ([board], mut ears) = boards(&broker, ["b1"]);
    let mut ask = |topic: &str, request: Value| {
        broker.publish(topic, request.to_string().as_bytes(), &[]);
        let id = request["id"].clone();
        ears.wait_patiently("an answer", patience() * 4, |m| is_answer(m) && m.json()["id"] == id).json()
    };
    let (own, group) = (board.request("c1", "everything"), "geosam/fleet/north/request/c1/everything");
    let of_chip = |id: &str| json!({"id": id, "chip": "chip_000002", "everything": {"points_per_side": 8}});
    let answer = ask(&own, of_chip("1"));
    assert_eq!(code(&answer), "ok");
    assert_eq!(
        (&answer["chip"]["chip_id"], &answer["chip"]["folder"]),
        (&json!("chip_000002"), &json!("features"))
    );
    let masks = answer["masks"].as_array().unwrap();
    assert!(masks.len() > 5, "{} masks", masks.len());
    for mask in masks {
        let (size, counts) =
            (&mask["segmentation"]["size"], mask["segmentation"]["counts"].as_array().unwrap());
        let pixels: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((size, pixels), (&json!([1024, 1024]), 1024 * 1024));
        assert!(mask["score"].as_f64() >= Some(0.88));
    }
    assert_eq!(ask(group, of_chip("2"))["masks"], answer["masks"]);

    let refused =
        |answer: &Value| (code(answer).to_owned(), answer["error"]["message"].as_str().unwrap().to_owned());
    for (topic, request, wanted, words) in [
        (&*own, json!({"id": "3", "chip": "chip_9"}), "BAD_REQUEST", "has no chip \"chip_9\""),
        (
            &own,
            json!({"id": "4", "chip": "chip_000002", "layer": "a"}),
            "BAD_REQUEST",
            "\"layer\" does not go with",
        ),
        (&own, json!({"id": "5", "chip": ""}), "BAD_REQUEST", "chip"),
        (&own, json!({"id": "6"}), "BAD_REQUEST", "needs a \"layer\""),
        (group, json!({"id": "7", "layer": "a"}), "UNKNOWN_VERB", "everything for one \"chip\""),
    ] {
        let (code, message) = refused(&ask(topic, request));
        assert!(code == wanted && message.contains(words), "{code} {message}");
    }
    assert!(!board.state().join("layers").join("a.geojsonl").exists());
}

#[test]
fn what_nobody_answers_is_asked_here_and_a_wrong_folder_is_told() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let alone = everything("4").output().unwrap();
    let mut command = everything("4");
    command.args(["--fleet", "south", "--broker", &broker.url(), "--patience", "1"]);
    let nobody = command.output().unwrap();
    let told = String::from_utf8_lossy(&nobody.stderr);
    assert!(nobody.status.success() && told.contains("is asked here: no board has answered"), "{told}");
    assert_eq!(lines(&nobody.stdout), lines(&alone.stdout));

    let (_boards, _ears) = boards(&broker, ["b1"]);
    let failing = |flags: &[&str]| {
        let output = everything("4").args(flags).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let url = broker.url();
    let (status, told) = failing(&["--fleet", "north", "--broker", &url, "--folder-name", "other"]);
    assert!(status == Some(1) && told.contains("UNKNOWN_FOLDER"), "{told}");
    let (status, told) = failing(&["--fleet", "no/rth", "--broker", &url]);
    assert!(status == Some(2) && told.contains("--fleet"), "{told}");
    let (status, told) = failing(&["--fleet", "north", "--broker", "mqtt://127.0.0.1:1"]);
    assert!(status == Some(1) && told.contains("127.0.0.1:1"), "{told}");
    let (status, told) = failing(&["--broker", &url]);
    assert!(status == Some(2) && told.contains("--fleet"), "{told}");
}
