//! What cannot be delivered: one message, one client, one broker's limit never costs the others theirs.

use std::collections::BTreeSet;

use super::*;
use crate::bus::memory::OverLimit;
use crate::bus::{Properties, Protocol};
use crate::store::StoreLimits;

const EVENT: &str = "geosam/edge/event/message_quarantined";

fn request(id: &str, properties: Properties) -> OutgoingMessage {
    OutgoingMessage::new(REQUEST, format!(r#"{{"id":"{id}","points":[[1,2]]}}"#)).with(properties)
}

fn reply_to(topic: &str) -> Properties {
    Properties { response_topic: Some(topic.to_owned()), ..Properties::default() }
}

/// A service that answers on any topic below `reply`.
fn generous() -> ServiceOptions {
    ServiceOptions { response_prefixes: vec!["reply".to_owned()], ..ServiceOptions::default() }
}

/// A page of a layer that is this large.
fn page(scene: &Scene, id: &str) {
    let request = format!(r#"{{"id":"{id}","layer":"big","limit":100,"output":{{"max_bytes":100000}}}}"#);
    scene.broker.publish(OutgoingMessage::new("geosam/edge/request/c1/fetch", request));
}

/// A directory with a layer of 100 objects, 300 bytes each.
fn with_a_layer() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let layers = dir.path().join("state/layers");
    std::fs::create_dir_all(&layers).unwrap();
    let text = "x".repeat(240);
    let line = |i| {
        format!(r#"{{"type":"Feature","id":"f{i}","geometry":null,"properties":{{"text":"{text}"}}}}"#) + "\n"
    };
    std::fs::write(layers.join("big.geojsonl"), (0..100).map(line).collect::<String>()).unwrap();
    dir
}

impl Scene {
    /// Waits, and connects again whenever the broker has hung up; says how often.
    fn until_reconnecting(&self, what: &str, mut holds: impl FnMut() -> bool) -> usize {
        let mut connects = 0;
        self.until(what, || {
            if !self.broker.is_connected() {
                connects += 1;
                self.broker.connect(true);
            }
            holds()
        });
        connects
    }

    fn ask_when_subscribed(&self, id: &str) {
        self.until("subscribed", || !self.broker.subscriptions().is_empty());
        self.ask(id);
        self.until("the answer", || self.answered().contains(&id.to_owned()));
    }

    fn payloads(&self, topic: &str) -> Vec<Value> {
        let published = self.broker.published();
        let there = published.iter().filter(|m| m.topic == topic);
        there.map(|m| serde_json::from_slice(&m.payload).unwrap()).collect()
    }
}

#[test]
fn a_message_that_ends_every_connection_is_taken_out_and_all_others_are_answered() {
    let scene = scene_with(generous());
    scene.broker.set_policy_of("reply/#", PublishPolicy::HangUp);
    scene.broker.publish(request("poison", reply_to("reply/c1")));
    for id in ["a", "b", "c"] {
        scene.ask(id);
    }
    let connects = scene.until_reconnecting("all", || {
        let answered = scene.answers();
        ["a", "b", "c"].iter().all(|id| answered.iter().any(|answer| answer["id"] == *id))
            && answered.iter().filter(|answer| answer["id"] == "poison").count() == 1
            && !scene.payloads(EVENT).is_empty()
    });
    assert_eq!(connects, 3);
    let codes: Vec<Value> =
        scene.answers().iter().filter(|a| a["id"] == "poison").map(|a| a["error"]["code"].clone()).collect();
    assert_eq!(codes, ["NO_CHIP_COVERS"], "an error is not replaced; the plain topic has it");
    scene.service.stop();
}

#[test]
fn an_answer_that_ends_every_connection_is_replaced_by_an_error_on_the_plain_topic() {
    let scene = scene_in(with_a_layer(), generous());
    scene.broker.set_policy_of("reply/#", PublishPolicy::HangUp);
    let fetch = OutgoingMessage::new("geosam/edge/request/c1/fetch", r#"{"id":"p","layer":"big","limit":3}"#);
    scene.broker.publish(fetch.with(reply_to("reply/c1")));
    let plain = "geosam/edge/response/c1/fetch";
    let code = || scene.payloads(plain).iter().any(|answer| answer["error"]["code"] == "UNDELIVERABLE");
    let connects = scene.until_reconnecting("the error", code);
    assert_eq!(connects, 3);
    scene.until("the event", || !scene.payloads(EVENT).is_empty());
    assert!(scene.payloads(EVENT)[0]["message"].as_str().unwrap().contains("reply/c1"));
    scene.ask("after");
    scene.until("others", || scene.answered() == ["after"]);
    assert!(scene.broker.is_connected());
    scene.service.stop();
}

#[test]
fn a_message_that_ends_connections_is_gone_after_a_restart_too() {
    let scene = scene_in(with_a_layer(), generous());
    scene.broker.set_policy_of("reply/#", PublishPolicy::HangUp);
    let fetch = OutgoingMessage::new("geosam/edge/request/c1/fetch", r#"{"id":"p","layer":"big","limit":3}"#);
    scene.broker.publish(fetch.with(reply_to("reply/c1")));
    let plain = "geosam/edge/response/c1/fetch";
    scene.until_reconnecting("the error", || {
        scene.payloads(plain).iter().any(|answer| answer["error"]["code"] == "UNDELIVERABLE")
    });
    std::thread::sleep(Duration::from_millis(700));
    scene.service.stop();
    let scene = scene_in(scene.dir, generous());
    scene.broker.set_policy_of("reply/#", PublishPolicy::HangUp);
    scene.ask("after");
    scene.until("others", || scene.answered() == ["after"]);
    assert!(scene.broker.is_connected(), "it is not sent again");
    scene.service.stop();
}

#[test]
fn what_the_service_tells_of_itself_and_the_broker_hangs_up_on_is_left_out() {
    let scene = offline_scene(tempfile::tempdir().unwrap(), ServiceOptions::default());
    scene.broker.set_policy_of("geosam/edge/folder/#", PublishPolicy::HangUp);
    let online = || scene.broker.retained("geosam/edge/state").as_deref() == Some(b"online");
    scene.until_reconnecting("online", online);
    scene.ask("a");
    scene.until("the answer", || scene.answered() == ["a"]);
    scene.service.stop();
}

#[test]
fn an_answer_over_a_limit_is_too_large_however_the_broker_keeps_it() {
    for over in [OverLimit::Announced, OverLimit::Refuse] {
        let scene = offline_scene(with_a_layer(), ServiceOptions::default());
        scene.broker.set_packet_limit(Some((8000, over)));
        scene.broker.connect(true);
        scene.until("online", || scene.broker.retained("geosam/edge/state").is_some());
        for id in ["1", "2"] {
            page(&scene, id);
            let plain = "geosam/edge/response/c1/fetch";
            scene.until("the error", || scene.payloads(plain).iter().any(|answer| answer["id"] == id));
            let answers = scene.payloads(plain);
            assert!(
                answers.iter().all(|answer| answer["error"]["code"] == "TOO_LARGE"),
                "{over:?} {answers:?}"
            );
        }
        scene.ask("b");
        scene.until("others", || scene.answered() == ["b"]);
        assert!(scene.broker.is_connected());
        scene.service.stop();
    }
}

#[test]
fn a_limit_that_the_broker_hangs_up_on_is_found_out_and_told_and_costs_no_further_connection() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let scene = offline_scene(with_a_layer(), ServiceOptions::default());
        scene.broker.set_protocol(protocol);
        scene.broker.set_packet_limit(Some((8000, OverLimit::HangUp)));
        scene.broker.connect(true);
        scene.until("online", || scene.broker.retained("geosam/edge/state").is_some());
        page(&scene, "1");
        scene.ask("b");
        let plain = "geosam/edge/response/c1/fetch";
        let connects = scene.until_reconnecting("the error", || {
            !scene.payloads(plain).is_empty() && scene.answered() == ["b"]
        });
        assert!((1..=3).contains(&connects), "{protocol}: {connects}");
        assert_eq!(scene.payloads(plain)[0]["error"]["code"], "TOO_LARGE", "{protocol}");
        let info = || scene.payloads("geosam/edge/info").pop().unwrap()["limits"]["packet_bytes"].clone();
        scene.until_reconnecting("it is told", || info().as_u64().is_some_and(|bytes| bytes >= 8000));
        page(&scene, "2");
        scene.until("the error", || scene.payloads(plain).len() == 2);
        assert!(scene.broker.is_connected());
        assert_eq!(scene.payloads(plain)[1]["error"]["code"], "TOO_LARGE", "{protocol}");
        scene.service.stop();
    }
}

#[test]
fn a_limit_over_which_a_broker_of_3_1_1_throws_away_what_it_acknowledges_is_found_out() {
    for over in [OverLimit::Swallow, OverLimit::SwallowAndHangUp] {
        let scene = offline_scene(with_a_layer(), ServiceOptions::default());
        scene.broker.set_protocol(Protocol::V311);
        scene.broker.set_packet_limit(Some((8000, over)));
        scene.broker.connect(true);
        scene.until("online", || scene.broker.retained("geosam/edge/state").is_some());
        page(&scene, "1");
        scene.ask("b");
        let plain = "geosam/edge/response/c1/fetch";
        let connects = scene.until_reconnecting("the error", || {
            !scene.payloads(plain).is_empty() && scene.answered() == ["b"]
        });
        assert!(connects <= 3, "{over:?}: {connects}");
        assert_eq!(scene.payloads(plain)[0]["error"]["code"], "TOO_LARGE");
        scene.service.stop();
    }
}

#[test]
fn a_board_that_nothing_reaches_any_more_finds_out_and_connects_anew() {
    let self_test_interval = Duration::from_millis(300);
    let health_interval = Duration::from_millis(50);
    let scene =
        scene_with(ServiceOptions { self_test_interval, health_interval, ..ServiceOptions::default() });
    let way_in =
        || scene.payloads("geosam/edge/health").pop().map(|health| health["broker"]["way_in"].clone());
    scene.until("open", || way_in().is_some_and(|way| way == "open"));
    scene.broker.set_deaf(true);
    scene.until("a new connection", || !scene.broker.is_connected());
    scene.broker.set_deaf(false);
    scene.broker.connect(true);
    scene.until("the event", || !scene.payloads("geosam/edge/event/way_in_closed").is_empty());
    scene.ask("a");
    scene.until("the answer", || scene.answered() == ["a"]);
    scene.until("open again", || way_in().is_some_and(|way| way == "open"));
    scene.service.stop();
}

#[test]
fn a_broker_that_has_lost_our_session_is_told_and_a_first_connection_is_not() {
    let event = "geosam/edge/event/session_lost";
    let scene = offline_scene(tempfile::tempdir().unwrap(), ServiceOptions::default());
    scene.broker.connect(false);
    scene.ask_when_subscribed("a");
    assert!(scene.payloads(event).is_empty(), "it never had one");
    scene.broker.disconnect("a test");
    scene.broker.connect(false);
    scene.until("the event", || scene.payloads(event).len() == 1);
    scene.service.stop();

    // Board and broker lose their power together.
    let scene = offline_scene(scene.dir, ServiceOptions::default());
    scene.broker.connect(false);
    scene.until("the event", || scene.payloads(event).len() == 1);
    scene.service.stop();
}

#[test]
fn an_answer_larger_than_the_outbox_is_answered_as_too_large() {
    let store = StoreLimits { outbox_bytes: 16 << 10, ..StoreLimits::default() };
    let scene = scene_in(with_a_layer(), ServiceOptions { store, ..ServiceOptions::default() });
    page(&scene, "1");
    let plain = "geosam/edge/response/c1/fetch";
    scene.until("the error", || !scene.payloads(plain).is_empty());
    assert_eq!(scene.payloads(plain)[0]["error"]["code"], "TOO_LARGE");
    // And so is the stored answer, when the same request comes again.
    page(&scene, "1");
    scene.until("the same", || scene.payloads(plain).len() == 2);
    assert_eq!(scene.payloads(plain)[1]["error"]["code"], "TOO_LARGE");
    scene.service.stop();
}

#[test]
fn requests_wait_while_answers_leave_more_slowly_than_they_are_made_and_none_is_dropped() {
    // Some thirty pages fill it, eight a quarter of it.
    let store = StoreLimits { outbox_bytes: 1 << 20, ..StoreLimits::default() };
    let scene = scene_in(with_a_layer(), ServiceOptions { store, ..ServiceOptions::default() });
    let plain = "geosam/edge/response/c1/fetch";
    scene.broker.set_policy_of(plain, PublishPolicy::Hold);
    let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    ids.iter().for_each(|id| page(&scene, id));
    let answers = || scene.payloads(plain).len();
    scene.until("the first answers", || answers() >= 8);
    std::thread::sleep(Duration::from_millis(500));
    assert!(answers() < 25, "{} are on their way", answers());
    scene.until("all answers", || {
        scene.broker.release(4);
        answers() == ids.len()
    });
    let mut answered: Vec<String> =
        scene.payloads(plain).iter().map(|answer| answer["id"].as_str().unwrap().to_owned()).collect();
    answered.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(answered, ids);
    assert!(scene.payloads("geosam/edge/event/outbox_full").is_empty());
    scene.service.stop();
}

#[test]
fn requests_wait_while_the_broker_is_away_and_large_answers_push_out_nobody_elses() {
    // Some thirty pages fill it.
    let store = StoreLimits { outbox_bytes: 1 << 20, ..StoreLimits::default() };
    let options = || ServiceOptions { store, ..ServiceOptions::default() };
    let scene = scene_in(with_a_layer(), options());
    for (client, verb) in [("c1", "fetch"), ("c2", "list")] {
        scene.broker.set_policy_of(&format!("geosam/edge/response/{client}/{verb}"), PublishPolicy::Hold);
    }
    let each = 60;
    for id in 0..each {
        page(&scene, &id.to_string());
        let list = OutgoingMessage::new("geosam/edge/request/c2/list", format!(r#"{{"id":"{id}"}}"#));
        assert!(matches!(scene.broker.publish(list), Delivery::Taken(_)));
    }
    scene.until("all are on the card", || scene.broker.acknowledged().len() >= 2 * each);
    scene.service.stop();

    // They are gone on with while nobody is there.
    let scene = offline_scene(scene.dir, options());
    std::thread::sleep(Duration::from_secs(2));
    scene.broker.connect(true);
    let distinct = |client: &str, verb: &str| {
        let answers = scene.payloads(&format!("geosam/edge/response/{client}/{verb}"));
        answers.iter().map(|answer| answer["id"].to_string()).collect::<BTreeSet<_>>().len()
    };
    scene.until("all answers", || distinct("c1", "fetch") == each && distinct("c2", "list") == each);
    assert!(scene.payloads("geosam/edge/event/outbox_full").is_empty());
    scene.service.stop();
}

#[test]
fn more_messages_at_once_than_the_outbox_holds_are_dropped_counted_and_told_and_nothing_else_is_lost() {
    // An object is told by some 600 bytes, and 40 of them do not fit.
    let store = StoreLimits { outbox_bytes: 24 << 10, ..StoreLimits::default() };
    let scene = scene_with(ServiceOptions { store, ..ServiceOptions::default() });
    let prompts = [r#"{"points":[[458120,5427215]]}"#; 40].join(",");
    let output = r#"{"vectorization":"simplified","tolerance":30,"largest_only":true}"#;
    let batch = format!(
        r#"{{"id":"all","folder":"folder_sam","crs":"EPSG:32633","layer":"ponds","output":{output},"prompts":[{prompts}]}}"#
    );
    let ask = || {
        scene.broker.publish(OutgoingMessage::new("geosam/edge/request/c1/save", batch.clone()));
    };
    ask();
    scene.until("the event", || !scene.payloads("geosam/edge/event/outbox_full").is_empty());
    let event = scene.payloads("geosam/edge/event/outbox_full").remove(0);
    assert!(event["dropped"]["saved"].as_u64() > Some(0), "{event}");
    // Answers go before these. This one is kept, and given when the request comes again.
    ask();
    scene.until("the answer", || !scene.payloads("geosam/edge/response/c1/save").is_empty());
    let lines =
        || std::fs::read_to_string(scene.dir.path().join("state/layers/ponds.geojsonl")).unwrap_or_default();
    scene.until("all objects", || lines().lines().count() == 40);
    scene.service.stop();
}

#[test]
fn an_error_that_does_not_fit_either_is_not_replaced_for_ever() {
    let scene = offline_scene(with_a_layer(), ServiceOptions::default());
    scene.broker.set_packet_limit(Some((150, OverLimit::Announced)));
    scene.broker.connect(true);
    scene.until("online", || scene.broker.retained("geosam/edge/state").is_some());
    page(&scene, "1");
    let syncs = || {
        let health = scene.broker.published();
        health.iter().filter(|m| m.topic.ends_with("/response/c1/fetch")).count()
    };
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(syncs(), 0);
    let published = scene.broker.published().len();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(scene.broker.published().len(), published, "nothing goes on");
    scene.service.stop();
}

#[test]
fn a_response_topic_or_correlation_data_that_no_answer_could_carry_are_refused_on_the_plain_topic() {
    let scene = scene_with(generous());
    let long = "reply/".to_owned() + &"x".repeat(300);
    let deep = "reply".to_owned() + &"/a".repeat(40);
    let topics = [long.as_str(), deep.as_str(), "reply//a", "reply/\u{7}", "$SYS/a"];
    for (i, topic) in topics.iter().enumerate() {
        scene.broker.publish(request(&i.to_string(), reply_to(topic)));
    }
    let correlated =
        |bytes| Properties { correlation_data: Some(vec![b'x'; bytes]), ..Properties::default() };
    scene.broker.publish(request("long", correlated(257)));
    scene.broker.publish(request("fits", correlated(256)));
    scene.until("answers", || scene.answers().len() == topics.len() + 2);
    for answer in scene.answers() {
        let expected = if answer["id"] == "fits" { "NO_CHIP_COVERS" } else { "BAD_REQUEST" };
        assert_eq!(answer["error"]["code"], expected, "{answer}");
    }
    let published = scene.broker.published();
    let carried = published.iter().filter_map(|m| m.properties.correlation_data.as_ref()).map(Vec::len);
    assert_eq!(carried.collect::<Vec<_>>(), [256]);
    scene.service.stop();
}

#[test]
fn a_request_at_most_once_gets_its_answer_at_most_once_and_others_theirs_at_least_once() {
    let scene = scene();
    let ask = |id: &str| scene.broker.publish(request(id, Properties::default()).at_most_once());
    // Answers of a size that the broker has not been seen to take are sent so that we hear of it.
    scene.ask("0");
    scene.until("the first", || scene.answered() == ["0"]);
    std::thread::sleep(Duration::from_millis(100));
    ask("1");
    scene.until("the second", || scene.answered() == ["0", "1"]);
    let published = scene.broker.published();
    let qos: Vec<_> = published.iter().filter(|m| m.topic == RESPONSE).map(|m| m.qos).collect();
    assert_eq!(qos, [crate::bus::QoS::AtLeastOnce, crate::bus::QoS::AtMostOnce]);
    scene.service.stop();
}
