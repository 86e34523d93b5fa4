//! Random requests, restarts and redeliveries on store and layers, in the clerk's order of commits, against plain maps; on a
//! card that fails at any change and loses its power. After each start: every acknowledged request is waiting or answered,
//! no answer was lost or changed, each saved object is in its layer once, sessions are as they were told.
//!
//! The long run is `long_run_of_the_model`, see `docs/durability.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use super::*;
use crate::durable::Disk;
use crate::durable::simulated::{Card, Fault, Random};
use crate::layers::{Applied, Layers};

const LAYERS: [&str; 2] = ["ponds", "roads"];
const CLIENTS: [&str; 3] = ["alice", "bob", "carol"];
const VERBS: [&str; 6] = ["save", "save", "add", "unsave", "segment", "list"];

/// A request as its client knows it: who asks, for what, under which id; and the layer or session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    client: &'static str,
    verb: &'static str,
    id: String,
    of: &'static str,
}

impl Asked {
    fn entry(&self) -> InboxEntry {
        let correlation = Some(self.id.clone().into_bytes());
        InboxEntry { correlation, ..entry(self.client, self.verb, &self.id, self.of.as_bytes()) }
    }

    fn key(&self) -> RequestKey {
        key(self.client, self.verb, &self.id, self.of.as_bytes())
    }
}

/// What clients and broker know.
#[derive(Default)]
struct Known {
    asked: Vec<Asked>,
    acknowledged: BTreeSet<String>,
    /// Answers that the broker has taken, by id.
    delivered: BTreeMap<String, String>,
    /// The order in which requests were run; only those that were answered count.
    ran: Vec<String>,
}

/// The state, open, and what the clerk has in memory.
struct Open {
    store: Store,
    layers: Layers,
    /// As the clerk's: changes in their files, to be struck from the journal.
    done: Vec<u64>,
    /// The journal must be read again before anything is written to layers.
    doubt: bool,
    /// Layers with a change that could not be written.
    behind: BTreeSet<String>,
    /// A batch that failed, to be given again as it is.
    failed: Vec<(Change, Option<Asked>)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    steps: u64,
    starts: u64,
    failures: u64,
}

struct World {
    dir: tempfile::TempDir,
    card: Arc<Card>,
    random: Random,
    known: Known,
    open: Option<Open>,
    tally: Tally,
    limits: StoreLimits,
}

impl World {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let card = Card::new(dir.path(), seed);
        // Room for all that is remembered: forgetting is another test's affair.
        let limits = StoreLimits { answers: 1_000_000, ..StoreLimits::default() };
        let random = Random::new(seed ^ 0x5eed);
        Self { dir, card, random, known: Known::default(), open: None, tally: Tally::default(), limits }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    /// Starts as the service does; on a card that fails it may not come up.
    fn start(&mut self) -> Result<(), String> {
        self.open = None;
        self.tally.starts += 1;
        let (disk, state) = (Disk::on(&self.card), self.dir.path().join("state"));
        let opened = Store::open_on(&disk, &state, self.limits).map_err(|e| e.to_string())?;
        assert_eq!(opened.problem, None, "nothing may be lost");
        let store = opened.store;
        let layers = Layers::open_on(&disk, &state).map_err(|e| e.to_string())?;
        let journal = store.journal().map_err(|e| e.to_string())?;
        let applied = layers.recover(&journal);
        let (done, behind, failed) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut open = Open { store, layers, done, doubt: false, behind, failed };
        open.note(&journal, applied);
        self.open = Some(open);
        Ok(())
    }

    /// The process is gone at once, as after `kill -9`: what was open writes nothing more. With `cut` the power goes, too.
    fn kill(&mut self, cut: bool) {
        self.card.fail_after(0, Fault::PowerGoes);
        self.open = None;
        self.card.mend();
        if cut {
            self.card.cut();
        }
    }

    /// The card works again, and so does the board.
    fn bring_up(&mut self) {
        self.card.mend();
        if self.open.is_none() {
            self.start().unwrap();
        }
    }

    fn commit(&mut self, batch: Vec<(Change, Option<Asked>)>) {
        let Some(open) = &mut self.open else { return };
        let mut staged = std::mem::take(&mut open.failed);
        staged.extend(batch);
        if !open.done.is_empty() {
            staged.push((Change::JournalDone(std::mem::take(&mut open.done)), None));
        }
        match open.store.commit(staged.iter().map(|(change, _)| change.clone()).collect()) {
            Ok(committed) => {
                open.write_layers(committed.journal);
                for ((_, asked), outcome) in staged.into_iter().zip(committed.outcomes) {
                    let Some(asked) = asked else { continue };
                    match outcome {
                        Outcome::Received(_)
                        | Outcome::Pending(_)
                        | Outcome::Answered(_)
                        | Outcome::AlreadyDone => {
                            self.known.acknowledged.insert(asked.id);
                        }
                        other => panic!("{asked:?}: {other:?}"),
                    }
                }
            }
            Err(_) => {
                self.tally.failures += 1;
                open.failed = staged;
                open.doubt = true;
            }
        }
    }

    fn step(&mut self) {
        self.tally.steps += 1;
        match self.random.below(10) {
            0..4 => self.receive(),
            4..8 => self.run_waiting(),
            _ => self.deliver(),
        }
    }

    fn receive(&mut self) {
        let mut batch = Vec::new();
        for _ in 0..=self.random.below(3) {
            let again = !self.known.asked.is_empty() && self.random.once_in(4);
            let asked = if again {
                let at = self.random.below(self.known.asked.len() as u64) as usize;
                self.known.asked[at].clone()
            } else {
                let (client, verb, of) = (self.pick(&CLIENTS), self.pick(&VERBS), self.pick(&LAYERS));
                let asked = Asked { client, verb, id: format!("q{}", self.known.asked.len()), of };
                self.known.asked.push(asked.clone());
                asked
            };
            batch.push((receive(asked.entry()), Some(asked)));
        }
        self.commit(batch);
    }

    /// Runs the first requests that wait, each in a commit of its own, as those of one session are.
    fn run_waiting(&mut self) {
        for _ in 0..=self.random.below(3) {
            let Some(open) = &self.open else { return };
            if !open.failed.is_empty() {
                self.commit(Vec::new());
                continue;
            }
            let Some(waiting) = open.store.inbox().ok().and_then(|waiting| waiting.into_iter().next()) else {
                return;
            };
            let Some(finish) = open.finish(&waiting) else { return };
            let id = waiting.entry.key.map(|_| self.asked_by(&waiting).id.clone());
            self.known.ran.extend(id);
            self.commit(vec![(finish, None)]);
        }
    }

    fn asked_by(&self, waiting: &Waiting) -> &Asked {
        self.known.asked.iter().find(|asked| Some(asked.key()) == waiting.entry.key).unwrap()
    }

    /// The broker takes some messages.
    fn deliver(&mut self) {
        let count = self.random.below(6) as usize;
        let Some(open) = &self.open else { return };
        let Ok(messages) = open.store.outbox_after(0, count, usize::MAX) else { return };
        for entry in &messages {
            let text = String::from_utf8(entry.message.payload.to_vec()).unwrap();
            let before = self.known.delivered.insert(entry.message.topic.clone(), text.clone());
            assert!(before.is_none_or(|before| before == text), "two answers to {}", entry.message.topic);
        }
        self.commit(vec![(Change::Acked(messages.iter().map(|entry| entry.seq).collect()), None)]);
    }

    /// Brings all that is owed to an end, and compares.
    fn check(&mut self, what: &str) {
        self.bring_up();
        for _ in 0..3 {
            self.commit(Vec::new());
        }
        let open = self.open.as_mut().unwrap();
        assert!(open.failed.is_empty(), "{what}");
        open.apply_journal();
        assert!(open.behind.is_empty(), "{what}");
        let waiting: BTreeSet<String> = (open.store.inbox().unwrap().iter())
            .map(|waiting| {
                self.known.asked.iter().find(|a| Some(a.key()) == waiting.entry.key).unwrap().id.clone()
            })
            .collect();
        let outbox: BTreeMap<String, String> =
            (open.store.outbox_after(0, usize::MAX, usize::MAX).unwrap().into_iter())
                .map(|entry| {
                    (entry.message.topic, String::from_utf8(entry.message.payload.to_vec()).unwrap())
                })
                .collect();
        let mut answers = BTreeMap::new();
        for asked in &self.known.asked {
            let (id, acknowledged) = (&asked.id, self.known.acknowledged.contains(&asked.id));
            match open.store.lookup(&asked.key()).unwrap() {
                Lookup::Same(answer) => {
                    let answer = String::from_utf8(answer.to_vec()).unwrap();
                    assert!(!waiting.contains(id), "{id} is answered and waits: {what}");
                    let told = outbox.get(id).or_else(|| self.known.delivered.get(id));
                    assert_eq!(told, Some(&answer), "the answer to {id}: {what}");
                    answers.insert(id.clone(), answer);
                }
                Lookup::Pending(_) => {
                    // One that changes nothing may be asked again after its answer has made room.
                    let again =
                        ["segment", "list"].contains(&asked.verb) || !self.known.delivered.contains_key(id);
                    assert!(waiting.contains(id) && again, "{id}: {what}");
                }
                // Its text made room on a full card.
                Lookup::AlreadyDone => {
                    let told = outbox.get(id).or_else(|| self.known.delivered.get(id));
                    let told = told.unwrap_or_else(|| panic!("{id} was told nothing: {what}"));
                    answers.insert(id.clone(), told.clone());
                }
                // It changed nothing, was answered, and made room.
                Lookup::Unknown
                    if ["segment", "list"].contains(&asked.verb)
                        && (outbox.contains_key(id) || self.known.delivered.contains_key(id)) => {}
                Lookup::Unknown => {
                    assert!(!acknowledged && !outbox.contains_key(id), "{asked:?} is lost: {what}");
                }
                Lookup::OtherPayload => panic!("{asked:?}: {what}"),
            }
        }
        let mut expected = BTreeSet::new();
        let mut sessions = BTreeMap::new();
        for id in &self.known.ran {
            let Some(answer) = answers.get(id) else { continue };
            match answer.split_once(' ') {
                Some(("saved", object)) => drop(expected.insert(object.to_owned())),
                Some(("removed", object)) => drop(expected.remove(object)),
                Some(("session", name)) => drop(sessions.insert(name.to_owned(), id.clone().into_bytes())),
                _ => {}
            }
        }
        let mut found = BTreeSet::new();
        for layer in LAYERS {
            let path = self.dir.path().join(format!("state/layers/{layer}.geojsonl"));
            for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
                let feature: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}: {what}"));
                assert!(found.insert(feature["id"].as_str().unwrap().to_owned()), "twice: {line}: {what}");
            }
        }
        assert_eq!(found, expected, "{what}");
        assert_eq!(open.store.sessions().unwrap(), sessions, "{what}");
    }
}

impl Open {
    fn note(&mut self, entries: &[crate::layers::JournalEntry], applied: Applied) {
        let open = entries.iter().filter(|entry| applied.done.binary_search(&entry.seq).is_err());
        self.behind.extend(open.map(|entry| entry.op.layer().to_owned()));
        self.done.extend(applied.done);
    }

    fn write_layers(&mut self, mut committed: Vec<crate::layers::JournalEntry>) {
        if self.doubt || !self.behind.is_empty() {
            self.apply_journal();
            return;
        }
        committed.retain(|entry| !self.behind.contains(entry.op.layer()));
        let applied = self.layers.apply(&committed);
        self.note(&committed, applied);
    }

    fn apply_journal(&mut self) {
        match self.store.journal() {
            Ok(journal) => {
                self.doubt = false;
                self.behind.clear();
                let applied = self.layers.apply(&journal);
                self.note(&journal, applied);
            }
            Err(_) => self.doubt = true,
        }
    }

    /// What a request changes, as the service's verbs do; `None` if the state cannot be read.
    fn finish(&self, waiting: &Waiting) -> Option<Change> {
        let InboxEntry { client, verb, payload, .. } = &waiting.entry;
        let of = std::str::from_utf8(payload).unwrap();
        let object = format!("o{}", waiting.seq);
        let (text, op, session) = match verb.as_str() {
            "save" => {
                let padding = "x".repeat(waiting.seq as usize * 97 % 700);
                let line = format!(
                    r#"{{"type":"Feature","id":"{object}","geometry":null,"properties":{{"p":"{padding}"}}}}"#
                );
                (format!("saved {object}"), Some(LayerOp::append(of, &object, line).unwrap()), None)
            }
            "unsave" => match self.store.last_saved(of, client, "s").ok()? {
                Some(last) => (format!("removed {last}"), Some(LayerOp::remove(of, &last).unwrap()), None),
                None => ("nothing".to_owned(), None, None),
            },
            "add" => (format!("session {client}/{of}"), None, Some(format!("{client}/{of}"))),
            _ => ("a mask".to_owned(), None, None),
        };
        let answer: Arc<[u8]> = Arc::from(text.into_bytes());
        // The topic is the request's id, so that the check knows whose answer it is.
        let id = waiting.entry.correlation.clone().unwrap_or_default();
        let id = String::from_utf8(id).unwrap();
        let changes = op.map(|op| LayerChange { op, client: client.clone(), session: "s".to_owned() });
        Some(Change::Finish(Box::new(Finish {
            inbox: Some(waiting.seq),
            messages: vec![OutboxMessage::new(Class::Answer, id.clone(), Arc::clone(&answer))],
            answer: kept(&waiting.entry, answer),
            sessions: session
                .map(|name| SessionChange::Put { name, state: id.into_bytes() })
                .into_iter()
                .collect(),
            layers: changes.into_iter().collect(),
        })))
    }
}

/// One life: steps on a card that fails now and then, ended by a power cut, a kill, or nothing.
fn life(world: &mut World, steps: u64) -> String {
    let faults = [
        Fault::Once(ErrorKind::Other),
        Fault::FromHere(ErrorKind::ReadOnlyFilesystem),
        Fault::Full,
        Fault::DropsUnsynced,
        Fault::PowerGoes,
    ];
    let fault = world.pick(&faults);
    let after = world.random.below(steps * 8);
    world.card.fail_after(after, fault);
    for _ in 0..steps {
        if world.open.is_none() && world.start().is_err() {
            break;
        }
        world.step();
    }
    let came = world.card.mend();
    // What the system has dropped can still be read by another process, which does not know: only a power cut tells.
    let dropped = came && fault == Fault::DropsUnsynced;
    let cut = fault == Fault::PowerGoes || world.random.once_in(3) || (dropped && world.open.is_none());
    if cut {
        world.kill(true);
    } else if !dropped && world.random.once_in(2) {
        world.kill(false);
    } else if !dropped && world.random.once_in(4) {
        // A stop in good order, as far as the card lets it.
        world.open = None;
    }
    format!("{fault:?} after {after} changes, cut: {cut}")
}

fn run(seed: u64, steps: u64) -> (Tally, u64) {
    let mut world = World::new(seed);
    world.start().unwrap();
    while world.tally.steps < steps {
        let length = 4 + world.random.below(30);
        let what = life(&mut world, length);
        world.check(&format!("seed {seed}, step {}, {what}", world.tally.steps));
        if world.known.asked.len() > 600 {
            // Another board, before each check takes too long.
            break;
        }
    }
    (world.tally, world.card.cuts())
}

#[test]
fn random_requests_failures_and_power_cuts_lose_nothing_and_save_nothing_twice() {
    let mut cuts = 0;
    for seed in 1..6 {
        cuts += run(seed, 400).1;
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_failure_or_a_power_cut_at_each_single_change_loses_nothing() {
    let scenario = |world: &mut World| {
        for n in 0..14 {
            if world.open.is_none() && world.start().is_err() {
                return;
            }
            match n % 7 {
                0 | 2 => world.receive(),
                6 => world.deliver(),
                _ => world.run_waiting(),
            }
        }
    };
    for fault in [Fault::Once(ErrorKind::Other), Fault::Full, Fault::DropsUnsynced, Fault::PowerGoes] {
        for failing in 0.. {
            let mut world = World::new(7);
            world.card.fail_after(failing, fault);
            scenario(&mut world);
            let came = world.card.mend();
            if fault == Fault::PowerGoes {
                world.kill(true);
            }
            world.check(&format!("{fault:?} at {failing}"));
            // The power goes also after a failure that was mended.
            world.kill(true);
            world.check(&format!("{fault:?} at {failing}, and a power cut"));
            if !came {
                break;
            }
        }
    }
}

/// `MODEL_STEPS`, `MODEL_CUTS` and `MODEL_SEED` say how long; both numbers are reached before it ends.
#[test]
#[ignore = "runs for long; see docs/durability.md"]
fn long_run_of_the_model() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (steps, cuts) = (number("MODEL_STEPS", 1_000_000), number("MODEL_CUTS", 15_000));
    let (mut total, mut cut, mut seed) = (Tally::default(), 0, number("MODEL_SEED", 1));
    let first = seed;
    while total.steps < steps || cut < cuts {
        let (tally, more) = run(seed, 10_000);
        total = Tally {
            steps: total.steps + tally.steps,
            starts: total.starts + tally.starts,
            failures: total.failures + tally.failures,
        };
        cut += more;
        seed += 1;
        if seed % 50 == 0 {
            println!("seeds {first} to {seed}: {total:?}, {cut} power cuts");
        }
    }
    println!("seeds {first} to {seed}: {total:?}, {cut} power cuts");
}
