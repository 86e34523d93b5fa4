//! The service on a bus without a network: duplicates, lost acknowledgements, reconnects. Only the
//! requests in `layers` need a decoder.

mod batches;
mod delivery;
mod documented;
mod growing;
mod hostile;
mod layers;
mod refining;
mod saving;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Service, ServiceOptions};
use crate::bus::memory::{Delivery, DeliveryId, MemoryBroker, PublishPolicy, bus};
use crate::bus::{BusClient as _, BusHandle, OutgoingMessage};

const REQUEST: &str = "geosam/edge/request/c1/segment";
const RESPONSE: &str = "geosam/edge/response/c1/segment";

struct Scene {
    service: Service,
    client: BusHandle,
    broker: MemoryBroker,
    dir: TempDir,
}

fn scene() -> Scene {
    scene_with(ServiceOptions::default())
}

/// A scene with bounds of its own; directories are the scene's.
fn scene_with(options: ServiceOptions) -> Scene {
    scene_in(tempfile::tempdir().unwrap(), options)
}

/// A scene on the state that an earlier one has left.
fn scene_in(dir: TempDir, options: ServiceOptions) -> Scene {
    scene_on(dir, &fixtures().join("folder_sam"), options)
}

/// A scene with a card of its own.
fn scene_on(dir: TempDir, card: &Path, options: ServiceOptions) -> Scene {
    let scene = offline_scene_on(dir, card, options);
    scene.broker.connect(true);
    scene.until("online", || scene.broker.retained("geosam/edge/state").as_deref() == Some(b"online"));
    scene
}

/// A service that has no connection yet.
fn offline_scene(dir: TempDir, options: ServiceOptions) -> Scene {
    offline_scene_on(dir, &fixtures().join("folder_sam"), options)
}

fn offline_scene_on(dir: TempDir, card: &Path, options: ServiceOptions) -> Scene {
    offline_scene_with_models(dir, card, ServiceOptions { models: fixtures().join("models"), ..options })
}

/// A scene with a card and models of its own.
fn scene_with_models(dir: TempDir, card: &Path, options: ServiceOptions) -> Scene {
    let scene = offline_scene_with_models(dir, card, options);
    scene.broker.connect(true);
    scene.until("online", || scene.broker.retained("geosam/edge/state").as_deref() == Some(b"online"));
    scene
}

fn offline_scene_with_models(dir: TempDir, card: &Path, options: ServiceOptions) -> Scene {
    let options =
        ServiceOptions { features: vec![card.to_owned()], state: dir.path().join("state"), ..options };
    let (client, events, broker) = bus(None);
    let service = Service::start(options, client.clone(), events).unwrap();
    Scene { service, client, broker, dir }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            std::fs::copy(entry, to).unwrap();
        }
    }
}

impl Scene {
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        // An emulated processor decodes for half a minute.
        let emulated = std::env::var_os("GEOSAM_TEST_RUNNER").is_some();
        let patience = Duration::from_secs(if emulated { 200 } else { 20 });
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < patience, "{what}: {:?}", self.broker.published());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&self, id: &str) -> DeliveryId {
        let payload = format!(r#"{{"id":"{id}","points":[[1,2]]}}"#);
        match self.broker.publish(OutgoingMessage::new(REQUEST, payload)) {
            Delivery::Taken(id) => id,
            Delivery::NotWanted => panic!("the service has not subscribed"),
        }
    }

    fn answers(&self) -> Vec<Value> {
        let published = self.broker.published();
        let answers = published.iter().filter(|m| m.topic == RESPONSE);
        answers.map(|m| serde_json::from_slice(&m.payload).unwrap()).collect()
    }

    /// The ids that were answered, in order.
    fn answered(&self) -> Vec<String> {
        self.answers().iter().map(|answer| answer["id"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn requests_are_acknowledged_in_order_and_answered_once() {
    let scene = scene();
    let ids: Vec<DeliveryId> = (0..20).map(|i| scene.ask(&i.to_string())).collect();
    scene.until("answers", || scene.answered().len() == 20);
    let order: Vec<DeliveryId> =
        scene.broker.acknowledged().into_iter().filter(|id| ids.contains(id)).collect();
    assert_eq!(order, ids);
    scene.service.stop();
    assert_eq!(scene.broker.retained("geosam/edge/state").as_deref(), Some(&b"offline"[..]));
}

#[test]
fn an_answer_whose_acknowledgement_is_lost_is_sent_again_on_the_next_connection() {
    let scene = scene();
    scene.broker.set_policy(PublishPolicy::LoseAck);
    scene.ask("a");
    scene.until("the answer", || scene.answered() == ["a"]);
    scene.broker.disconnect("a test");
    scene.broker.set_policy(PublishPolicy::Accept);
    scene.broker.connect(true);
    scene.until("the answer again", || scene.answered() == ["a", "a"]);
    // Acknowledged now: not a third time.
    std::thread::sleep(Duration::from_millis(700));
    scene.broker.disconnect("a test");
    scene.broker.connect(true);
    scene.ask("b");
    scene.until("the next", || scene.answered() == ["a", "a", "b"]);
    scene.service.stop();
}

#[test]
fn an_answer_that_the_broker_cannot_take_now_is_sent_again_on_the_same_connection() {
    let scene = scene();
    scene.broker.set_policy(PublishPolicy::Defer("QuotaExceeded".to_owned()));
    let id = scene.ask("a");
    scene.until("the acknowledgement", || scene.broker.acknowledged().contains(&id));
    // Long enough for the answer to have been refused.
    std::thread::sleep(Duration::from_millis(700));
    assert!(scene.answered().is_empty());
    scene.broker.set_policy(PublishPolicy::Accept);
    scene.until("the answer", || scene.answered() == ["a"]);
    scene.service.stop();
}

#[test]
fn a_request_that_comes_again_gets_the_answer_that_it_got() {
    let scene = scene();
    scene.ask("a");
    scene.until("the answer", || scene.answered().len() == 1);
    scene.ask("a");
    scene.until("the stored answer", || scene.answered().len() == 2);
    let published = scene.broker.published();
    let answers: Vec<_> = published.iter().filter(|m| m.topic == RESPONSE).map(|m| &m.payload).collect();
    assert_eq!(answers[0], answers[1]);
    scene.service.stop();
}

#[test]
fn an_answer_lost_on_the_way_comes_after_the_broker_has_lost_its_session_too() {
    let scene = scene();
    scene.broker.set_policy(PublishPolicy::LoseMessage);
    let id = scene.ask("a");
    scene.until("the acknowledgement", || scene.broker.acknowledged().contains(&id));
    scene.broker.disconnect("a test");
    scene.broker.set_policy(PublishPolicy::Accept);
    scene.broker.connect(false);
    scene.until("the answer", || scene.answered() == ["a"]);
    scene.service.stop();
}

#[test]
fn a_pending_request_that_comes_again_to_a_full_queue_is_not_busy() {
    // Nobody works: the queue stays full.
    let idle = ServiceOptions { queue: 1, workers: 0, ..ServiceOptions::default() };
    let scene = scene_with(idle);
    let pending = scene.ask("a");
    scene.until("it is durable", || scene.broker.acknowledged().contains(&pending));
    scene.ask("b");
    scene.until("the refusal", || scene.answered() == ["b"]);
    assert_eq!(scene.answers()[0]["error"]["code"], "BUSY");
    let again = scene.ask("a");
    scene.until("the acknowledgement", || scene.broker.acknowledged().contains(&again));
    // Both of a pair that came while we were away, in one breath.
    scene.broker.disconnect("a test");
    let pair = [scene.ask("a"), scene.ask("a")];
    scene.broker.connect(true);
    scene.until("the pair", || pair.iter().all(|id| scene.broker.acknowledged().contains(id)));
    assert_eq!(scene.answered(), ["b"]);
    scene.service.stop();

    let scene = scene_in(scene.dir, ServiceOptions::default());
    scene.until("the answer", || scene.answered() == ["a"]);
    assert_eq!(scene.answers()[0]["error"]["code"], "NO_CHIP_COVERS");
    scene.service.stop();
}

#[test]
fn a_request_that_comes_twice_in_one_breath_takes_one_place_in_the_queue() {
    let scene = scene_with(ServiceOptions { queue: 1, workers: 0, ..ServiceOptions::default() });
    scene.broker.disconnect("a test");
    let pair = [scene.ask("a"), scene.ask("a")];
    scene.broker.connect(true);
    scene.until("the pair", || pair.iter().all(|id| scene.broker.acknowledged().contains(id)));
    assert_eq!(scene.answered(), [] as [&str; 0]);
    scene.service.stop();
}

#[test]
fn a_board_that_requests_cannot_reach_is_not_online() {
    let scene = offline_scene(tempfile::tempdir().unwrap(), ServiceOptions::default());
    scene.broker.refuse_subscription("geosam/edge/request/#");
    scene.broker.connect(true);
    let folder = "geosam/edge/folder/folder_sam";
    scene.until("the folder", || scene.broker.retained(folder).is_some());
    scene.service.stop();
    let told = scene.broker.published().into_iter().filter(|m| m.topic == "geosam/edge/state");
    assert!(!told.into_iter().any(|m| m.payload == b"online"));
}

#[test]
fn cancel_takes_back_all_that_its_client_has_waiting_and_nothing_of_others() {
    let scene = scene_with(ServiceOptions { workers: 0, ..ServiceOptions::default() });
    let other = OutgoingMessage::new("geosam/edge/request/c2/segment", r#"{"id":"x","points":[[1,2]]}"#);
    scene.broker.publish(other);
    for id in ["a", "b", "c"] {
        scene.ask(id);
    }
    let cancel = |payload: &str| {
        scene.broker.publish(OutgoingMessage::new("geosam/edge/request/c1/cancel", payload));
    };
    cancel(r#"{"id":"one","request_id":"b"}"#);
    scene.until("one", || scene.answered() == ["b"]);
    cancel(r#"{"id":"all"}"#);
    scene.until("all", || scene.answered() == ["b", "a", "c"]);
    assert!(scene.answers().iter().all(|answer| answer["error"]["code"] == "CANCELLED"));
    let published = || scene.broker.published().into_iter();
    let told = || published().filter(|m| m.topic == "geosam/edge/response/c1/cancel").count();
    scene.until("how many", || told() == 2);
    let counts: Vec<Value> = published()
        .filter(|m| m.topic == "geosam/edge/response/c1/cancel")
        .map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap()["cancelled"].clone())
        .collect();
    assert_eq!(counts, [1, 2]);
    assert!(!published().any(|m| m.topic == "geosam/edge/response/c2/segment"));
    scene.service.stop();
}
