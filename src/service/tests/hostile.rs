//! Requests that ask for too much, that end the program, or that fail for reasons of their own; and what they leave of
//! the others.

use std::fs;

use super::layers::POINT;
use super::*;
use crate::bus::Properties;
use crate::service::attempts::Attempts;
use crate::service::stuck::Stuck;
use crate::store::{Store, StoreLimits};

/// Bytes of an answer beside its list.
const HEAD: usize = 2048;

#[test]
fn a_request_that_was_running_when_the_program_ended_twice_is_answered_and_struck() {
    let idle = ServiceOptions { workers: 0, ..ServiceOptions::default() };
    let scene = scene_with(idle);
    for id in ["pill", "other"] {
        let request = scene.ask(id);
        scene.until("it is durable", || scene.broker.acknowledged().contains(&request));
    }
    scene.service.stop();
    let state = scene.dir.path().join("state");
    let inbox = Store::open(&state, StoreLimits::default()).unwrap().store.inbox().unwrap();
    for _ in 0..2 {
        let attempts = Attempts::open(&state);
        // It runs, and the program ends.
        std::mem::forget(attempts.begin(Some(inbox[0].seq)));
    }

    let scene = scene_in(scene.dir, ServiceOptions::default());
    scene.until("both answers", || scene.answered().len() == 2);
    let answers = scene.answers();
    let of = |id: &str| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(of("pill")["error"]["code"], "INTERNAL");
    assert_eq!(of("pill")["error"]["retryable"], false);
    assert_eq!(of("other")["error"]["code"], "NO_CHIP_COVERS");
    // Sent again it is not run, either.
    scene.ask("pill");
    scene.until("the answer again", || scene.answered().len() == 3);
    assert_eq!(scene.answers()[2]["error"]["code"], "INTERNAL");
    scene.service.stop();
}

#[test]
fn a_page_is_bounded_whatever_its_request_names_and_the_next_goes_on_where_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let layers = dir.path().join("state/layers");
    fs::create_dir_all(&layers).unwrap();
    let feature = |n: usize| {
        let padding = "x".repeat(500);
        format!(r#"{{"type":"Feature","id":"{n}","geometry":null,"properties":{{"p":"{padding}"}}}}"#)
    };
    let mut lines: Vec<String> = (0..1000).map(feature).collect();
    // A feature, but nested deeper than a client's parser may take.
    lines
        .insert(1, format!(r#"{{"type":"Feature","id":"deep","p":{}{}}}"#, "[".repeat(200), "]".repeat(200)));
    fs::write(layers.join("ponds.geojsonl"), lines.join("\n") + "\n").unwrap();
    let scene = scene_in(dir, ServiceOptions { max_answer_bytes: 64 << 10, ..ServiceOptions::default() });
    let (mut offset, mut ids) = (0, Vec::new());
    loop {
        let members = format!(
            r#""layer":"ponds","offset":{offset},"limit":1000000000,"output":{{"max_bytes":10000000000}}"#
        );
        let page = scene.served("fetch", &format!("f{offset}"), &members);
        assert!(page.to_string().len() <= (64 << 10) + HEAD);
        assert_eq!(page["total"], 1001);
        ids.extend(page["features"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_u64() else { break };
        offset = next;
    }
    assert_eq!(ids, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
    scene.service.stop();
}

#[test]
fn a_page_that_holds_no_object_is_told_the_bound_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let layers = dir.path().join("state/layers");
    fs::create_dir_all(&layers).unwrap();
    let feature = |padding: usize| {
        let padding = "x".repeat(padding);
        format!(r#"{{"type":"Feature","id":"1","geometry":null,"properties":{{"p":"{padding}"}}}}"#)
    };
    fs::write(layers.join("small.geojsonl"), feature(10) + "\n").unwrap();
    fs::write(layers.join("large.geojsonl"), feature(100_000) + "\n").unwrap();
    let scene = scene_in(dir, ServiceOptions { max_answer_bytes: 64 << 10, ..ServiceOptions::default() });
    let told = |id: &str, layer: &str, output: &str| {
        let answer = scene.served("fetch", id, &format!(r#""layer":"{layer}","output":{{{output}}}"#));
        assert_eq!(answer["error"]["code"], "TOO_LARGE", "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    for (id, bytes) in [("f1", 1), ("f2", 1000)] {
        let text = told(id, "small", &format!(r#""max_bytes":{bytes}"#));
        assert!(text.contains(&format!("more than the {bytes} of output.max_bytes; raise that")), "{text}");
    }
    // No request may raise the board's own bound.
    let text = told("f3", "large", r#""max_bytes":100000000"#);
    assert!(text.contains("geosam-edge export") && !text.contains("raise"), "{text}");
    scene.service.stop();
}

#[test]
fn a_response_topic_over_its_bounds_is_told_the_bound_and_no_prefix_is_blamed() {
    let scene = scene();
    let deep = format!("geosam/edge/response/c1/{}", ["x"; 40].join("/"));
    let long = format!("geosam/edge/response/c1/{}", "x".repeat(300));
    let told = || -> Vec<String> {
        let published = scene.broker.published();
        let events = published.iter().filter(|m| m.topic == "geosam/edge/event/response_topic_refused");
        let text =
            |m: &OutgoingMessage| serde_json::from_slice::<Value>(&m.payload).unwrap()["message"].to_string();
        events.map(text).collect()
    };
    for (count, (topic, why)) in
        [(deep, "has more than 32 levels"), (long, "is longer than 256 bytes")].into_iter().enumerate()
    {
        let properties = Properties { response_topic: Some(topic), ..Properties::default() };
        let request = OutgoingMessage::new("geosam/edge/request/c1/list", format!(r#"{{"id":"{count}"}}"#));
        scene.broker.publish(request.with(properties));
        scene.until("the event", || told().len() == count + 1);
        let text = &told()[count];
        assert!(text.contains(why) && !text.contains("prefix"), "{text}");
        let answers = || -> Vec<Value> {
            let published = scene.broker.published();
            let own = published.iter().filter(|m| m.topic == "geosam/edge/response/c1/list");
            own.map(|m| serde_json::from_slice(&m.payload).unwrap()).collect()
        };
        scene.until("the answer", || answers().len() == count + 1);
        assert_eq!(answers()[count]["error"]["code"], "BAD_REQUEST");
        assert!(answers()[count]["error"]["message"].to_string().contains(why));
    }
    scene.service.stop();
}

#[test]
fn a_batch_is_bounded_whatever_its_entries_name() {
    let bound = 200 << 10;
    let scene = scene_with(ServiceOptions { max_answer_bytes: bound, ..ServiceOptions::default() });
    let prompt = format!(r#"{{{POINT},"output":{{"largest_only":true,"max_bytes":1000000000000}}}}"#);
    let answer = scene.served("segment", "b", &format!(r#""prompts":[{}]"#, vec![prompt; 4].join(",")));
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert!(results.iter().any(|result| result["status"] == "ok"), "{answer}");
    assert!(answer.to_string().len() <= bound + HEAD, "{}", answer.to_string().len());
    let info: Value = serde_json::from_slice(&scene.broker.retained("geosam/edge/info").unwrap()).unwrap();
    assert_eq!(
        (&info["limits"]["max_answer_bytes"], &info["limits"]["answer_bytes"]),
        (&bound.into(), &bound.into())
    );
    scene.service.stop();
}

#[test]
fn a_batch_follows_its_objects_over_so_many_chips_all_together() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let truth: Value = serde_json::from_slice(&fs::read(demo.join("truth.geojson")).unwrap()).unwrap();
    let places: Vec<[f64; 2]> = (truth["features"].as_array().unwrap().iter())
        .map(|feature| serde_json::from_value(feature["properties"]["inside"].clone()).unwrap())
        .collect();
    let ends = |at: usize| {
        let all = places.iter().map(|place| place[at]);
        (all.clone().fold(f64::INFINITY, f64::min), all.fold(f64::NEG_INFINITY, f64::max))
    };
    let ((west, east), (south, north)) = (ends(0), ends(1));
    let options = ServiceOptions { batch_chips: 1, models: demo.join("models"), ..ServiceOptions::default() };
    let scene = scene_with_models(tempfile::tempdir().unwrap(), &demo.join("features"), options);
    let prompt = format!(r#""bbox":[{west},{south},{east},{north}],"stitch":true"#);
    let is_cut_off = |result: &Value| result["incomplete_because"].to_string().contains("max_chips");
    let alone = scene.served("segment", "a", &prompt);
    assert_eq!(
        (&alone["status"], is_cut_off(&alone)),
        (&"ok".into(), false),
        "the scene has fewer chips than a prompt may ask"
    );
    let answer = scene.served(
        "segment",
        "b",
        &format!(r#""prompts":[{}]"#, vec![format!("{{{prompt}}}"); 3].join(",")),
    );
    let results = answer["results"].as_array().unwrap();
    assert!(results.len() == 3 && results.iter().all(is_cut_off), "{answer}");
    scene.service.stop();
}

#[test]
fn a_flood_of_requests_at_most_once_is_told_with_how_many_were_dropped_and_whose() {
    let scene = scene();
    let told = || -> Vec<Value> {
        let published = scene.broker.published();
        let events = published.iter().filter(|m| m.topic == "geosam/edge/event/requests_dropped");
        events.map(|m| serde_json::from_slice(&m.payload).unwrap()).collect()
    };
    let mut sent = 0;
    scene.until("the event", || {
        for _ in 0..2000 {
            let request = OutgoingMessage::new("geosam/edge/request/flood/list", r#"{"id":"f"}"#);
            scene.broker.publish(request.at_most_once());
        }
        sent += 2000;
        !told().is_empty()
    });
    let event = &told()[0];
    let count = event["dropped"]["flood"].as_u64().unwrap();
    assert!((1..=sent).contains(&count), "{event}");
    let text = event["message"].as_str().unwrap();
    assert!(text.contains("requests of QoS 0") && text.contains("QoS 1"), "{text}");
    assert_eq!(scene.served("list", "others", r#""preview":false"#)["status"], "ok");
    scene.service.stop();
}

#[test]
fn all_folders_that_are_not_ready_are_named() {
    let (dir, card) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["other", "valley"] {
        fs::create_dir(card.path().join(name)).unwrap();
        fs::write(card.path().join(name).join("manifest.parquet"), "PAR1half").unwrap();
    }
    let scene = scene_on(dir, card.path(), ServiceOptions::default());
    let refused = scene.served("segment", "a", r#""points":[[1,2]]"#);
    assert_eq!(refused["error"]["code"], "FOLDER_NOT_READY");
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("folder other is not ready") && text.contains("folder valley is not ready"),
        "{text}"
    );
    scene.service.stop();
}

#[test]
fn a_card_that_hangs_at_the_start_keeps_nobody_from_being_served() {
    let (dir, card) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manifest = card.path().join("valley/manifest.parquet");
    fs::create_dir(card.path().join("valley")).unwrap();
    let stuck = Stuck::at(&manifest);
    let scene = scene_on(dir, card.path(), ServiceOptions::default());
    let refused = scene.served("segment", "a", r#""points":[[1,2]]"#);
    assert_eq!(refused["error"]["code"], "FOLDER_NOT_READY", "{refused}");
    assert_eq!(scene.served("list", "l", r#""preview":false"#)["status"], "ok");
    // The card answers, though not with a folder.
    stuck.let_go();
    let folder = "geosam/edge/folder/valley";
    scene.until("the folder", || scene.broker.retained(folder).is_some());
    fs::remove_file(&manifest).unwrap();
    scene.service.stop();
}

#[test]
fn a_clear_that_comes_again_does_not_undo_the_add_after_it() {
    let scene = scene();
    let steps = [("add", "a0", true), ("clear", "c", false), ("add", "a1", true)];
    let run = || {
        for (verb, id, prompt) in steps {
            let prompt = if prompt { format!(",{POINT}") } else { String::new() };
            let answer = scene.served(verb, id, &format!(r#""session":"s"{prompt}"#));
            assert_eq!(answer["status"], "ok", "{answer}");
        }
    };
    run();
    // Their acknowledgements were lost, and the broker sends them again.
    run();
    let sessions = scene.served("list", "l", r#""preview":false"#)["sessions"].clone();
    assert_eq!(sessions[0]["prompts"]["foreground"], 1, "{sessions}");
    let payload = r#"{"session":"s"}"#;
    scene.broker.publish(OutgoingMessage::new("geosam/edge/request/c1/clear", payload));
    let refused = || {
        let published = scene.broker.published();
        let answers = published.iter().filter(|m| m.topic == "geosam/edge/response/c1/clear");
        let mut answers = answers.map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap());
        answers.any(|answer| {
            answer["error"]["message"].as_str().is_some_and(|text| text.contains("needs an \"id\""))
        })
    };
    scene.until("the refusal", refused);
    scene.service.stop();
}

#[test]
fn a_chip_that_is_copied_again_in_place_is_read_again() {
    let (dir, card) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(&fixtures().join("folder_sam"), &card.path().join("folder_sam"));
    let scene = scene_on(dir, card.path(), ServiceOptions::default());
    assert_eq!(scene.served("segment", "a", POINT)["status"], "ok");
    let chip = card.path().join("folder_sam/features/chip_000000.pt");
    let whole = fs::read(&chip).unwrap();
    fs::write(&chip, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(scene.served("segment", "b", POINT)["error"]["code"], "CHIP_UNREADABLE");
    fs::write(&chip, &whole).unwrap();
    assert_eq!(scene.served("segment", "c", POINT)["status"], "ok");
    scene.service.stop();
}

#[test]
fn the_end_of_a_thread_ends_the_wait_for_the_end() {
    let scene = scene();
    scene.client.stop(None);
    let error = scene.service.wait().unwrap_err();
    assert!(error.to_string().contains("the thread bus has ended"), "{error}");
}

#[test]
fn a_service_that_is_asked_to_end_ends_well() {
    let scene = scene();
    scene.service.stopper().stop();
    scene.service.wait().unwrap();
    scene.service.stop();
}

#[test]
fn a_state_that_had_to_be_begun_anew_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    fs::write(
        dir.path().join("state/state.redb"),
        "no database at all, but long enough to look at".repeat(200),
    )
    .unwrap();
    let scene = scene_in(dir, ServiceOptions::default());
    let told = || scene.broker.published().iter().any(|m| m.topic == "geosam/edge/event/state_reset");
    scene.until("the event", told);
    scene.service.stop();
}
