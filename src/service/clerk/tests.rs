//! The clerk without its thread, on a store whose card fails when the test says so.

mod card;
mod model;

use tempfile::TempDir;

use super::*;
use crate::bus::memory::{Delivery, MemoryBroker, bus};
use crate::bus::{
    BusConnection as _, BusEvents, BusHandle, IncomingMessage, OutgoingMessage, Properties, QoS,
};
use crate::engine::{Engine, EngineChoice, EngineOptions};
use crate::layers::LayerOp;
use crate::service::ServiceOptions;
use crate::service::office::furnish;
use crate::service::queue::Turn;
use crate::service::watcher::Watcher;
use crate::session::{Session, SessionKey, SessionLimits};
use crate::store::LayerChange;

struct Office {
    clerk: Clerk<BusHandle>,
    events: BusEvents,
    broker: MemoryBroker,
    dir: TempDir,
}

fn office() -> Office {
    office_with(ServiceOptions::default())
}

fn office_with(options: ServiceOptions) -> Office {
    office_in(tempfile::tempdir().unwrap(), options)
}

fn office_in(dir: TempDir, options: ServiceOptions) -> Office {
    let (client, events, broker) = bus(None);
    let options = ServiceOptions { state: dir.path().join("state"), ..options };
    let engine = EngineOptions {
        models: dir.path().join("models"),
        engine: EngineChoice::Auto,
        threads: 1,
        cache_bytes: 1 << 20,
    };
    let furnished = furnish(&options, client, |_| Ok(Arc::new(Engine::open(&engine).unwrap()))).unwrap();
    Office { clerk: furnished.clerk, events, broker, dir }
}

impl Office {
    fn ask(&mut self, id: &str) {
        self.say("segment", &format!(r#"{{"id":"{id}","points":[[1,2]]}}"#), QoS::AtLeastOnce);
    }

    /// What the bus has to say.
    fn hear(&mut self) {
        while let Ok(Some(event)) = self.events.next_event(Some(Duration::ZERO)) {
            self.clerk.bus_event(event);
        }
    }

    fn say(&mut self, verb: &str, payload: &str, qos: QoS) {
        self.clerk.bus_event(BusEvent::Message(IncomingMessage {
            topic: format!("geosam/edge/request/c1/{verb}"),
            payload: payload.as_bytes().to_vec(),
            cut_from: None,
            qos,
            retain: false,
            dup: false,
            properties: Properties::default(),
            ack: None,
        }));
    }

    /// The places of the requests on the queue, in order.
    fn to_run(&self) -> Vec<u64> {
        let next = || match self.clerk.queue.next(Duration::ZERO) {
            Turn::Run(job) => job.seq,
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn waiting(&self) -> Vec<u64> {
        self.clerk.context.store.inbox().unwrap().iter().map(|request| request.seq).collect()
    }

    fn stage_save(&mut self, inbox: Option<u64>) {
        let line = r#"{"type":"Feature","id":"f","geometry":null,"properties":{}}"#;
        let op = LayerOp::append("ponds", "f", line.to_owned()).unwrap();
        let layers = vec![LayerChange { op, client: "c1".to_owned(), session: "s".to_owned() }];
        let finish = Finish { inbox, layers, ..Finish::default() };
        self.clerk.staged.push((Change::Finish(Box::new(finish)), Then::Nothing));
    }

    fn layer(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("state/layers/ponds.geojsonl")).unwrap_or_default()
    }

    /// A commit that fails, although its batch is on the card.
    fn fail_after_writing(&mut self) {
        self.clerk.context.store.fail_syncs(true);
        self.clerk.settle();
        self.clerk.context.store.fail_syncs(false);
        assert!(self.clerk.deadlines.is_failing(), "it failed, and is tried again");
        self.clerk.deadlines.commit_begins();
    }
}

#[test]
fn a_request_that_is_on_the_card_though_its_commit_failed_is_run_once() {
    let mut office = office();
    office.ask("a");
    office.clerk.settle();
    office.ask("b");
    office.ask("c");
    office.fail_after_writing();
    // It comes again meanwhile, and so does one that is on the queue already.
    office.ask("b");
    office.ask("a");
    office.clerk.settle();
    let waiting = office.waiting();
    assert_eq!(waiting.len(), 3);
    assert_eq!(office.to_run(), waiting);
    office.ask("c");
    office.clerk.settle();
    assert_eq!(office.to_run(), [] as [u64; 0]);
}

#[test]
fn a_saved_object_that_is_on_the_card_though_its_commit_failed_comes_into_its_layer() {
    let mut office = office();
    office.ask("a");
    office.clerk.settle();
    let [place] = office.waiting()[..] else { panic!("{:?}", office.waiting()) };
    office.stage_save(Some(place));
    office.fail_after_writing();
    assert_eq!(office.layer(), "");
    office.clerk.settle();
    assert_eq!(office.layer().lines().count(), 1);
}

#[test]
fn what_is_in_its_layer_is_struck_from_the_journal_without_another_request() {
    let mut office = office();
    office.stage_save(None);
    office.clerk.settle();
    assert_eq!((office.layer().lines().count(), office.clerk.context.store.depths().journal), (1, 1));
    std::thread::sleep(deadlines::LINGER + Duration::from_millis(50));
    office.clerk.settle();
    assert_eq!(office.clerk.context.store.depths().journal, 0);
}

#[test]
fn what_a_start_finds_in_its_layer_is_struck_from_the_journal_without_another_request() {
    let mut office = office();
    office.stage_save(None);
    office.clerk.settle();
    let Office { clerk, dir, .. } = office;
    assert_eq!(clerk.context.store.depths().journal, 1);
    // Killed before that was struck.
    drop(clerk);
    let mut office = office_in(dir, ServiceOptions::default());
    std::thread::sleep(deadlines::LINGER + Duration::from_millis(50));
    office.clerk.settle();
    assert_eq!((office.layer().lines().count(), office.clerk.context.store.depths().journal), (1, 0));
}

#[test]
fn waiting_for_a_card_that_fails_is_no_busy_loop() {
    let mut office = office();
    office.ask("a");
    office.clerk.context.store.fail_syncs(true);
    office.clerk.settle();
    // Something delivered waits to be taken out, for longer than it should.
    let now = Instant::now();
    office.clerk.deadlines.linger(now.checked_sub(2 * deadlines::LINGER).unwrap_or(now));
    office.clerk.deadlines.take_health(now, Duration::from_secs(60));
    assert!(office.clerk.patience() > Duration::from_millis(100));
    office.clerk.context.store.fail_syncs(false);
}

#[test]
fn a_request_is_not_acknowledged_before_it_is_on_the_card() {
    let mut office = office();
    office.broker.connect(true);
    office.hear();
    office.clerk.context.store.fail_syncs(true);
    let request = OutgoingMessage::new("geosam/edge/request/c1/segment", r#"{"id":"a","points":[[1,2]]}"#);
    let Delivery::Taken(delivery) = office.broker.publish(request) else { panic!("not subscribed") };
    office.hear();
    office.clerk.settle();
    assert!(office.clerk.deadlines.is_failing());
    assert!(!office.broker.acknowledged().contains(&delivery));
    assert_eq!(office.to_run(), [] as [u64; 0], "nor is it run");
    office.clerk.context.store.fail_syncs(false);
    office.clerk.deadlines.commit_begins();
    office.clerk.settle();
    assert!(office.broker.acknowledged().contains(&delivery));
    assert_eq!(office.to_run().len(), 1);
}

#[test]
fn a_request_without_an_id_that_is_on_the_card_though_its_commit_failed_is_run_once() {
    let mut office = office();
    office.say("segment", r#"{"points":[[1,2]]}"#, QoS::AtLeastOnce);
    office.fail_after_writing();
    office.clerk.settle();
    let waiting = office.waiting();
    assert_eq!(waiting.len(), 1);
    assert_eq!(office.to_run(), waiting);
    // The same again is another one: it has no id to be known by.
    office.say("segment", r#"{"points":[[1,2]]}"#, QoS::AtLeastOnce);
    office.clerk.settle();
    assert_eq!((office.waiting().len(), office.to_run().len()), (2, 1));
}

#[test]
fn what_would_fill_the_memory_while_the_card_is_full_is_refused_or_held() {
    let mut office = office();
    office.broker.connect(true);
    office.hear();
    office.ask("a");
    office.clerk.settle();
    office.clerk.context.store.fail_syncs(true);
    office.ask("b");
    office.clerk.settle();
    let held = office.clerk.staged.len();
    assert_eq!(office.to_run(), [] as [u64; 0], "what is durable waits on the queue, with its bounds");
    let add = |n: usize| format!(r#"{{"id":"{n}","session":"s{n}","points":[[1,2]]}}"#);
    for n in 0..1000 {
        office.say("add", &add(n), QoS::AtMostOnce);
        // The broker sends again what is not acknowledged.
        office.ask("b");
        office.clerk.event(office.clerk.announcer.problem("card_error", "again and again"));
    }
    let payloads = |office: &Office| {
        let bytes = |(change, _): &(Change, Then)| match change {
            Change::Receive(entry) => entry.payload.len(),
            Change::Publish(message) => message.payload.len(),
            _ => 0,
        };
        office.clerk.staged.iter().map(bytes).sum::<usize>()
    };
    assert!(payloads(&office) < 64 << 10, "{} changes, {held} before", office.clerk.staged.len());
    let answers = office.broker.published();
    let refused = answers.iter().filter(|m| m.topic == "geosam/edge/response/c1/add");
    let refused = refused.filter(|m| String::from_utf8_lossy(&m.payload).contains("CARD_ERROR"));
    assert_eq!(refused.count(), 1000);
    office.clerk.context.store.fail_syncs(false);
    office.clerk.deadlines.commit_begins();
    office.clerk.settle();
    assert_eq!(office.to_run(), office.waiting(), "all goes on");
}

#[test]
fn a_session_that_nobody_uses_ends_in_memory_and_on_the_card() {
    let sessions = SessionLimits { idle_seconds: 0, ..SessionLimits::default() };
    let mut office = office_with(ServiceOptions { sessions, ..ServiceOptions::default() });
    let key = SessionKey::new("c1", "s");
    let changes = office.clerk.context.keep_session(&key, &Session::new());
    let finish = Finish { sessions: changes, ..Finish::default() };
    office.clerk.staged.push((Change::Finish(Box::new(finish)), Then::Nothing));
    office.clerk.settle();
    assert_eq!(office.clerk.context.store.sessions().unwrap().len(), 1);
    std::thread::sleep(Duration::from_millis(5));
    office.clerk.on_time();
    office.clerk.settle();
    assert!(office.clerk.context.sessions().is_empty());
    assert!(office.clerk.context.store.sessions().unwrap().is_empty());
}

#[test]
fn cancel_takes_back_what_came_in_the_same_breath_with_one_commit_after_it() {
    let mut office = office();
    office.broker.connect(true);
    office.hear();
    office.ask("a");
    office.say("cancel", r#"{"id":"c"}"#, QoS::AtLeastOnce);
    office.ask("b");
    assert_eq!(
        office.clerk.context.store.depths().inbox,
        0,
        "nothing is committed while messages are taken in"
    );
    office.clerk.settle();
    let waiting = office.waiting();
    assert_eq!(waiting.len(), 1, "what came after it stays");
    assert_eq!(office.to_run(), waiting);
}

#[test]
fn a_refusal_for_want_of_a_chip_is_not_kept_as_the_answer() {
    let mut office = office();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let (view, _) = Watcher::new(vec![fixtures.join("folder_sam")]).look(|_| {}, |_| Ok(()));
    office.clerk.context.served.replace(view);
    office.ask("a");
    office.say("add", r#"{"id":"b","session":"s","points":[[1,2]]}"#, QoS::AtLeastOnce);
    office.clerk.settle();
    for _ in 0..2 {
        let Turn::Run(job) = office.clerk.queue.next(Duration::ZERO) else { panic!("two requests wait") };
        let performed = office.clerk.context.perform(&job);
        let answer = String::from_utf8_lossy(&performed.answer).into_owned();
        assert!(answer.contains("NO_CHIP_COVERS") && !performed.keep, "{answer}");
    }
}
