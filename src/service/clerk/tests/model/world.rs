//! Board, card, broker and clients of the model, and what may happen to them.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::books::{Asked, Books};
use crate::api::Limits;
use crate::bus::memory::{Delivery, MemoryBroker, OverLimit, PublishPolicy, bus};
use crate::bus::{
    BusClient as _, BusConnection as _, BusEvents, BusHandle, OutgoingMessage, Properties, Protocol,
};
use crate::durable::Disk;
use crate::durable::simulated::{Card, Fault, Random};
use crate::engine::{Engine, EngineChoice, EngineOptions};
use crate::service::ServiceOptions;
use crate::service::clerk::{Clerk, Input};
use crate::service::context::{Context, Memo};
use crate::service::folders::FolderView;
use crate::service::job::Job;
use crate::service::office::furnish;
use crate::service::performed::Performed;
use crate::service::publisher::Clock;
use crate::service::queue::{RequestQueue, Turn};
use crate::service::verbs::Slice;
use crate::service::watcher::Watcher;

const CLIENTS: [&str; 3] = ["alice", "bob", "carol"];
const SESSIONS: [&str; 2] = ["s", "t"];
const LAYERS: [&str; 2] = ["ponds", "roads"];
const VERBS: [&str; 16] = [
    "add", "add", "add", "add", "save", "save", "save", "save", "unsave", "undo", "clear", "segment",
    "segment", "list", "fetch", "cancel",
];
/// Points of a session: so that the sets of prompts are few, and a session comes to its bound.
const MOST_POINTS: usize = 3;
/// Over this the broker does not take a packet, in worlds where it has a limit.
const PACKET: usize = 16 << 10;
/// Topics that the broker hangs up on, and refuses.
const HUNG_UP: &str = "reply/hang";
const REFUSED: &str = "reply/refuse";

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub steps: u64,
    starts: u64,
    failed_starts: u64,
    failed_commits: u64,
    connections: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.starts += other.starts;
        self.failed_starts += other.failed_starts;
        self.failed_commits += other.failed_commits;
        self.connections += other.connections;
    }
}

/// What all worlds share: it is costly to make, and nothing changes it.
struct Equipment {
    engine: Arc<Engine>,
    view: FolderView,
    memo: Arc<Memo>,
    places: Vec<[f64; 2]>,
}

fn equipment() -> &'static Equipment {
    static EQUIPMENT: OnceLock<Equipment> = OnceLock::new();
    EQUIPMENT.get_or_init(|| {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        let options = EngineOptions {
            models: demo.join("models"),
            engine: EngineChoice::Fused,
            threads: 1,
            cache_bytes: 64 << 20,
        };
        let (view, _) = Watcher::new(vec![demo.join("features")]).look(|_| {}, |_| Ok(()));
        assert!(!view.ready.is_empty());
        let truth = std::fs::read(demo.join("truth.geojson")).unwrap();
        let truth: serde_json::Value = serde_json::from_slice(&truth).unwrap();
        let inside = |feature: &serde_json::Value| {
            serde_json::from_value(feature["properties"]["inside"].clone()).unwrap()
        };
        let places = truth["features"].as_array().unwrap().iter().take(3).map(inside).collect();
        Equipment { engine: Arc::new(Engine::open(&options).unwrap()), view, memo: Arc::default(), places }
    })
}

/// The service while it runs.
struct Up {
    clerk: Clerk<BusHandle>,
    context: Arc<Context>,
    queue: Arc<RequestQueue>,
    inputs: Receiver<Input>,
    /// What workers have run, and not handed in.
    at_work: Vec<(Box<Job>, Performed)>,
}

impl Drop for Up {
    fn drop(&mut self) {
        // Threads of requests hold what the process would end with.
        self.context.under_way.let_go();
    }
}

pub(super) struct World {
    dir: TempDir,
    pub card: Arc<Card>,
    pub random: Random,
    pub books: Books,
    pub tally: Tally,
    broker: MemoryBroker,
    client: BusHandle,
    events: BusEvents,
    up: Option<Up>,
    options: ServiceOptions,
    /// Times that the broker may yet put messages off in this life: an answer that it puts off twelve times is given up.
    deferrals: u32,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let card = Card::new(dir.path(), seed);
        let mut random = Random::new(seed ^ 0x0dd);
        let (client, events, broker) = bus(None);
        broker.set_policy_of(HUNG_UP, PublishPolicy::HangUp);
        broker.set_policy_of(REFUSED, PublishPolicy::Refuse("NotAuthorized".to_owned()));
        match random.below(4) {
            0 => broker.set_policy_of("geosam/edge/mask/#", PublishPolicy::HangUp),
            1 => {
                broker.set_policy_of("geosam/edge/mask/#", PublishPolicy::Refuse("NotAuthorized".to_owned()))
            }
            _ => {}
        }
        if random.once_in(3) {
            broker.set_protocol(Protocol::V311);
        }
        let over = [OverLimit::Announced, OverLimit::HangUp, OverLimit::Refuse, OverLimit::SwallowAndHangUp];
        broker.set_packet_limit(match random.below(6) as usize {
            // A broker of 3.1.1 only acknowledges what it throws away.
            3 => {
                broker.set_protocol(Protocol::V311);
                Some((PACKET, over[3]))
            }
            at => over.get(at).map(|over| (PACKET, *over)),
        });
        let options = ServiceOptions {
            state: dir.path().join("state"),
            disk: Disk::on(&card),
            limits: Limits { max_points: MOST_POINTS, ..Limits::default() },
            response_prefixes: vec!["reply".to_owned()],
            health_interval: Duration::from_secs(3600),
            ..ServiceOptions::default()
        };
        let (books, tally, up) = (Books::default(), Tally::default(), None);
        Self { dir, card, random, books, tally, broker, client, events, up, options, deferrals: 0 }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    pub const fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Starts as the service does; on a card that fails it may not come up.
    pub fn start(&mut self) -> Result<(), String> {
        self.up = None;
        self.tally.starts += 1;
        let equipment = equipment();
        let furnished = furnish(&self.options, self.client.clone(), |_| Ok(Arc::clone(&equipment.engine)));
        let office = furnished.map_err(|error| {
            self.tally.failed_starts += 1;
            error.to_string()
        })?;
        let _ = office.context.memo.set(Arc::clone(&equipment.memo));
        let view = office.context.served.replace(equipment.view.clone());
        let mut clerk = office.clerk;
        // Each life is short, however long this machine takes for it.
        clerk.publisher.use_clock(Clock::Stopped(Instant::now()));
        clerk.take(Input::Looked { view, news: Vec::new(), models: false });
        let (context, queue, inputs) = (office.context, office.queue, office.inputs);
        self.up = Some(Up { clerk, context, queue, inputs, at_work: Vec::new() });
        Ok(())
    }

    /// The process is gone at once, as after `kill -9`. With `cut` the power goes, too.
    pub fn kill(&mut self, cut: bool) {
        if !cut && self.random.once_in(3) {
            self.end_while_running();
        }
        self.card.fail_after(0, Fault::PowerGoes);
        self.up = None;
        self.card.mend();
        if cut {
            self.card.cut();
            self.books.ends.clear();
        }
        self.broker.disconnect("the board is gone");
        while let Ok(Some(_)) = self.events.next_event(Some(Duration::ZERO)) {}
    }

    /// A worker begins with a request, and comes to no end.
    fn end_while_running(&mut self) {
        let Some(up) = &self.up else { return };
        if let Turn::Run(job) = up.queue.next(Duration::ZERO) {
            std::mem::forget(up.context.attempts.begin(job.seq));
            if job.seq.is_some() {
                self.books.ended(job.id().unwrap().to_string());
            }
        }
    }

    pub const fn begin_life(&mut self) {
        self.deferrals = 2;
    }

    pub fn step(&mut self) {
        self.tally.steps += 1;
        match self.random.below(24) {
            0..6 => self.ask_anything(),
            6 => self.ask_again(),
            7..12 => self.work(),
            12..16 => self.hand_in(),
            16..19 => self.trouble(),
            19 => self.hurry(),
            _ => {}
        }
        if !self.broker.is_connected() && self.random.once_in(3) {
            self.connect();
        }
        if !self.random.once_in(4) {
            self.turn();
        }
        self.books.hear(self.broker.take_published());
    }

    fn connect(&mut self) {
        self.tally.connections += 1;
        let resume = !self.random.once_in(20);
        self.broker.connect(resume);
    }

    fn ask_anything(&mut self) {
        let (client, verb) = (self.pick(&CLIENTS), self.pick(&VERBS));
        let (session, layer) = (self.pick(&SESSIONS), self.pick(&LAYERS));
        self.ask(client, verb, session, layer);
    }

    fn ask(&mut self, client: &'static str, verb: &'static str, session: &'static str, layer: &str) {
        let id = format!("q{}", self.books.asked.len());
        let at = if self.random.once_in(8) { [1.0, 2.0] } else { self.pick(&equipment().places) };
        let output = r#""output":{"vectorization":"simplified","tolerance":8,"largest_only":true}"#;
        let preview = verb == "segment" && self.random.once_in(6);
        let members = match verb {
            "segment" if self.random.once_in(8) => format!(r#""points":[{at:?}],{output},"ttl_ms":1"#),
            "segment" => format!(r#""points":[{at:?}],{output},"preview":{preview}"#),
            "add" => format!(r#""session":"{session}","points":[{at:?}],{output}"#),
            "save" => {
                format!(
                    r#""session":"{session}","layer":"{layer}",{output},"properties":{{"request":"{id}"}}"#
                )
            }
            "unsave" => format!(r#""session":"{session}","layer":"{layer}""#),
            "undo" | "clear" => format!(r#""session":"{session}""#),
            "fetch" => format!(r#""layer":"{layer}","limit":1000,"output":{{"max_bytes":1000000}}"#),
            _ => r#""preview":false"#.to_owned(),
        };
        let batch = !preview && ["segment", "save"].contains(&verb) && self.random.once_in(5);
        let members = if batch { self.prompts(verb, &id, layer) } else { members };
        let mut payload = format!(r#"{{"id":"{id}",{members}}}"#);
        let mut properties = Properties::default();
        match self.random.below(24) {
            0 => properties.response_topic = Some(HUNG_UP.to_owned()),
            1 => properties.response_topic = Some(REFUSED.to_owned()),
            2 => properties.response_topic = Some("reply/here".to_owned()),
            3 => properties.response_topic = Some("reply//".to_owned() + &"x".repeat(400)),
            4 => properties.correlation_data = Some(vec![b'c'; 256]),
            5 => properties.correlation_data = Some(vec![b'c'; 3000]),
            6 => payload = payload.replacen('{', r#"{"nonsense":1,"#, 1),
            _ => {}
        }
        let message =
            OutgoingMessage::new(format!("geosam/edge/request/{client}/{verb}"), payload).with(properties);
        let message = if self.random.once_in(10) { message.at_most_once() } else { message };
        let asked = Asked { client, verb, session, batch, message, preview };
        self.books.asked.insert(id.clone(), asked);
        self.publish(&id);
    }

    /// A batch; one of its places may have no chip.
    fn prompts(&mut self, verb: &str, id: &str, layer: &str) -> String {
        let output = r#""output":{"vectorization":"simplified","tolerance":8,"largest_only":true}"#;
        let prompts = (0..3).map(|prompt| {
            let at = if self.random.once_in(6) { [1.0, 2.0] } else { self.pick(&equipment().places) };
            match verb {
                "save" => format!(r#"{{"points":[{at:?}],"properties":{{"request":"{id}/{prompt}"}}}}"#),
                _ => format!(r#"{{"points":[{at:?}]}}"#),
            }
        });
        let prompts = prompts.collect::<Vec<_>>().join(",");
        let layer = if verb == "save" { format!(r#""layer":"{layer}","#) } else { String::new() };
        format!(r#"{layer}{output},"prompts":[{prompts}]"#)
    }

    /// A client asks again for what it has asked for; what came at most once and changes nothing is not known again.
    fn ask_again(&mut self) {
        let is_known =
            |asked: &Asked| asked.message.qos != crate::bus::QoS::AtMostOnce || asked.changes_state();
        let known = self.books.asked.iter().filter(|(_, asked)| is_known(asked));
        let known: Vec<String> = known.map(|(id, _)| id.clone()).collect();
        if !known.is_empty() {
            let at = self.random.below(known.len() as u64) as usize;
            self.publish(&known[at]);
        }
    }

    fn publish(&mut self, id: &str) {
        if let Delivery::Taken(delivery) = self.broker.publish(self.books.asked[id].message.clone()) {
            self.books.deliveries.push((delivery, id.to_owned()));
        }
    }

    /// Something happens to the connection.
    fn trouble(&mut self) {
        match self.random.below(12) {
            // A network that fails, which no message is to blame for.
            0 | 1 => self.client.reconnect(),
            2 => self.broker.set_policy(PublishPolicy::Hold),
            3 => self.broker.set_policy(PublishPolicy::LoseAck),
            4 => self.broker.set_policy(PublishPolicy::LoseMessage),
            // A broker of 3.1.1 has no way to say that it cannot take a message now.
            5 if self.deferrals > 0 && self.broker.protocol() == Protocol::V5 => {
                self.deferrals -= 1;
                self.broker.set_policy(PublishPolicy::Defer("QuotaExceeded".to_owned()));
            }
            6 => {
                let count = self.random.below(5) as usize;
                self.broker.release(count);
            }
            7 => {
                if let Some((delivery, _)) = self.books.deliveries.last() {
                    self.broker.duplicate(*delivery);
                }
            }
            8 => {
                let count = 1 + self.random.below(20) as usize;
                self.broker.set_receive_maximum(count);
            }
            _ => self.broker.set_policy(PublishPolicy::Accept),
        }
    }

    /// A worker runs a request.
    fn work(&mut self) {
        let Some(up) = &mut self.up else { return };
        match up.queue.next(Duration::ZERO) {
            Turn::Run(job) => {
                let id = job.id().unwrap().to_string();
                let ends = self.books.ends.get(&id).copied().unwrap_or(0);
                assert!(ends < 2 || job.seq.is_none(), "{id} has ended the program, and is run again");
                let running = up.context.attempts.begin(job.seq);
                let performed = if job.is_in_pieces() {
                    let wanted = !self.random.once_in(3);
                    match up.context.go_on(&job, &|| wanted) {
                        Slice::Over(performed) => *performed,
                        _ => {
                            running.pause();
                            assert!(up.queue.pause(job).is_none(), "no preview is a batch");
                            return;
                        }
                    }
                } else {
                    up.context.perform(&job)
                };
                drop(running);
                self.books.ran(&id);
                up.at_work.push((job, performed));
            }
            Turn::Expired(job) => {
                let text = "it waited too long".to_owned();
                let response = crate::api::Response::error(job.id(), crate::ErrorCode::Expired, text);
                up.at_work.push((job, Performed::answer(response)));
            }
            Turn::Idle | Turn::Stop => {}
        }
    }

    /// A worker hands in what it has run.
    fn hand_in(&mut self) {
        let Some(up) = &mut self.up else { return };
        if !up.at_work.is_empty() {
            let at = self.random.below(up.at_work.len() as u64) as usize;
            let (job, performed) = up.at_work.remove(at);
            up.clerk.take(Input::Performed(job, Box::new(performed)));
        }
    }

    /// All that waits for its time comes to it.
    fn hurry(&mut self) {
        if let Some(up) = &mut self.up {
            up.clerk.deadlines.hurry();
        }
    }

    /// The clerk's loop goes round once.
    fn turn(&mut self) {
        let Some(up) = &mut self.up else { return };
        while let Ok(Some(event)) = self.events.next_event(Some(Duration::ZERO)) {
            up.clerk.bus_event(event);
        }
        while let Ok(input) = up.inputs.try_recv() {
            up.clerk.take(input);
        }
        up.clerk.on_time();
        let failed = up.clerk.deadlines.is_failing();
        up.clerk.settle();
        self.tally.failed_commits += u64::from(!failed && up.clerk.deadlines.is_failing());
        up.clerk.publish();
    }

    /// Two clients build, save and take back, one request after the other.
    pub fn play(&mut self) {
        let steps = [
            ("alice", "add"),
            ("alice", "save"),
            ("bob", "add"),
            ("alice", "add"),
            ("bob", "save"),
            ("alice", "save"),
            ("alice", "unsave"),
            ("bob", "clear"),
        ];
        for (client, verb) in steps {
            if !self.is_up() && self.start().is_err() {
                return;
            }
            if !self.broker.is_connected() {
                self.broker.connect(true);
            }
            self.turn();
            self.ask(client, verb, "s", "ponds");
            for _ in 0..2 {
                self.turn();
                self.work();
                self.hand_in();
                self.hurry();
            }
            self.turn();
            self.books.hear(self.broker.take_published());
        }
    }

    /// Mends all, brings all that is owed to an end, and compares.
    pub fn check(&mut self, what: &str) {
        self.card.mend();
        if !self.is_up() {
            self.start().unwrap_or_else(|error| panic!("{error}: {what}"));
        }
        self.broker.set_policy(PublishPolicy::Accept);
        self.broker.set_receive_maximum(20);
        for round in 1.. {
            if !self.broker.is_connected() {
                self.tally.connections += 1;
                self.broker.connect(true);
            }
            for _ in 0..8 {
                self.turn();
                self.work();
                self.hand_in();
                self.hurry();
            }
            self.broker.release(usize::MAX);
            self.books.hear(self.broker.take_published());
            if self.is_at_rest() {
                break;
            }
            if round % 8 == 0 {
                // What was held, lost or put off on this connection goes on with the next.
                self.client.reconnect();
            }
            assert!(round < 2000, "it does not come to an end, {}: {what}", self.state());
        }
        let Some(up) = &self.up else { return };
        let sessions: BTreeMap<String, usize> = (up.context.sessions().iter())
            .map(|(key, session)| (key.stored_name(), session.counts().foreground))
            .collect();
        let layers = self.dir.path().join("state/layers");
        self.books.check(&self.broker.acknowledged(), &layers, &sessions, what);
    }

    fn is_at_rest(&self) -> bool {
        let Some(up) = &self.up else { return false };
        let depths = up.context.store.depths();
        (depths.inbox, depths.outbox, depths.journal) == (0, 0, 0)
            && up.clerk.staged.is_empty()
            && up.at_work.is_empty()
            && up.queue.len() == 0
            && self.broker.waiting() == 0
    }

    fn state(&self) -> String {
        let Some(up) = &self.up else { return "down".to_owned() };
        let (staged, at_work) = (up.clerk.staged.len(), up.at_work.len());
        format!(
            "{:?}, staged {staged}, at work {at_work}, in the broker {}, {}, {:?}",
            up.context.store.depths(),
            self.broker.waiting(),
            up.clerk.publisher.told(),
            up.clerk.echo
        )
    }
}
