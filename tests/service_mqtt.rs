//! The service over real MQTT: what it tells of itself, its verbs, and what it refuses.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/scene.rs"]
#[allow(dead_code, reason = "each test binary uses its own part of this")]
mod outlines;
#[path = "support/service.rs"]
mod service;

use std::time::Duration;

use geo::{GeodesicArea as _, Validation as _};
use mosquitto::{Mosquitto, Setup};
use serde_json::json;
use service::{Board, Ears, POINT, SMALL, code, long_batch, publish_lines};

/// A broker, a board that serves, and ears that hear both; nothing where there is no mosquitto.
fn scene(more: &str) -> Option<(Mosquitto, Board, Ears)> {
    let broker = Mosquitto::start(Setup::default())?;
    let mut board = Board::new(&broker, "b1", more);
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    Some((broker, board, ears))
}

fn ask(broker: &Mosquitto, board: &Board, verb: &str, payload: &str) {
    broker.publish(&board.request("c1", verb), payload.as_bytes(), &[]);
}

#[test]
fn it_says_what_it_is_and_when_it_is_gone() {
    let Some((broker, mut board, mut ears)) = scene("[health]\ninterval_s = 1") else { return };
    let late = broker.subscribe("geosam/b1/+/#", &[]);
    let kept = late.until_silent(Duration::from_millis(500));
    let kept: Vec<_> = kept.into_iter().filter(|m| m.retain).collect();
    let of =
        |topic: &str| kept.iter().find(|m| m.topic == topic).unwrap_or_else(|| panic!("{topic} is not kept"));
    let info = of("geosam/b1/info");
    assert!(info.payload.len() < 2048, "info has {} bytes", info.payload.len());
    assert_eq!(info.json()["engine"], "fused");
    let folder = of("geosam/b1/folder/folder_sam").json();
    assert_eq!(
        (&folder["ready"], &folder["chips"], &folder["model"]),
        (&json!(true), &json!(2), &json!("mobile_sam.pt"))
    );
    let health = ears.topic("geosam/b1/health");
    assert!(!health.retain && health.json()["memory_bytes"].as_u64() > Some(1_000_000));
    assert_eq!(ears.topic("geosam/b1/event/folder_added").json()["folder"], "folder_sam");

    let state = broker.subscribe("geosam/b1/state", &[]);
    assert_eq!((state.next().text().as_str(), code(&json!({"status": "ok"}))), ("online", "ok"));
    let log = board.log();
    assert!(log.contains("connected to the broker") && !log.contains('\u{1b}'), "as `log` says: {log}");
    assert!(board.stop(), "SIGTERM ends it well");
    assert_eq!(state.next().text(), "offline");
    board.start();
    assert_eq!(state.next().text(), "online");
    board.kill();
    assert_eq!(state.next().text(), "offline", "the last will");
}

#[test]
fn segment_answers_one_many_and_geojson_on_the_topics_that_were_asked_for() {
    let Some((broker, board, mut ears)) = scene("") else { return };
    let reply = [
        "-D",
        "publish",
        "response-topic",
        "geosam/b1/response/c1/mine",
        "-D",
        "publish",
        "correlation-data",
        "k7",
    ];
    let topic = board.request("c1", "segment");
    broker.publish(&topic, format!(r#"{{"id":"1",{POINT},{SMALL}}}"#).as_bytes(), &reply);
    for topic in ["geosam/b1/response/c1/segment", "geosam/b1/response/c1/mine"] {
        let answer = ears.topic(topic);
        assert_eq!(
            (answer.correlation_data.as_str(), answer.content_type.as_str()),
            ("k7", "application/json")
        );
        let answer = answer.json();
        assert_eq!((&answer["id"], code(&answer)), (&json!("1"), "ok"));
        let first = &answer["result"]["features"][0]["properties"];
        assert_eq!(
            (&first["folder"], &first["chip_id"], &first["model_type"]),
            (&json!("folder_sam"), &json!("chip_000000"), &json!("sam"))
        );
    }
    assert_eq!(ears.topic("geosam/b1/mask/folder_sam").json()["type"], "FeatureCollection");

    // The same topic as the implied one: once. Outside the allowed prefixes: not at all.
    let same = ["-D", "publish", "response-topic", "geosam/b1/response/c1/segment"];
    broker.publish(&topic, format!(r#"{{"id":"2",{POINT},{SMALL}}}"#).as_bytes(), &same);
    let foreign = ["-D", "publish", "response-topic", "geosam/b1/response/c2/segment"];
    broker.publish(&topic, format!(r#"{{"id":"3",{POINT},{SMALL}}}"#).as_bytes(), &foreign);
    assert_eq!((code(&ears.answer("2")), code(&ears.answer("3"))), ("ok", "ok"));
    let rest = ears.rest(Duration::from_millis(700));
    assert!(!rest.iter().any(service::is_answer), "{rest:?}");

    let batch =
        format!(r#"{{"id":"4","crs":"EPSG:32633","prompts":[{{{POINT},{SMALL}}},{{"points":[[1,1]]}}]}}"#);
    ask(&broker, &board, "segment", &batch);
    let answer = ears.answer("4");
    assert_eq!((code(&answer["results"][0]), code(&answer["results"][1])), ("ok", "NO_CHIP_COVERS"));

    let geojson = json!({"type": "FeatureCollection", "geosam": {"id": "5", "output": {"largest_only": true}}, "features": [
        {"type": "Feature", "properties": {"label": 1, "note": "x"}, "geometry": {"type": "Point", "coordinates": [14.428, 48.996]}},
        {"type": "Feature", "properties": null, "geometry": {"type": "Polygon", "coordinates":
            [[[14.427, 48.995], [14.429, 48.995], [14.429, 48.9965], [14.427, 48.9965], [14.427, 48.995]]]}}]});
    ask(&broker, &board, "segment", &geojson.to_string());
    assert_eq!(code(&ears.answer("5")), "ok");

    let mut with_output = |id: &str, output: &str| {
        let payload = format!(r#"{{"id":"{id}",{POINT},"output":{{"largest_only":true,{output}}}}}"#);
        ask(&broker, &board, "segment", &payload);
        ears.answer(id)
    };
    let three = with_output("6", r#""multimask":true,"vectorization":"simplified","tolerance":30"#);
    assert_eq!((code(&three), three["masks"].as_array().map(Vec::len)), ("ok", Some(3)));
    let coarse = with_output("7", r#""max_bytes":20000"#);
    let tolerance = coarse["result"]["features"][0]["properties"]["tolerance"].as_f64();
    assert!(coarse.to_string().len() <= 20_000 && tolerance > Some(1.5), "{tolerance:?}");
    assert_eq!(code(&with_output("8", r#""max_bytes":20000,"on_too_large":"error""#)), "TOO_LARGE");
    assert_eq!(code(&with_output("9", r#""max_bytes":1000"#)), "TOO_LARGE");
}

#[test]
fn mqtt_3_1_1_serves_by_topic_alone() {
    let Some((broker, board, mut ears)) = scene("protocol = \"3.1.1\"") else { return };
    let topic = board.request("c1", "segment");
    broker.publish(&topic, format!(r#"{{"id":1,{POINT},{SMALL}}}"#).as_bytes(), &["-V", "mqttv311"]);
    let answer = ears.topic("geosam/b1/response/c1/segment").json();
    assert_eq!((&answer["id"], code(&answer)), (&json!(1), "ok"), "a number comes back as one");
}

#[test]
fn a_session_is_built_up_saved_listed_fetched_and_taken_back() {
    let Some((broker, mut board, mut ears)) = scene("") else { return };
    let mut say = |verb: &str, payload: String| {
        ask(&broker, &board, verb, &payload);
        let id = payload.split('"').nth(3).expect("an id").to_owned();
        ears.answer(&id)
    };
    let add = |id: &str, x: u32, label: u8| {
        format!(
            r#"{{"id":"{id}","session":"s1","folder":"folder_sam","crs":"EPSG:32633","points":[[{x},5427215]],"labels":[{label}],{SMALL}}}"#
        )
    };
    let first = say("add", add("a1", 458_120, 1));
    let second = say("add", add("a2", 458_140, 0));
    assert_ne!(first["masks"], second["masks"]);
    let undone = say("undo", format!(r#"{{"id":"u1","session":"s1",{SMALL}}}"#));
    assert_eq!(first["masks"], undone["masks"]);
    let save =
        format!(r#"{{"id":"sv1","session":"s1","layer":"ponds","properties":{{"operator":"7"}},{SMALL}}}"#);
    let saved = say("save", save.clone());
    let id = saved["saved"]["id"].as_str().expect("an id").to_owned();
    // The same request again: the same answer, and no second object. Its id for another: refused.
    assert_eq!(say("save", save.clone()), saved);
    assert_eq!(code(&say("save", save.replace("\"7\"", "\"8\""))), "ID_REUSED");
    let lines = board.layer("ponds");
    assert_eq!((lines.len(), &lines[0]["id"]), (1, &json!(id)));
    let properties = &lines[0]["properties"];
    assert_eq!(
        (&properties["operator"], &properties["foreground"], &properties["background"], &properties["boxes"]),
        (&json!("7"), &json!(1), &json!(0), &json!(0))
    );
    assert_eq!(
        code(&say("save", r#"{"id":"sv2","session":"s1","layer":"ponds"}"#.to_owned())),
        "NOTHING_TO_SAVE"
    );

    let list = say("list", r#"{"id":"l1"}"#.to_owned());
    assert_eq!((&list["layers"][0]["name"], &list["layers"][0]["features"]), (&json!("ponds"), &json!(1)));
    let page = say("fetch", r#"{"id":"f1","layer":"ponds","offset":0,"limit":10}"#.to_owned());
    assert_eq!((&page["features"][0], &page["total"]), (&lines[0], &json!(1)));
    assert_eq!(code(&say("fetch", r#"{"id":"f2","layer":"none"}"#.to_owned())), "UNKNOWN_LAYER");

    // It outlives the service.
    assert_eq!(code(&say("add", add("a3", 458_120, 1))), "ok");
    assert!(board.stop());
    board.start();
    ears.online(&board);
    let mut say = |verb: &str, payload: String| {
        ask(&broker, &board, verb, &payload);
        ears.answer(payload.split('"').nth(3).expect("an id"))
    };
    assert_eq!(say("undo", format!(r#"{{"id":"u2","session":"s1",{SMALL}}}"#))["masks"], json!([]));
    let unsaved = say("unsave", r#"{"id":"un1","session":"s1","layer":"ponds"}"#.to_owned());
    assert_eq!(unsaved["unsaved"]["id"], json!(id));
    assert!(board.layer("ponds").is_empty());
    assert_eq!(code(&say("clear", r#"{"id":"c1","session":"none"}"#.to_owned())), "UNKNOWN_SESSION");
    let told = ears.rest(Duration::from_millis(500));
    let told: Vec<_> = told.iter().filter(|m| m.topic == "geosam/b1/saved/ponds").map(|m| m.json()).collect();
    assert_eq!((&told[0], told.last()), (&lines[0], Some(&json!({"id": id, "deleted": true}))));
    assert_eq!(told.len(), 2);
}

#[test]
fn an_object_that_was_simplified_to_be_saved_says_so_wherever_it_is_told() {
    let Some((broker, board, mut ears)) = scene("") else { return };
    let mut saved = |id: &str, output: &str| {
        let add = format!(r#"{{"id":"a{id}","session":"s1",{POINT}}}"#);
        ask(&broker, &board, "add", &add);
        assert_eq!(code(&ears.answer(&format!("a{id}"))), "ok");
        let save = format!(r#"{{"id":"{id}","session":"s1","layer":"ponds","output":{{{output}}}}}"#);
        ask(&broker, &board, "save", &save);
        let answer = ears.answer(id);
        assert_eq!(code(&answer), "ok", "{answer}");
        let told = ears.topic("geosam/b1/saved/ponds").json();
        let line = board.layer("ponds").pop().expect("a line");
        let feature = answer["saved"]["feature"].clone();
        assert_eq!((&told, &line), (&feature, &feature), "told, kept and answered alike");
        let tolerance = &feature["properties"]["tolerance"];
        assert_eq!(&answer["saved"]["tolerance"], tolerance);
        // By a library of others: valid as a whole, and as large as it says.
        let geometry = outlines::outline(&feature["geometry"], None);
        assert!(geometry.is_valid(), "{}", feature["geometry"]);
        let (area, said) =
            (geometry.geodesic_area_unsigned(), feature["properties"]["area_m2"].as_f64().unwrap());
        assert!((area / said - 1.0).abs() < 1e-4, "{area} {said}");
        (geometry.0.len(), tolerance.as_f64(), feature["geometry"].to_string().len())
    };
    let (parts, tolerance, bytes) = saved("1", r#""max_bytes":4000000"#);
    assert!(parts > 10 && tolerance.is_none(), "{parts} {tolerance:?}");
    for wanted in [1.5, 3.0, 10.0] {
        let output = format!(r#""vectorization":"simplified","tolerance":{wanted}"#);
        let (parts, tolerance, fewer) = saved(&format!("s{wanted}"), &output);
        assert!(parts > 10 && tolerance == Some(wanted) && fewer < bytes, "{parts} {tolerance:?} {fewer}");
    }
    // Not asked for: it would not fit otherwise.
    let (_, tolerance, fewer) = saved("2", &format!(r#""max_bytes":{}"#, bytes / 2));
    assert!(tolerance >= Some(1.5) && fewer < bytes / 2, "{tolerance:?} {fewer}");
}

#[test]
fn what_is_wrong_is_answered_with_a_code_and_never_with_silence() {
    let Some((broker, board, mut ears)) =
        scene("[limits]\npayload_bytes = 1024\npoints = 2\nprompts = 2\ndepth = 8")
    else {
        return;
    };
    let deep = format!(r#"{{"id":"1","properties":{}1{}}}"#, "[".repeat(20), "]".repeat(20));
    let cases = [
        ("segment", "{nope", "BAD_REQUEST", "JSON"),
        ("segment", "", "BAD_REQUEST", ""),
        ("segment", "[1]", "BAD_REQUEST", ""),
        ("segment", "\u{0}\u{1}", "BAD_REQUEST", ""),
        ("segment", r#"{"id":"1"}"#, "BAD_REQUEST", "points"),
        ("segment", r#"{"id":"1","pionts":[[1,2]]}"#, "BAD_REQUEST", "points"),
        ("segment", r#"{"id":"1","points":"x"}"#, "BAD_REQUEST", "points"),
        ("segment", r#"{"id":"1","points":[[1,2],[1,2],[1,2]]}"#, "BAD_REQUEST", "2"),
        (
            "segment",
            r#"{"id":"1","prompts":[{"points":[[1,2]]},{"points":[[1,2]]},{"points":[[1,2]]}]}"#,
            "BAD_REQUEST",
            "2",
        ),
        ("segment", r#"{"id":"1","points":[[1,2]],"crs":"EPSG:1"}"#, "UNKNOWN_CRS", "1"),
        ("segment", r#"{"id":"1","points":[[1,2]],"folder":"none"}"#, "UNKNOWN_FOLDER", "none"),
        ("segment", r#"{"id":"1","points":[[1,2]]}"#, "NO_CHIP_COVERS", ""),
        ("segment", deep.as_str(), "BAD_REQUEST", ""),
        ("dance", r#"{"id":"1"}"#, "UNKNOWN_VERB", "segment"),
        ("add", r#"{"session":"s","points":[[1,2]]}"#, "BAD_REQUEST", "id"),
        ("add", r#"{"id":"1","points":[[1,2]]}"#, "BAD_REQUEST", "session"),
        ("save", r#"{"id":"1","session":"s"}"#, "BAD_REQUEST", "layer"),
        ("save", r#"{"id":"2","session":"s","layer":"../x"}"#, "BAD_REQUEST", "layer"),
        ("undo", r#"{"id":"1","session":"s"}"#, "UNKNOWN_SESSION", "s"),
        ("unsave", r#"{"id":"1","session":"s","layer":"x"}"#, "UNKNOWN_LAYER", "x"),
    ];
    for (verb, payload, expected, mentioned) in cases {
        ask(&broker, &board, verb, payload);
        let answer = ears.wait(payload, service::is_answer);
        assert_eq!(answer.topic, format!("geosam/b1/response/c1/{verb}"));
        let answer = answer.json();
        assert_eq!(code(&answer), expected, "{payload}: {answer}");
        let text = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(text.contains(mentioned), "{payload}: {text}");
    }
    ask(&broker, &board, "segment", &format!(r#"{{"id":"1","points":[[1,2]]{}}}"#, " ".repeat(2000)));
    let answer = ears.wait("too large", service::is_answer).json();
    assert_eq!(code(&answer), "BAD_REQUEST");
    assert!(answer["error"]["message"].as_str().is_some_and(|t| t.contains("at most 1024")), "{answer}");
    broker.publish(&board.request("c1", "list"), br#"{"id":"kept"}"#, &["-r"]);
    assert_eq!(code(&ears.answer("kept")), "BAD_REQUEST");
    // Clearing the topic is no request.
    broker.publish(&board.request("c1", "list"), b"", &["-r"]);
    ask(&broker, &board, "list", r#"{"id":"last"}"#);
    assert_eq!(code(&ears.wait("last", service::is_answer).json()), "ok");
}

#[test]
fn a_busy_board_refuses_expires_supersedes_and_cancels() {
    let Some((broker, board, mut ears)) = scene("[limits]\nqueue = 4\nclient_queue = 2") else { return };
    let segment = |id: &str, more: &str| format!(r#"{{"id":"{id}",{POINT},{SMALL}{more}}}"#);
    ask(&broker, &board, "segment", &long_batch("long", 48));
    std::thread::sleep(Duration::from_millis(300));
    let previews: Vec<String> = (1..=8).map(|n| segment(&format!("p{n}"), r#","preview":true"#)).collect();
    publish_lines(&broker, &board.request("c1", "segment"), &previews);
    ask(&broker, &board, "segment", &segment("old", r#","ttl_ms":1"#));
    ask(&broker, &board, "segment", &segment("waits", ""));
    // In the place of the one that has expired, if that is known by now.
    ask(&broker, &board, "list", r#"{"id":"behind"}"#);
    ask(&broker, &board, "segment", &segment("full", ""));
    assert_eq!(code(&ears.answer("full")), "BUSY");
    ask(&broker, &board, "cancel", r#"{"id":"x","request_id":"waits"}"#);
    assert_eq!((code(&ears.answer("waits")), &ears.answer("x")["cancelled"]), ("CANCELLED", &json!(1)));
    // Some are drawn between the prompts of the batch.
    let codes: Vec<String> = (1..8).map(|n| code(&ears.answer(&format!("p{n}"))).to_owned()).collect();
    assert!(codes.iter().all(|code| code == "ok" || code == "SUPERSEDED"), "{codes:?}");
    assert!(codes.iter().any(|code| code == "SUPERSEDED"), "{codes:?}");
    let long = ears.answer("long");
    let results = long["results"].as_array().expect("results");
    assert!(results.iter().all(|r| code(r) == "ok"), "{long}");
    assert_eq!((code(&ears.answer("old")), code(&ears.answer("p8"))), ("EXPIRED", "ok"));
    let masks = ears.rest(Duration::from_millis(500)).iter().filter(|m| m.topic.contains("/mask/")).count();
    assert_eq!(masks, 48, "previews are not told to maps");
}

#[test]
fn every_test_that_the_table_of_the_contract_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut directories = vec![root.join("src"), root.join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(path).expect("a source");
            }
        }
    }
    let table = std::fs::read_to_string(root.join("docs/contract-tests.md")).expect("the table");
    let names = table.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 3);
    let missing: Vec<&str> = names.filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert_eq!(missing, [] as [&str; 0]);
}
