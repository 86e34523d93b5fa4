//! `everything` over MQTT, and collections of objects, on the demo scene: with mosquitto, and killed in the middle.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mosquitto::{Mosquitto, Setup, patience};
use serde_json::{Value, json};
use service::{Board, Ears, code, is_answer};

fn demo(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(part)
}

fn scene() -> Option<(Mosquitto, Board, Ears)> {
    let broker = Mosquitto::start(Setup { persistence: true, ..Setup::default() })?;
    let mut board = Board::configured(&broker.url(), "b1", &demo("features"), &demo("models"), "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    Some((broker, board, ears))
}

fn ask(broker: &Mosquitto, board: &Board, verb: &str, request: &Value) {
    broker.publish(&board.request("c1", verb), request.to_string().as_bytes(), &[]);
}

/// The answer to a request, when all its progress has been told.
fn answer(ears: &mut Ears, id: &str) -> Value {
    let is_it =
        |m: &mosquitto::Received| is_answer(m) && m.json()["id"] == id && m.json()["status"] != "progress";
    ears.wait_patiently(&format!("the answer to {id}"), patience() * 8, is_it).json()
}

fn progress(ears: &mut Ears, id: &str) -> Value {
    let is_it =
        |m: &mosquitto::Received| is_answer(m) && m.json()["id"] == id && m.json()["status"] == "progress";
    ears.wait_patiently(&format!("progress of {id}"), patience() * 8, is_it).json()
}

/// Six chips of 36 points.
fn coarse(id: &str, layer: &str) -> Value {
    json!({"id": id, "layer": layer, "everything": {"points_per_side": 12}})
}

/// What is in a layer, by outlines: ids and times differ from run to run.
fn outlines(board: &Board, layer: &str) -> BTreeSet<String> {
    let lines = board.layer(layer);
    let outlines: BTreeSet<String> = lines.iter().map(|feature| feature["geometry"].to_string()).collect();
    assert_eq!(outlines.len(), lines.len(), "each object once");
    outlines
}

/// A point in a pond of the scene, in longitude and latitude.
const POND: [f64; 2] = [9.172_119_53, 47.652_812_08];

#[test]
fn everything_is_found_while_prompts_go_first() {
    let Some((broker, board, mut ears)) = scene() else { return };
    let mut request = coarse("e1", "all");
    request["properties"] = json!({"note": "survey"});
    ask(&broker, &board, "everything", &request);
    let first = progress(&mut ears, "e1");
    assert_eq!((&first["done"], &first["total"]), (&json!(1), &json!(6)));
    ask(&broker, &board, "segment", &json!({"id": "s1", "points": [POND], "output": {"largest_only": true}}));
    assert_eq!(code(&ears.answer("s1")), "ok");
    let heard = ears.rest(Duration::from_millis(50));
    assert!(
        !heard.iter().any(|m| is_answer(m) && m.json()["everything"].is_object()),
        "the prompt went first"
    );
    let done = answer(&mut ears, "e1");
    let found = &done["everything"];
    assert_eq!(
        (&found["layer"], &found["chips"], &found["chips_skipped"]),
        (&json!("all"), &json!(6), &json!(0))
    );
    let lines = board.layer("all");
    assert_eq!(found["objects"], lines.len());
    assert!(lines.len() > 40, "{} objects", lines.len());
    let properties = &lines[0]["properties"];
    assert_eq!((&properties["note"], &properties["request_id"]), (&json!("survey"), &json!("e1")));
    // Each is told, with the id that it has in the layer.
    let told: BTreeSet<String> = ears
        .rest(Duration::from_millis(700))
        .iter()
        .chain(&heard)
        .filter(|m| m.topic == "geosam/b1/saved/all")
        .map(|m| m.json()["id"].as_str().unwrap().to_owned())
        .collect();
    let ids: BTreeSet<String> = lines.iter().map(|f| f["id"].as_str().unwrap().to_owned()).collect();
    assert!(told.is_subset(&ids) && ids.len() == lines.len());
    // The same request again is not run again.
    ask(&broker, &board, "everything", &request);
    assert_eq!(answer(&mut ears, "e1"), done);
    assert_eq!(board.layer("all").len(), lines.len());
}

#[test]
fn everything_goes_on_where_it_was_killed() {
    let Some((broker, mut board, mut ears)) = scene() else { return };
    ask(&broker, &board, "everything", &coarse("whole", "whole"));
    assert_eq!(code(&answer(&mut ears, "whole")), "ok");
    ask(&broker, &board, "everything", &coarse("cut", "cut"));
    for done in [2, 4] {
        while progress(&mut ears, "cut")["done"].as_u64() < Some(done) {}
        board.kill();
        ears.rest(Duration::from_millis(300));
        board.start();
        let next = progress(&mut ears, "cut")["done"].as_u64();
        assert!(next > Some(done), "it goes on behind chip {done}: {next:?}");
    }
    let done = answer(&mut ears, "cut");
    assert_eq!(done["everything"]["objects"], board.layer("cut").len());
    assert_eq!(outlines(&board, "cut"), outlines(&board, "whole"));
    assert!(board.stop());
}

#[test]
fn everything_is_taken_back_while_it_is_under_way() {
    let Some((broker, board, mut ears)) = scene() else { return };
    let mut fine = coarse("e1", "all");
    fine["everything"]["points_per_side"] = json!(40);
    ask(&broker, &board, "everything", &fine);
    ask(&broker, &board, "everything", &coarse("e2", "all"));
    // Others have nothing of this client to take back.
    broker.publish(&board.request("c2", "cancel"), br#"{"id":"x2"}"#, &[]);
    assert_eq!(ears.answer("x2")["cancelled"], 0);
    ask(&broker, &board, "cancel", &json!({"id": "x1", "request_id": "e1"}));
    assert_eq!(ears.answer("x1")["cancelled"], 1);
    assert_eq!(code(&answer(&mut ears, "e1")), "CANCELLED");
    assert_eq!(code(&answer(&mut ears, "e2")), "ok");
    assert!(!outlines(&board, "all").is_empty());
}

#[test]
fn what_everything_cannot_do_is_refused_by_name() {
    let Some((broker, board, mut ears)) = scene() else { return };
    let topic = board.request("c1", "everything");
    broker.publish(&topic, coarse("q0", "all").to_string().as_bytes(), &["-q", "0"]);
    let mut refused = vec![("q0", "QoS 1")];
    for (id, request, word) in [
        ("r1", json!({"id": "r1"}), "layer"),
        ("r2", json!({"id": "r2", "layer": "a", "points": [POND]}), "\"points\""),
        ("r3", json!({"id": "r3", "layer": "a", "everything": {"points_per_side": 0}}), "points_per_side"),
        ("r4", json!({"id": "r4", "layer": "a", "everything": {"iou": 1}}), "everything.iou"),
        ("r5", json!({"id": "r5", "layer": "a", "bbox": [1, 2, 1.1, 2.1]}), "no chip"),
        ("r6", json!({"id": "r6", "layer": "a", "properties": {"complete": 1}}), "complete"),
        ("r7", json!({"id": "r7", "layer": "a", "session": "s", "prompts": [{"points": [POND]}]}), "prompts"),
    ] {
        ask(&broker, &board, "everything", &request);
        refused.push((id, word));
    }
    ask(&broker, &board, "segment", &json!({"id": "r8", "points": [POND], "everything": {}}));
    refused.push(("r8", "everything"));
    for (id, word) in refused {
        let answer = ears.answer(id);
        assert_eq!(answer["status"], "error", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{word}: {answer}");
    }
    assert!(board.layer("a").is_empty());
}

#[test]
fn a_collection_of_objects_is_answered_one_by_one_with_their_properties() {
    let Some((broker, board, mut ears)) = scene() else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(demo("truth.geojson")).unwrap()).unwrap();
    let buildings =
        truth["features"].as_array().unwrap().iter().filter(|f| f["properties"]["kind"] == "building");
    let mut features: Vec<Value> = buildings
        .take(3)
        .enumerate()
        .map(|(n, f)| {
            json!({"type": "Feature", "id": format!("house-{n}"), "properties": {"owner": n},
                "geometry": {"type": "Point", "coordinates": f["properties"]["inside"]}})
        })
        .collect();
    features.push(json!({"type": "Feature", "id": 9, "properties": {}, "geometry": {"type": "Point", "coordinates": [1, 2]}}));
    let collection = json!({"type": "FeatureCollection", "features": features,
        "geosam": {"id": "c", "objects": "each", "output": {"largest_only": true}}});
    ask(&broker, &board, "segment", &collection);
    let answer = ears.answer("c");
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for (n, result) in results[..3].iter().enumerate() {
        assert_eq!((&result["id"], code(result)), (&json!(format!("house-{n}")), "ok"));
        assert_eq!(
            (&result["properties"]["owner"], result["masks"].as_array().unwrap().len()),
            (&json!(n), 1)
        );
    }
    assert_eq!((&results[3]["id"], code(&results[3])), (&json!(9), "NO_CHIP_COVERS"));
}
