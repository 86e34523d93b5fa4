//! `refine` and `mask_of` over real MQTT: masks of sessions over restarts, masks of answers by their ids.

#[path = "support/mask_model.rs"]
mod mask_model;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use mask_model::with_mask_parameters;
use mosquitto::{Mosquitto, Setup};
use serde_json::Value;
use service::{Board, Ears, SMALL, code, fixture};
use tempfile::TempDir;

const FIRST: &str = r#""folder":"folder_sam","crs":"EPSG:32633","points":[[458120,5427215]]"#;
const SECOND: &str = r#""crs":"EPSG:32633","points":[[458140,5427230]]"#;
const THIRD: &str = r#""crs":"EPSG:32633","points":[[458100,5427200]],"labels":[0]"#;

struct Scene {
    broker: Mosquitto,
    board: Board,
    ears: Ears,
    /// The board's models, taken away with the scene.
    _models: TempDir,
}

/// A board whose model takes masks; nothing where there is no mosquitto.
fn scene() -> Option<Scene> {
    let broker = Mosquitto::start(Setup::default())?;
    let models = tempfile::tempdir().unwrap();
    with_mask_parameters(&fixture("models").join("mobile_sam"), &models.path().join("mobile_sam"));
    let mut board = Board::configured(&broker.url(), "b1", &fixture("folder_sam"), models.path(), "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    Some(Scene { broker, board, ears, _models: models })
}

impl Scene {
    fn ask_as(&mut self, client: &str, verb: &str, id: &str, members: &str) -> Value {
        let payload = format!(r#"{{"id":"{id}",{members}}}"#);
        self.broker.publish(&self.board.request(client, verb), payload.as_bytes(), &[]);
        self.ears.answer(id)
    }

    fn ask(&mut self, verb: &str, id: &str, members: &str) -> Value {
        self.ask_as("c1", verb, id, members)
    }

    fn add(&mut self, id: &str, session: &str, prompt: &str, refine: bool) -> Value {
        self.ask("add", id, &format!(r#""session":"{session}",{prompt},{SMALL},"refine":{refine}"#))
    }

    fn restart(&mut self) {
        self.board.kill();
        self.ears.topic("geosam/b1/state");
        self.board.start();
        self.ears.online(&self.board);
    }
}

/// What an answer shows.
fn shown(answer: &Value) -> (&Value, &Value) {
    assert_eq!(code(answer), "ok", "{answer}");
    (&answer["result"], &answer["masks"])
}

#[test]
fn a_session_refines_its_last_mask_also_after_a_restart_and_saves_what_it_showed() {
    let Some(mut scene) = scene() else { return };
    let first = scene.add("1", "s", FIRST, true);
    assert_eq!((&first["refined"], &first["not_refined_because"]), (&false.into(), &"no_mask".into()));
    let second = scene.add("2", "s", SECOND, true);
    assert_eq!((&second["refined"], &second["not_refined_because"]), (&true.into(), &Value::Null));
    let third = scene.add("3", "s", THIRD, true);
    assert_eq!(third["refined"], true);
    let undone = scene.ask("undo", "4", r#""session":"s""#);
    assert_eq!((shown(&undone), &undone["refined"]), (shown(&second), &true.into()), "what was shown before");

    // Without refining it is another mask, as it always was.
    scene.add("5", "plain", FIRST, false);
    let plain = scene.add("6", "plain", SECOND, false);
    assert_eq!(plain["refined"], Value::Null);
    assert_ne!(shown(&plain).1, shown(&second).1, "the mask means something");

    scene.restart();
    let again = scene.add("7", "s", THIRD, true);
    assert_eq!((shown(&again), &again["refined"]), (shown(&third), &true.into()), "made again");
    scene.restart();
    let saved = scene.ask("save", "8", r#""session":"s","layer":"ponds""#);
    let feature = &saved["saved"]["feature"];
    // Single precision as text, and as the double that it is.
    let [was, is] =
        [&third["masks"][0]["score"], &feature["properties"]["score"]].map(|v| v.as_f64().unwrap());
    assert!((was - is).abs() < 1e-7, "{saved}");
    assert_eq!(feature["geometry"]["type"], third["result"]["features"][0]["geometry"]["type"]);
    // The session is empty: there is no mask to refine any more.
    assert_eq!(scene.add("9", "s", FIRST, true)["not_refined_because"], "no_mask");
    // Cleared in the middle, too.
    scene.add("10", "s", SECOND, true);
    scene.ask("clear", "11", r#""session":"s""#);
    let anew = scene.add("12", "s", SECOND, true);
    assert_eq!((&anew["refined"], &anew["not_refined_because"]), (&false.into(), &"no_mask".into()));
}

#[test]
fn an_answer_starts_from_the_mask_of_an_earlier_one_by_its_id() {
    let Some(mut scene) = scene() else { return };
    let info = scene.ears.topic("geosam/b1/info").json();
    let kept = info["limits"]["masks_kept"].as_u64().unwrap();
    let segment = |more: &str| format!("{FIRST},{SMALL}{more}");
    let first = scene.ask("segment", "1", &segment(""));
    assert_eq!(first["refined"], Value::Null);
    let refined = scene.ask("segment", "2", &segment(r#","mask_of":"1""#));
    assert_eq!(refined["refined"], true);
    assert_ne!(shown(&refined).1, shown(&first).1, "the mask means something");
    let twice = scene.ask("segment", "3", &segment(r#","refine":true"#));
    assert_eq!(shown(&twice), shown(&refined), "its own mask is that of the answer before");
    // Of a session's answers as well.
    scene.add("4", "s", FIRST, false);
    assert_eq!(shown(&scene.ask("segment", "5", &segment(r#","mask_of":"4""#))), shown(&refined));
    // Another client's is not found, and neither is what nobody asked.
    for (client, of) in [("c2", "1"), ("c1", "nobody")] {
        let id = format!("{client}-{of}");
        let answer = scene.ask_as(client, "segment", &id, &segment(&format!(r#","mask_of":"{of}""#)));
        assert_eq!(code(&answer), "UNKNOWN_MASK", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("without \"mask_of\""), "{answer}");
    }
    // The last few are kept.
    for n in 0..kept {
        scene.ask("segment", &format!("new-{n}"), &segment(""));
    }
    assert_eq!(code(&scene.ask("segment", "6", &segment(r#","mask_of":"1""#))), "UNKNOWN_MASK");
    assert_eq!(scene.ask("segment", "7", &segment(r#","mask_of":"new-1""#))["refined"], true);
    // On another chip.
    let elsewhere = r#""folder":"folder_sam","crs":"source","points":[[458400,5427215]],"mask_of":"7""#;
    assert_eq!(code(&scene.ask("segment", "8", elsewhere)), "MASK_MISMATCH");
    scene.restart();
    assert_eq!(code(&scene.ask("segment", "9", &segment(r#","mask_of":"7""#))), "UNKNOWN_MASK");
    let wrong = scene.ask("segment", "10", r#""mask_of":"7","prompts":[{"points":[[1,2]]}]"#);
    assert_eq!(code(&wrong), "BAD_REQUEST");
    assert_eq!(
        code(&scene.ask("add", "11", &format!(r#""session":"s",{FIRST},"mask_of":"7""#))),
        "BAD_REQUEST"
    );
}
