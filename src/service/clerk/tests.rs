//! The clerk without its thread, on a store whose card fails when the test says so.

mod card;

use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::bus::memory::{MemoryBroker, bus};
use crate::bus::{BusEvents, BusHandle, IncomingMessage, Properties, QoS, Topics};
use crate::engine::{Engine, EngineChoice, EngineOptions};
use crate::layers::{LayerOp, Layers};
use crate::service::ServiceOptions;
use crate::service::folders::ServedFolders;
use crate::service::queue::Turn;
use crate::service::run::facts;
use crate::service::schedule::Bounds;
use crate::session::SessionTable;
use crate::store::{LayerChange, Store};

struct Office {
    clerk: Clerk<BusHandle>,
    broker: MemoryBroker,
    _events: BusEvents,
    dir: TempDir,
}

fn office() -> Office {
    let options = ServiceOptions::default();
    let dir = tempfile::tempdir().unwrap();
    let topics = Topics::new(&options.root, &options.device, &[]).unwrap();
    let pulse = Arc::new(Pulse::new());
    let engine = EngineOptions {
        models: dir.path().join("models"),
        cards: Vec::new(),
        engine: EngineChoice::Auto,
        threads: 1,
        cache_bytes: 1 << 20,
    };
    let context = Arc::new(Context {
        engine: Engine::open(&engine).unwrap(),
        served: ServedFolders::default(),
        store: Store::open(dir.path(), options.store).unwrap().store,
        layers: Layers::open(dir.path()).unwrap(),
        topics: topics.clone(),
        pulse: Arc::clone(&pulse),
        max_answer_bytes: options.max_answer_bytes,
        max_points: options.limits.max_points,
        max_layers: options.layers,
        sessions: Mutex::new(SessionTable::new(options.sessions)),
    });
    let bounds = Bounds { queue: 9, per_client: 9, previews: 9 };
    let announcer = Announcer::new(topics.clone(), facts(&options), options.health_interval);
    let rules =
        IntakeRules { topics, limits: options.limits, response_prefixes: Vec::new(), previews: false };
    let (client, events, broker) = bus(None);
    let queue = Arc::new(RequestQueue::new(bounds));
    let clerk = Clerk::new(rules, context, queue, client, announcer, pulse, Found::default());
    Office { clerk, broker, _events: events, dir }
}

impl Office {
    fn ask(&mut self, id: &str) {
        self.clerk.bus_event(BusEvent::Message(IncomingMessage {
            topic: "geosam/edge/request/c1/segment".to_owned(),
            payload: format!(r#"{{"id":"{id}","points":[[1,2]]}}"#).into_bytes(),
            cut_from: None,
            qos: QoS::AtLeastOnce,
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
        std::fs::read_to_string(self.dir.path().join("layers/ponds.geojsonl")).unwrap_or_default()
    }

    /// A commit that fails, although its batch is on the card.
    fn fail_after_writing(&mut self) {
        self.clerk.context.store.fail_syncs(true);
        self.clerk.settle();
        self.clerk.context.store.fail_syncs(false);
        assert!(self.clerk.retry_at.take().is_some(), "it failed, and is tried again");
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
    std::thread::sleep(LINGER + Duration::from_millis(50));
    office.clerk.settle();
    assert_eq!(office.clerk.context.store.depths().journal, 0);
}

#[test]
fn waiting_for_a_card_that_fails_is_no_busy_loop() {
    let mut office = office();
    office.ask("a");
    office.clerk.context.store.fail_syncs(true);
    office.clerk.settle();
    // Something delivered waits to be taken out, for longer than it should.
    office.clerk.lingering_since = Instant::now().checked_sub(2 * LINGER);
    office.clerk.next_health = Instant::now() + Duration::from_secs(60);
    assert!(office.clerk.patience() > Duration::from_millis(100));
    office.clerk.context.store.fail_syncs(false);
}
