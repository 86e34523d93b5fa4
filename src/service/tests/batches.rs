//! A batch is one request and one answer, and holds up nobody else.

use super::layers::{POINT, objects};
use super::*;

/// Prompts enough that the rest of a scene is over before they are.
const MANY: usize = 30;

const INHERITED: &str = r#""folder":"folder_sam","crs":"EPSG:32633","output":{"vectorization":"simplified","tolerance":30,"largest_only":true,"max_bytes":4000000}"#;

fn batch(more: &str) -> String {
    let prompts = [r#"{"points":[[458120,5427215]]}"#; MANY].join(",");
    format!(r#"{{"id":"many",{INHERITED}{more},"prompts":[{prompts}]}}"#)
}

impl Scene {
    fn tell(&self, client: &str, verb: &str, payload: &str) -> DeliveryId {
        let topic = format!("geosam/edge/request/{client}/{verb}");
        match self.broker.publish(OutgoingMessage::new(topic, payload)) {
            Delivery::Taken(id) => id,
            Delivery::NotWanted => panic!("the service has not subscribed"),
        }
    }

    /// Answers on a client's topic, each with its place among all that was published.
    fn heard(&self, client: &str, verb: &str) -> Vec<(usize, Value)> {
        let topic = format!("geosam/edge/response/{client}/{verb}");
        let published = self.broker.published();
        let answers = published.iter().enumerate().filter(|(_, m)| m.topic == topic);
        answers.map(|(at, m)| (at, serde_json::from_slice(&m.payload).unwrap())).collect()
    }

    /// A batch of this client that has begun, since another's prompt was answered after it had come.
    fn with_a_batch_under_way(&self, verb: &str, more: &str) {
        self.tell("c1", verb, &batch(more));
        self.tell("c2", "segment", &format!(r#"{{"id":"one",{POINT}}}"#));
        self.until("the other's answer", || self.heard("c2", "segment").len() == 1);
        assert_eq!(self.heard("c2", "segment")[0].1["status"], "ok");
    }
}

#[test]
fn a_batch_gives_way_to_other_clients_between_its_prompts_and_is_answered_as_one() {
    let scene = scene();
    scene.with_a_batch_under_way("segment", "");
    scene.tell("c3", "list", r#"{"id":"list"}"#);
    scene.until("the batch", || scene.heard("c1", "segment").len() == 1);
    let (at, answer) = scene.heard("c1", "segment").remove(0);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), MANY);
    assert!(results.iter().all(|result| result["status"] == "ok"), "{answer}");
    for (client, verb) in [("c2", "segment"), ("c3", "list")] {
        assert!(scene.heard(client, verb)[0].0 < at, "{client} has waited for the whole batch");
    }
    scene.service.stop();
}

#[test]
fn a_batch_that_runs_is_taken_back_at_its_next_prompt_and_leaves_nothing() {
    for (verb, more) in [("segment", ""), ("save", r#","layer":"ponds""#)] {
        let scene = scene();
        scene.with_a_batch_under_way(verb, more);
        scene.tell("c2", "cancel", r#"{"id":"x","request_id":"many"}"#);
        scene.until("nothing of another's", || scene.heard("c2", "cancel").len() == 1);
        assert_eq!(scene.heard("c2", "cancel")[0].1["cancelled"], 0);
        scene.tell("c1", "cancel", r#"{"id":"x","request_id":"many"}"#);
        scene.until("the batch", || scene.heard("c1", verb).len() == 1);
        assert_eq!(scene.heard("c1", verb)[0].1["error"]["code"], "CANCELLED");
        assert_eq!(scene.heard("c1", "cancel")[0].1["cancelled"], 1);
        if verb == "segment" {
            // It changed nothing, so that the same may be asked again, and its id taken by another.
            for (number, again) in [batch(more), format!(r#"{{"id":"many",{POINT}}}"#)].iter().enumerate() {
                scene.tell("c1", verb, again);
                scene.until("the next of its id", || scene.heard("c1", verb).len() == number + 2);
                assert_eq!(scene.heard("c1", verb)[number + 1].1["status"], "ok");
            }
        }
        let listed = scene.served("list", "l", r#""preview":false"#);
        assert_eq!((&listed["layers"], &listed["sessions"]), (&Value::Array(vec![]), &Value::Array(vec![])));
        assert_eq!(objects(&scene.dir, "ponds"), [] as [&str; 0]);
        assert_eq!(scene.served("save", "after", &format!(r#""layer":"ponds",{POINT}"#))["status"], "ok");
        scene.service.stop();
    }
}

#[test]
fn a_batch_that_was_under_way_at_the_end_is_run_again_and_saves_each_object_once() {
    let scene = scene();
    scene.with_a_batch_under_way("save", r#","layer":"ponds""#);
    scene.service.stop();
    assert_eq!(objects(&scene.dir, "ponds"), [] as [&str; 0], "all at its end, or nothing");
    let scene = scene_in(scene.dir, ServiceOptions::default());
    scene.until("the batch", || scene.heard("c1", "save").len() == 1);
    let (_, answer) = scene.heard("c1", "save").remove(0);
    let saved = answer["results"].as_array().unwrap().iter();
    let saved: Vec<&str> = saved.map(|result| result["saved"]["id"].as_str().unwrap()).collect();
    assert_eq!(saved.len(), MANY);
    assert_eq!(objects(&scene.dir, "ponds"), saved);
    scene.service.stop();
}

/// An object over both chips of the folder.
const WIDE: &str = r#""folder":"folder_sam","crs":"EPSG:32633","bbox":[458000,5427000,458480,5427300],"stitch":true,"output":{"vectorization":"simplified","tolerance":30,"largest_only":true,"max_bytes":4000000}"#;

#[test]
fn an_object_that_is_followed_over_chips_gives_way_between_them_and_is_the_same() {
    let scene = scene();
    let alone = scene.served("segment", "alone", WIDE);
    assert_eq!(alone["chips"].as_array().map(Vec::len), Some(2), "{alone}");
    // The other's request may come too late to be seen between two decodes.
    let gave_way = (0..20).any(|number| {
        let (wide, one) = (format!("w{number}"), format!("o{number}"));
        let told = scene.tell("c1", "segment", &format!(r#"{{"id":"{wide}",{WIDE}}}"#));
        // When the other's comes, this one has begun: it is not the other's turn that is first.
        scene.until("it is on the card", || scene.broker.acknowledged().contains(&told));
        std::thread::sleep(Duration::from_millis(3));
        scene.tell("c2", "segment", &format!(r#"{{"id":"{one}",{POINT}}}"#));
        let place = |client: &str, id: &str| {
            let heard = scene.heard(client, "segment");
            heard.into_iter().find(|(_, answer)| answer["id"] == id)
        };
        scene.until("both", || place("c1", &wide).is_some() && place("c2", &one).is_some());
        let ((at, answer), (other, _)) = (place("c1", &wide).unwrap(), place("c2", &one).unwrap());
        assert_eq!((&answer["result"], &answer["masks"]), (&alone["result"], &alone["masks"]));
        other < at
    });
    assert!(gave_way);
    scene.service.stop();
}

#[test]
fn objects_that_are_being_followed_at_the_end_are_answered_after_the_next_start() {
    let scene = scene();
    scene.tell("c0", "segment", &format!(r#"{{"id":"first",{POINT}}}"#));
    for number in 0..6 {
        let (verb, more) = if number < 3 { ("segment", "") } else { ("add", r#","session":"s""#) };
        scene.tell(&format!("c{number}"), verb, &format!(r#"{{"id":"w",{WIDE}{more}}}"#));
    }
    scene.until("one of them", || !scene.heard("c0", "segment").is_empty());
    scene.service.stop();
    let scene = scene_in(scene.dir, ServiceOptions::default());
    for number in 0..6 {
        let (client, verb) = (format!("c{number}"), if number < 3 { "segment" } else { "add" });
        let answered = || scene.heard(&client, verb).into_iter().find(|(_, answer)| answer["id"] == "w");
        // Some were answered before.
        scene.tell(
            &client,
            verb,
            &match verb {
                "segment" => format!(r#"{{"id":"w",{WIDE}}}"#),
                _ => format!(r#"{{"id":"w",{WIDE},"session":"s"}}"#),
            },
        );
        scene.until("the rest", || answered().is_some());
        assert_eq!(answered().unwrap().1["status"], "ok");
    }
    scene.service.stop();
}

#[test]
fn an_object_that_is_being_followed_is_taken_back_at_once_and_leaves_nothing() {
    let scene = scene();
    let cancelled = (0..20).any(|number| {
        let id = format!("w{number}");
        scene.tell("c1", "save", &format!(r#"{{"id":"{id}",{WIDE},"layer":"ponds"}}"#));
        scene.tell("c2", "segment", &format!(r#"{{"id":"{id}",{POINT}}}"#));
        scene.tell("c1", "cancel", &format!(r#"{{"id":"x{number}","request_id":"{id}"}}"#));
        let answer = || scene.heard("c1", "save").into_iter().map(|(_, a)| a).find(|a| a["id"] == id);
        scene.until("the answer", || answer().is_some());
        answer().unwrap()["error"]["code"] == "CANCELLED"
    });
    assert!(cancelled);
    let saved = scene.heard("c1", "save").into_iter().filter(|(_, answer)| answer["status"] == "ok").count();
    scene.service.stop();
    assert_eq!(objects(&scene.dir, "ponds").len(), saved);
}
