//! Layers that cannot be written for a while. A directory stands in a file's place: not even root writes to it.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::layers::LayerOp;
use crate::store::{Change, Finish, LayerChange, Store, StoreLimits};

/// A prompt inside `folder_sam`.
pub(super) const POINT: &str = r#""folder":"folder_sam","crs":"EPSG:32633","points":[[458120,5427215]]"#;

pub(super) fn path(dir: &TempDir, layer: &str) -> PathBuf {
    dir.path().join("state/layers").join(format!("{layer}.geojsonl"))
}

/// A directory for a service, in which this layer cannot be written.
pub(super) fn blocked(layer: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(path(&dir, layer)).unwrap();
    dir
}

/// The ids of a layer's objects, as they stand in its file; a line that is being written is none yet.
pub(super) fn objects(dir: &TempDir, layer: &str) -> Vec<String> {
    let text = fs::read_to_string(path(dir, layer)).unwrap_or_default();
    let id = |line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(id).collect()
}

impl Scene {
    /// Sends a request, and waits until it is acknowledged and answered.
    pub(super) fn served(&self, verb: &str, id: &str, members: &str) -> Value {
        self.said(verb, id, format!(r#"{{"id":"{id}",{members}}}"#))
    }

    /// The same with a payload as it goes out.
    pub(super) fn said(&self, verb: &str, id: &str, payload: String) -> Value {
        let request = OutgoingMessage::new(format!("geosam/edge/request/c1/{verb}"), payload);
        let Delivery::Taken(delivery) = self.broker.publish(request) else { panic!("not subscribed") };
        let topic = format!("geosam/edge/response/c1/{verb}");
        let answer = || -> Option<Value> {
            let published = self.broker.published();
            let answers = published.iter().filter(|m| m.topic == topic);
            let mut answers = answers.map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap());
            answers.find(|answer| answer["id"] == id)
        };
        self.until(id, || self.broker.acknowledged().contains(&delivery) && answer().is_some());
        answer().unwrap()
    }

    fn save(&self, id: &str, layer: &str) -> Value {
        let added = self.served("add", &format!("add-{id}"), &format!(r#""session":"s",{POINT}"#));
        assert_eq!(added["status"], "ok", "{added}");
        self.served("save", id, &format!(r#""session":"s","layer":"{layer}""#))
    }

    /// Saves an object, and returns its id.
    fn saved(&self, id: &str, layer: &str) -> String {
        let answer = self.save(id, layer);
        answer["saved"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

#[test]
fn a_layer_that_cannot_be_written_holds_up_nothing_but_itself() {
    let scene = scene_in(blocked("ponds"), ServiceOptions::default());
    let pond = scene.saved("1", "ponds");
    let road = scene.saved("2", "roads");
    assert_eq!(objects(&scene.dir, "roads"), [road.as_str()], "a client sees what it has just saved");
    fs::remove_dir(path(&scene.dir, "ponds")).unwrap();
    scene.until("the object", || !objects(&scene.dir, "ponds").is_empty());
    scene.service.stop();
    assert_eq!(objects(&scene.dir, "ponds"), [pond.as_str()]);
}

#[test]
fn an_object_that_a_start_cannot_write_is_written_in_that_run() {
    let scene = scene_in(blocked("ponds"), ServiceOptions::default());
    let pond = scene.saved("1", "ponds");
    scene.service.stop();

    let scene = scene_in(scene.dir, ServiceOptions::default());
    fs::remove_dir(path(&scene.dir, "ponds")).unwrap();
    scene.until("the object", || !objects(&scene.dir, "ponds").is_empty());
    scene.service.stop();

    let scene = scene_in(scene.dir, ServiceOptions::default());
    scene.service.stop();
    assert_eq!(objects(&scene.dir, "ponds"), [pond.as_str()], "once");
}

#[test]
fn what_a_layer_is_owed_is_written_when_the_service_stops() {
    let scene = scene_in(blocked("ponds"), ServiceOptions::default());
    let pond = scene.saved("1", "ponds");
    // The trouble is over, and nobody has tried again yet.
    fs::remove_dir(path(&scene.dir, "ponds")).unwrap();
    scene.service.stop();
    assert_eq!(objects(&scene.dir, "ponds"), [pond.as_str()]);
}

#[test]
fn an_object_taken_back_before_it_could_be_written_does_not_come_after_all() {
    let scene = scene_in(blocked("ponds"), ServiceOptions::default());
    scene.saved("1", "ponds");
    // The trouble is over, and nobody has tried again yet.
    fs::remove_dir(path(&scene.dir, "ponds")).unwrap();
    fs::write(path(&scene.dir, "ponds"), "").unwrap();
    let unsaved = scene.served("unsave", "u", r#""session":"s","layer":"ponds""#);
    assert_eq!(unsaved["status"], "ok", "{unsaved}");
    let kept = scene.saved("2", "ponds");
    scene.service.stop();

    let scene = scene_in(scene.dir, ServiceOptions::default());
    scene.service.stop();
    assert_eq!(objects(&scene.dir, "ponds"), [kept.as_str()]);
}

#[test]
fn saving_is_refused_while_megabytes_wait_for_a_layer() {
    let dir = blocked("ponds");
    let waiting = (0..5).map(|n| {
        let padding = "x".repeat(1 << 20);
        let line = format!(
            r#"{{"type":"Feature","id":"{n}","geometry":null,"properties":{{"padding":"{padding}"}}}}"#
        );
        let op = LayerOp::append("ponds", &n.to_string(), line).unwrap();
        LayerChange { op, client: "c1".to_owned(), session: "s".to_owned() }
    });
    let finish = Finish { layers: waiting.collect(), ..Finish::default() };
    let opened = Store::open(&dir.path().join("state"), StoreLimits::default()).unwrap();
    opened.store.commit(vec![Change::Finish(Box::new(finish))]).unwrap();
    drop(opened);

    let scene = scene_in(dir, ServiceOptions::default());
    let refused = scene.save("1", "roads");
    assert_eq!(refused["error"]["code"], "CARD_ERROR", "{refused}");
    assert_eq!(objects(&scene.dir, "roads"), [] as [&str; 0]);
    fs::remove_dir(path(&scene.dir, "ponds")).unwrap();
    scene.until("the objects", || objects(&scene.dir, "ponds").len() == 5);
    // The session is as it was. They are struck from the journal a little later than they are written.
    let mut round = 1;
    scene.until("room", || {
        round += 1;
        let answer = scene.served("save", &round.to_string(), r#""session":"s","layer":"roads""#);
        answer["status"] == "ok"
    });
    assert_eq!(objects(&scene.dir, "roads").len(), 1);
    scene.service.stop();
}

#[test]
fn a_place_among_the_layers_is_given_back_by_what_came_to_nothing_and_with_the_last_object() {
    let scene = scene_with(ServiceOptions { layers: 1, ..ServiceOptions::default() });
    let nowhere = r#""points":[[1,2]]"#;
    let code = |answer: &Value| answer["error"]["code"].as_str().unwrap_or("ok").to_owned();
    // Neither a save nor a search that came to nothing keeps a place.
    let nothing = scene.served("save", "n1", &format!(r#""layer":"a",{nowhere}"#));
    assert_eq!(code(&nothing), "NO_CHIP_COVERS");
    let nothing = scene.served("save", "n2", &format!(r#""layer":"b","prompts":[{{{nowhere}}}]"#));
    assert_eq!(nothing["results"][0]["error"]["code"], "NO_CHIP_COVERS");
    let search = r#""layer":"c","bbox":[1,2,1.1,2.1],"everything":{"points_per_side":1}"#;
    assert_ne!(code(&scene.served("everything", "n3", search)), "TOO_MANY_LAYERS");
    let saved = |id: &str, layer: &str| scene.served("save", id, &format!(r#""layer":"{layer}",{POINT}"#));
    let pond = saved("1", "ponds")["saved"]["id"].as_str().unwrap().to_owned();
    // Refused before anything is decoded: where no chip is, nobody has looked.
    for (id, members) in [("r1", nowhere.to_owned()), ("r2", format!(r#""prompts":[{{{nowhere}}}]"#))] {
        let refused = scene.served("save", id, &format!(r#""layer":"roads",{members}"#));
        let text = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(code(&refused) == "TOO_MANY_LAYERS" && text.contains("roads cannot be begun"), "{refused}");
    }
    let moved =
        scene.served("update", "u", &format!(r#""layer":"ponds","ids":["{pond}"],"to_layer":"roads""#));
    assert_eq!(code(&moved), "TOO_MANY_LAYERS", "{moved}");
    assert_eq!(code(&scene.served("delete", "d", &format!(r#""layer":"ponds","ids":["{pond}"]"#))), "ok");
    let empty = scene.served("fetch", "f", r#""layer":"ponds""#);
    assert_eq!(empty["total"], 0, "it is there still: {empty}");
    // It lay in the board: the same request, sent again, is looked at anew.
    scene.served("save", "r1", &format!(r#""layer":"roads",{nowhere}"#));
    let answers = || -> Vec<Value> {
        let published = scene.broker.published();
        let saves = published.iter().filter(|m| m.topic == "geosam/edge/response/c1/save");
        let all = saves.map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap());
        all.filter(|answer| answer["id"] == "r1").collect()
    };
    scene.until("its second answer", || answers().len() == 2);
    assert_eq!(code(&answers()[1]), "NO_CHIP_COVERS", "{:?}", answers());
    let road = saved("2", "roads");
    assert_eq!(code(&road), "ok", "{road}");
    let layers = scene.served("list", "l", r#""preview":false"#)["layers"].clone();
    assert_eq!((layers.as_array().unwrap().len(), &layers[0]["name"]), (1, &"roads".into()), "{layers}");
    assert_eq!(code(&scene.served("fetch", "g", r#""layer":"ponds""#)), "UNKNOWN_LAYER");
    scene.service.stop();
}

#[test]
fn a_request_with_an_id_is_done_once_whatever_quality_of_service_it_comes_with() {
    use crate::bus::QoS::{AtLeastOnce, AtMostOnce};
    let scene = scene_with(ServiceOptions::default());
    let payload = format!(r#"{{"id":"s","layer":"ponds",{POINT}}}"#);
    let answers = || {
        let published = scene.broker.published();
        published.iter().filter(|m| m.topic == "geosam/edge/response/c1/save").count()
    };
    for (before, qos) in [AtMostOnce, AtMostOnce, AtLeastOnce, AtMostOnce].into_iter().enumerate() {
        let mut request = OutgoingMessage::new("geosam/edge/request/c1/save", payload.clone());
        request.qos = qos;
        scene.broker.publish(request);
        scene.until("an answer to each", || answers() == before + 1);
    }
    assert_eq!(scene.served("fetch", "f", r#""layer":"ponds""#)["total"], 1);
    scene.service.stop();
}
