//! What is saved, and what becomes of it: sessions that save what they showed, saves of one message, changes by id.

use std::fs;

use serde_json::json;

use super::layers::{POINT, blocked, objects, path};
use super::*;
use crate::bus::Properties;

/// Few vertices.
const SMALL: &str = r#""output":{"vectorization":"simplified","tolerance":30,"largest_only":true}"#;

impl Scene {
    /// The lines of a layer.
    fn lines(&self, layer: &str) -> Vec<Value> {
        let text = fs::read_to_string(path(&self.dir, layer)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What was told on a topic.
    fn told(&self, topic: &str) -> Vec<Value> {
        let published = self.broker.published();
        published
            .iter()
            .filter(|m| m.topic == topic)
            .map(|m| serde_json::from_slice(&m.payload).unwrap())
            .collect()
    }

    pub(super) fn save_point(&self, id: &str, layer: &str, more: &str) -> String {
        let answer = self.served("save", id, &format!(r#""layer":"{layer}",{POINT},{SMALL}{more}"#));
        answer["saved"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

pub(super) fn refused<'a>(answer: &'a Value, code: &str) -> &'a str {
    assert_eq!(answer["error"]["code"], code, "{answer}");
    answer["error"]["message"].as_str().unwrap()
}

#[test]
fn what_the_last_answer_showed_is_what_save_writes() {
    let scene = scene();
    let shown = |answer: &Value| answer["result"]["features"][0]["geometry"].clone();
    let session = r#""session":"s""#;
    let add = |id: &str, output: &str| {
        let answer = scene.served("add", id, &format!(r#"{session},{POINT},"output":{{{output}}}"#));
        assert_eq!(answer["status"], "ok", "{answer}");
        answer
    };
    let save = |id: &str, more: &str| {
        scene.served("save", id, &format!(r#"{session},"layer":"ponds"{more}"#))["saved"].clone()
    };
    // As it was asked for: the next step, taking it back, and the save do not say it again.
    let first = add("a1", r#""vectorization":"simplified","tolerance":8,"largest_only":true"#);
    assert_eq!(first["tolerance"], 8.0);
    let second = scene.served("add", "a2", &format!(r#"{session},{POINT},"output":{{"largest_only":true}}"#));
    assert_eq!(second["tolerance"], 8.0);
    let undone = scene.served("undo", "u1", session);
    assert_eq!(shown(&undone), shown(&first));
    let saved = save("s1", "");
    assert_eq!((&saved["feature"]["geometry"], &saved["tolerance"]), (&shown(&first), &json!(8.0)));

    // As it had to be drawn to fit.
    let fitted = add("b1", r#""largest_only":true,"max_bytes":20000"#);
    let tolerance = fitted["tolerance"].as_f64().unwrap();
    let properties = json!({"note": "x".repeat(3000)});
    let saved = save("s2", &format!(r#","properties":{properties}"#));
    assert_eq!(
        (&saved["feature"]["geometry"], saved["tolerance"].as_f64()),
        (&shown(&fitted), Some(tolerance))
    );

    // Unless it is told otherwise.
    let fitted = add("c1", r#""largest_only":true,"max_bytes":20000"#);
    let saved = save("s3", r#","output":{"max_bytes":4000000}"#);
    assert_eq!(saved["tolerance"], Value::Null, "{saved}");
    assert_ne!(saved["feature"]["geometry"], shown(&fitted));

    // What was saved is forgotten, and fills no list.
    let list = scene.served("list", "l", r#""ttl_ms":60000"#);
    assert_eq!(list["sessions"], json!([]));
    let fresh = add("d1", r#""largest_only":true,"max_bytes":4000000"#);
    assert_eq!(fresh["tolerance"], Value::Null);
    scene.service.stop();
}

#[test]
fn a_session_shows_and_saves_the_same_after_a_restart() {
    let scene = scene();
    let output = r#""output":{"vectorization":"simplified","tolerance":12,"largest_only":true}"#;
    let added = scene.served("add", "a", &format!(r#""session":"s",{POINT},{output}"#));
    scene.service.stop();
    let scene = scene_in(scene.dir, ServiceOptions::default());
    let saved = scene.served("save", "s", r#""session":"s","layer":"ponds""#);
    assert_eq!(saved["saved"]["feature"]["geometry"], added["result"]["features"][0]["geometry"]);
    scene.service.stop();
}

#[test]
fn one_message_saves_and_the_same_again_saves_nothing() {
    let scene = scene();
    let members = format!(r#""layer":"ponds","properties":{{"kind":"pond"}},{POINT},{SMALL}"#);
    let saved = scene.served("save", "1", &members);
    let feature = &saved["saved"]["feature"];
    assert_eq!(
        (&feature["properties"]["kind"], &feature["properties"]["session"]),
        (&json!("pond"), &Value::Null)
    );
    let count = || scene.told("geosam/edge/response/c1/save").len();
    scene.served("save", "1", &members);
    scene.until("the stored answer", || count() == 2);
    let told = scene.told("geosam/edge/response/c1/save");
    assert_eq!(told[0], told[1]);
    assert_eq!(scene.lines("ponds"), std::slice::from_ref(feature));
    assert_eq!(scene.told("geosam/edge/saved/ponds"), std::slice::from_ref(feature));

    let geojson = json!({"type": "Feature", "properties": {"kind": "not ours"},
        "geometry": {"type": "Point", "coordinates": [458_120, 5_427_215]},
        "geosam": {"id": "2", "crs": "EPSG:32633", "layer": "ponds", "session": "s", "properties": {"kind": "drawn"}, "output": {"largest_only": true}}});
    let drawn = scene.said("save", "2", geojson.to_string());
    assert_eq!(drawn["saved"]["feature"]["properties"]["kind"], "drawn", "{drawn}");
    // It belongs to the session that it names, which `unsave` takes back.
    let unsaved = scene.served("unsave", "u", r#""session":"s","layer":"ponds""#);
    assert_eq!(unsaved["unsaved"]["id"], drawn["saved"]["id"]);
    assert_eq!(objects(&scene.dir, "ponds").len(), 1);

    // A session with prompts of its own has an object of its own.
    scene.served("add", "a", &format!(r#""session":"s",{POINT},{SMALL}"#));
    let both = scene.served("save", "3", &format!(r#""session":"s","layer":"ponds",{POINT}"#));
    assert!(refused(&both, "BAD_REQUEST").contains("\"points\" stands beside session s"), "{both}");
    scene.service.stop();
}

#[test]
fn many_objects_are_saved_each_for_itself_and_once() {
    let scene = scene();
    let prompt = |more: &str| format!(r#"{{"points":[[458120,5427215]]{more}}}"#);
    let prompts = [
        prompt(r#","id":"a","properties":{"n":1}"#),
        r#"{"id":"b","points":[[1,1]]}"#.to_owned(),
        prompt(r#","properties":{"n":3,"kind":"lake"}"#),
    ];
    let members = format!(
        r#""layer":"ponds","crs":"EPSG:32633","properties":{{"kind":"pond"}},{SMALL},"prompts":[{}]"#,
        prompts.join(",")
    );
    let answer = scene.served("save", "1", &members);
    let results = answer["results"].as_array().unwrap();
    assert_eq!((&results[0]["id"], &results[2]["id"]), (&json!("a"), &Value::Null), "{answer}");
    refused(&results[1], "NO_CHIP_COVERS");
    let properties: Vec<Value> = scene.lines("ponds").iter().map(|line| line["properties"].clone()).collect();
    let told: Vec<_> = properties.iter().map(|p| (p["n"].clone(), p["kind"].clone())).collect();
    assert_eq!(told, [(json!(1), json!("pond")), (json!(3), json!("lake"))]);
    assert_eq!(
        objects(&scene.dir, "ponds"),
        [0, 2].map(|n: usize| results[n]["saved"]["id"].as_str().unwrap())
    );
    assert_eq!(answer["simplified"], json!({"objects": 2, "coarser": 0, "tolerance": [30.0, 30.0]}));
    // Again it saves nothing, although one of them was refused for a reason that may pass.
    scene.served("save", "1", &members);
    scene.until("the stored answer", || scene.told("geosam/edge/response/c1/save").len() == 2);
    assert_eq!(objects(&scene.dir, "ponds").len(), 2);
    assert_eq!(scene.told("geosam/edge/saved/ponds").len(), 2);
    scene.service.stop();
}

#[test]
fn the_features_of_a_collection_are_saved_each_with_its_own_properties() {
    let scene = scene();
    let feature = |kind: &str| json!({"type": "Feature", "properties": {"kind": kind, "score": "theirs"}, "geometry": {"type": "Point", "coordinates": [458_120, 5_427_215]}});
    let collection = json!({"type": "FeatureCollection", "features": [feature("oak"), feature("pine")],
        "geosam": {"id": "1", "objects": "each", "layer": "trees", "crs": "EPSG:32633", "output": {"largest_only": true, "vectorization": "simplified"}}});
    let answer = scene.said("save", "1", collection.to_string());
    let properties: Vec<Value> = scene.lines("trees").iter().map(|line| line["properties"].clone()).collect();
    assert_eq!(properties.len(), 2, "{answer}");
    assert_eq!((&properties[0]["kind"], &properties[1]["kind"]), (&json!("oak"), &json!("pine")));
    assert!(properties[0]["score"].is_number(), "what is ours stays ours");
    let refused =
        scene.said("add", "2", collection.to_string().replace(r#""id":"1""#, r#""id":"2","session":"s""#));
    assert_eq!(refused["error"]["code"], "BAD_REQUEST", "{refused}");
    scene.service.stop();
}

#[test]
fn a_key_of_another_verb_is_refused_by_its_name() {
    let scene = scene();
    let cases = [
        (
            "segment",
            r#""points":[[1,2]],"layer":"ponds""#,
            "\"layer\" belongs to save, unsave, update, delete, fetch and everything, not to segment",
        ),
        ("segment", r#""points":[[1,2]],"session":"s""#, "\"session\" belongs to"),
        (
            "segment",
            r#""prompts":[{"points":[[1,2]],"properties":{"a":1}}]"#,
            "\"prompts[].properties\" belongs to save",
        ),
        (
            "add",
            r#""session":"s","points":[[1,2]],"properties":{"a":1}"#,
            "\"properties\" belongs to save, update and everything, not to add",
        ),
        (
            "add",
            r#""session":"s","prompts":[{"points":[[1,2]]}]"#,
            "\"prompts\" belongs to segment and save, not to add",
        ),
        (
            "undo",
            r#""session":"s","points":[[1,2]]"#,
            "\"points\" belongs to segment, add and save, not to undo",
        ),
        ("clear", r#""session":"s","output":{}"#, "\"output\" belongs to"),
        ("list", r#""preview":true"#, "\"preview\" belongs to segment, not to list"),
        ("save", r#""session":"s","layer":"x","crs":"EPSG:32633""#, "\"crs\" goes with a save of"),
        ("save", r#""layer":"x""#, "save needs a \"session\", or prompts of its own"),
        (
            "save",
            r#""layer":"x","points":[[1,2]],"output":{"crs":"source"}"#,
            "saved objects are in EPSG:4326",
        ),
        ("save", r#""layer":"x","points":[[1,2]],"output":{"multimask":true}"#, "a saved object is one mask"),
        (
            "fetch",
            r#""layer":"x","output":{"largest_only":true}"#,
            "\"output.largest_only\" does not go with fetch",
        ),
        ("fetch", r#""layer":"x","since":"yesterday""#, "2026-05-01T12:00:00Z"),
        ("update", r#""layer":"x","ids":["a"]"#, "update needs \"properties\""),
        ("delete", r#""layer":"x""#, "delete needs \"ids\""),
        ("delete", r#""layer":"x","ids":[]"#, "\"ids\" has 0 entries"),
        ("cancel", r#""ttl_ms":5"#, "not to cancel"),
    ];
    for (index, (verb, members, told)) in cases.iter().enumerate() {
        let answer = scene.served(verb, &index.to_string(), members);
        let text = refused(&answer, "BAD_REQUEST");
        assert!(text.contains(told), "{verb} {members}: {text}");
    }
    let drawn = json!({"type": "Point", "coordinates": [1, 2], "geosam": {"id": "g", "session": "s"}});
    let text = scene.said("undo", "g", drawn.to_string());
    assert!(refused(&text, "BAD_REQUEST").contains("\"points\" belongs to"), "{text}");
    scene.service.stop();
}

#[test]
fn saved_objects_are_changed_moved_found_and_deleted_by_id() {
    let scene = scene();
    let a = scene.save_point("1", "ponds", r#","properties":{"kind":"pond","note":"x"}"#);
    let b = scene.save_point("2", "ponds", "");
    let c = scene.save_point("3", "ponds", "");
    let before = scene.lines("ponds");

    let update = format!(r#""layer":"ponds","ids":["{b}","{a}"],"properties":{{"kind":"lake","note":null}}"#);
    let updated = scene.served("update", "u1", &update);
    assert_eq!(updated["updated"], json!({"layer": "ponds", "ids": [b, a]}), "{updated}");
    let lines = scene.lines("ponds");
    assert_eq!(objects(&scene.dir, "ponds"), [a.clone(), b.clone(), c.clone()], "in their places");
    assert_eq!(
        (&lines[0]["properties"]["kind"], &lines[0]["properties"]["note"]),
        (&json!("lake"), &Value::Null)
    );
    assert_eq!((&lines[0]["geometry"], &lines[2]), (&before[0]["geometry"], &before[2]));
    // It is told behind the answer.
    scene.until("both told", || scene.told("geosam/edge/saved/ponds").len() >= 5);
    let told = scene.told("geosam/edge/saved/ponds");
    assert_eq!(told[3..], [lines[1].clone(), lines[0].clone()]);

    // The same again is answered from memory; the object is as it was changed since.
    let second = scene.served(
        "update",
        "u2",
        &format!(r#""layer":"ponds","ids":["{a}"],"properties":{{"kind":"sea"}}"#),
    );
    assert_eq!(second["status"], "ok", "{second}");
    scene.served("update", "u1", &update);
    assert_eq!(scene.lines("ponds")[0]["properties"]["kind"], "sea");

    let moved = scene.served("update", "m", &format!(r#""layer":"ponds","ids":["{b}"],"to_layer":"lakes""#));
    assert_eq!(moved["updated"]["layer"], "lakes", "{moved}");
    assert_eq!(
        (objects(&scene.dir, "ponds"), objects(&scene.dir, "lakes")),
        (vec![a.clone(), c.clone()], vec![b.clone()])
    );
    assert_eq!(scene.lines("lakes")[0]["properties"]["layer"], "lakes");
    scene.until("the move told", || scene.told("geosam/edge/saved/ponds").len() >= 7);
    assert_eq!(scene.told("geosam/edge/saved/ponds").last(), Some(&json!({"id": b, "deleted": true})));

    let found = |id: &str, members: &str| {
        let answer = scene.served("fetch", id, &format!(r#""layer":"ponds",{members}"#));
        let ids = answer["features"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
        (ids.map(|f| f["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), answer["next"].clone())
    };
    assert_eq!(found("f1", &format!(r#""ids":["{c}","none"]"#)).0, std::slice::from_ref(&c));
    assert_eq!(found("f2", r#""client":"c1","limit":1"#), (vec![a.clone()], json!(1)));
    assert_eq!(found("f3", r#""client":"c1","limit":1,"offset":1"#), (vec![c.clone()], Value::Null));
    assert_eq!(found("f4", r#""client":"c2""#).0, [] as [&str; 0]);
    assert_eq!(
        found("f5", r#""since":"2000-01-01T00:00:00Z","until":"2001-01-01T00:00:00Z""#).0,
        [] as [&str; 0]
    );
    assert_eq!(found("f6", r#""bbox":[14,48,15,50],"since":"2000-01-01T00:00:00Z""#).0.len(), 2);
    assert_eq!(found("f7", r#""bbox":[14,10,15,20]"#).0, [] as [&str; 0]);

    // All or nothing.
    let unknown = scene.served("delete", "d1", &format!(r#""layer":"ponds","ids":["{a}","{b}"]"#));
    assert!(refused(&unknown, "UNKNOWN_OBJECT").contains(&b), "{unknown}");
    assert_eq!(objects(&scene.dir, "ponds").len(), 2);
    let deleted = scene.served("delete", "d2", &format!(r#""layer":"ponds","ids":["{a}"]"#));
    assert_eq!(deleted["deleted"], json!({"layer": "ponds", "ids": [a]}));
    assert_eq!(objects(&scene.dir, "ponds"), [c.as_str()]);
    refused(&scene.served("delete", "d3", r#""layer":"nowhere","ids":["a"]"#), "UNKNOWN_LAYER");
    refused(
        &scene.served(
            "update",
            "u3",
            &format!(r#""layer":"ponds","ids":["{c}"],"properties":{{"score":1}}"#),
        ),
        "BAD_REQUEST",
    );
    scene.service.stop();

    let scene = scene_in(scene.dir, ServiceOptions::default());
    assert_eq!(objects(&scene.dir, "ponds"), [c.as_str()]);
    scene.service.stop();
}

#[test]
fn an_object_that_is_not_in_its_file_yet_is_not_changed() {
    let scene = scene_in(blocked("ponds"), ServiceOptions::default());
    let id = scene.save_point("1", "ponds", "");
    let answer = scene.served("delete", "d", &format!(r#""layer":"ponds","ids":["{id}"]"#));
    assert!(refused(&answer, "CARD_ERROR").contains("layer ponds"), "{answer}");
    fs::remove_dir(path(&scene.dir, "ponds")).unwrap();
    scene.until("the object", || !objects(&scene.dir, "ponds").is_empty());
    let mut round = 1;
    scene.until("its end", || {
        round += 1;
        scene.served("delete", &format!("d{round}"), &format!(r#""layer":"ponds","ids":["{id}"]"#))["status"]
            == "ok"
    });
    assert_eq!(objects(&scene.dir, "ponds"), [] as [&str; 0]);
    scene.service.stop();
}

#[test]
fn a_batch_is_drawn_coarser_only_where_its_bytes_are_used_up_and_says_so() {
    let scene = scene();
    let large = format!(r#"{{{POINT},"output":{{"vectorization":"pixel"}}}}"#);
    let small = format!("{{{POINT},{SMALL}}}");
    let batch = |id: &str, max_bytes: usize| {
        let prompts = [&large, &small, &small].map(String::as_str).join(",");
        let output = format!(r#""output":{{"largest_only":true,"max_bytes":{max_bytes}}}"#);
        scene.served("segment", id, &format!(r#"{output},"prompts":[{prompts}]"#))
    };
    let whole = batch("w", 4 << 20);
    let asked = json!({"objects": 2, "coarser": 0, "tolerance": [30.0, 30.0]});
    assert_eq!(whole["simplified"], asked);
    // Exactly as many bytes as all need: nothing gives way, though one has far more than a third of them.
    let bytes = whole.to_string().len();
    let fits = batch("f", bytes + 1024);
    assert_eq!(fits["simplified"], asked);
    assert_eq!(fits["results"][0]["result"], whole["results"][0]["result"]);
    // Too few: the large one gives way, and no other.
    let tight = batch("t", bytes / 2);
    let simplified = &tight["simplified"];
    assert_eq!((&simplified["objects"], &simplified["coarser"]), (&json!(3), &json!(1)), "{simplified}");
    let tolerance = tight["results"][0]["tolerance"].as_f64().unwrap();
    assert_eq!(simplified["tolerance"], json!([tolerance.min(30.0), tolerance.max(30.0)]));
    assert_eq!(tight["results"][1]["result"], whole["results"][1]["result"]);
    assert!(tight.to_string().len() <= bytes / 2);
    scene.service.stop();
}

#[test]
fn what_cannot_be_answered_where_it_was_asked_is_told() {
    let scene = scene();
    for _ in 0..2 {
        scene.broker.publish(OutgoingMessage::new("geosam/edge/request/segment", r#"{"id":"1"}"#));
    }
    let told = |kind: &str| {
        let told = scene.told(&format!("geosam/edge/event/{kind}"));
        told.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    scene.until("the event", || told("request_passed_over").len() == 2);
    assert!(told("request_passed_over")[0].contains("geosam/edge/request/segment is passed over"));
    for id in ["a", "b"] {
        let properties = Properties {
            response_topic: Some("geosam/edge/response/c2/mine".to_owned()),
            ..Properties::default()
        };
        let request = OutgoingMessage::new("geosam/edge/request/c1/list", format!(r#"{{"id":"{id}"}}"#));
        scene.broker.publish(request.with(properties));
    }
    scene.until("the answers", || scene.told("geosam/edge/response/c1/list").len() == 2);
    scene.until("the event", || !told("response_topic_refused").is_empty());
    let text = told("response_topic_refused");
    assert!(
        text[0].contains("geosam/edge/response/c2/mine") && text[0].contains("limits.response_prefixes"),
        "{text:?}"
    );
    assert_eq!(text.len(), 1, "once for each topic");
    scene.service.stop();
}
