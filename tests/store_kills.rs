//! `kill -9` at any moment: a child process takes requests, answers them and saves objects as the service does; it is
//! killed at random moments, started again on what it left, and what is on the disk is compared with what it said.
//!
//! The child tells on standard output what a broker would know: `sent` before a request is committed, `received` when
//! it may be acknowledged, `answered` when its answer may be published, `delivered` before the broker's PUBACK is
//! committed. A power cut, which also loses what was written and not synced, cannot be played here; redb and the
//! tests of torn lines stand for it.

#[path = "support/program.rs"]
#[allow(dead_code, reason = "the child is this test, not the program")]
mod program;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use geosam_edge::api::RequestId;
use geosam_edge::layers::{JournalEntry, LayerOp, Layers};
use geosam_edge::store::{
    Change, Class, Finish, InboxEntry, KeptAnswer, LayerChange, Lookup, OutboxMessage, Outcome, RequestKey,
    SessionChange, Store, StoreLimits, Waiting,
};

const STATE: &str = "GEOSAM_EDGE_TEST_STATE";
const SEED: &str = "GEOSAM_EDGE_TEST_SEED";
const KILLS: u64 = 24;

fn limits() -> StoreLimits {
    StoreLimits { answers: 1_000_000, answer_bytes: 1 << 30, ..StoreLimits::default() }
}

fn key(verb: &str, id: &str) -> RequestKey {
    RequestKey::new("a", verb, &RequestId::Text(id.to_owned()), None, id.as_bytes())
}

/// xorshift64*, enough to vary a test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

struct Service {
    store: Store,
    layers: Layers,
    /// To ride along with the next batch.
    riders: Vec<Change>,
}

impl Service {
    fn start(state: &Path) -> Self {
        let opened = Store::open(state, limits()).unwrap();
        assert_eq!(opened.problem, None);
        let layers = Layers::open(state).unwrap();
        let mut service = Self { store: opened.store, layers, riders: Vec::new() };
        let journal = service.store.journal().unwrap();
        service.apply(&journal);
        service
    }

    fn apply(&mut self, journal: &[JournalEntry]) {
        let applied = self.layers.apply(journal);
        assert!(applied.failed.is_empty(), "{:?}", applied.failed);
        self.riders.push(Change::JournalDone(applied.done));
    }

    fn commit(&mut self, batch: Vec<Change>) -> Vec<Outcome> {
        let mut all = std::mem::take(&mut self.riders);
        let riders = all.len();
        all.extend(batch);
        let mut committed = self.store.commit(all).unwrap();
        self.apply(&committed.journal);
        committed.outcomes.split_off(riders)
    }

    fn receive(&mut self, requests: &[(&'static str, String)]) -> Vec<Waiting> {
        let entry = |(verb, id): &(&str, String)| InboxEntry {
            client: "a".to_owned(),
            verb: (*verb).to_owned(),
            key: Some(key(verb, id)),
            changes_state: *verb != "segment",
            payload: id.clone().into_bytes(),
            ..InboxEntry::default()
        };
        let entries: Vec<InboxEntry> = requests.iter().map(entry).collect();
        requests.iter().for_each(|(verb, id)| tell(&format!("sent {verb} {id}")));
        let batch = entries.iter().cloned().map(|entry| Change::Receive(Box::new(entry))).collect();
        let outcomes = self.commit(batch);
        let mut waiting = Vec::new();
        for ((outcome, entry), (verb, id)) in outcomes.into_iter().zip(entries).zip(requests) {
            match outcome {
                Outcome::Received(seq) => waiting.push(Waiting { seq, received_clock_ms: 0, entry }),
                Outcome::Pending(_) | Outcome::Answered(_) => {}
                other => panic!("{other:?}"),
            }
            tell(&format!("received {verb} {id}"));
        }
        waiting
    }

    fn answer(&mut self, waiting: &[Waiting]) {
        // Requests that look at what was saved last are run alone, after the commit of those before.
        for group in waiting.chunk_by(|a, b| a.entry.verb != "unsave" && b.entry.verb != "unsave") {
            let batch = group.iter().map(|request| self.finish(request)).collect();
            for (outcome, request) in self.commit(batch).into_iter().zip(group) {
                assert!(matches!(outcome, Outcome::Finished { .. }), "{outcome:?}");
                tell(&format!("answered {}", String::from_utf8_lossy(&request.entry.payload)));
            }
        }
    }

    fn finish(&self, request: &Waiting) -> Change {
        let id = String::from_utf8(request.entry.payload.clone()).unwrap();
        let belongs = |op| LayerChange { op, client: "a".to_owned(), session: "s".to_owned() };
        let (answer, op) = match request.entry.verb.as_str() {
            "save" => {
                let padding = "x".repeat(id.len() * 97 % 3000);
                let line = format!(
                    r#"{{"type":"Feature","id":"{id}","geometry":null,"properties":{{"p":"{padding}"}}}}"#
                );
                (format!("saved {id}"), Some(LayerOp::append("ponds", &id, line).unwrap()))
            }
            "unsave" => match self.store.last_saved("ponds", "a", "s").unwrap() {
                Some(last) => (format!("removed {last}"), Some(LayerOp::remove("ponds", &last).unwrap())),
                None => ("nothing".to_owned(), None),
            },
            _ => ("mask".to_owned(), None),
        };
        let answer: Arc<[u8]> = Arc::from(answer.into_bytes());
        Change::Finish(Box::new(Finish {
            inbox: Some(request.seq),
            messages: vec![OutboxMessage::new(Class::Answer, id.clone(), Arc::clone(&answer))],
            answer: Some(KeptAnswer {
                key: request.entry.key.unwrap(),
                payload: answer,
                client: "a".to_owned(),
                changes_state: request.entry.changes_state,
            }),
            sessions: vec![SessionChange::Put { name: "a/s".to_owned(), state: id.into_bytes() }],
            layers: op.map(belongs).into_iter().collect(),
        }))
    }
}

/// The child; does nothing when it is run as a test.
#[test]
fn child_of_the_kill_test() {
    let Ok(state) = std::env::var(STATE) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let mut random = Random(seed);
    let mut service = Service::start(Path::new(&state));
    tell("started");
    service.answer(&service.store.inbox().unwrap());
    let mut sent: Vec<(&'static str, String)> = Vec::new();
    for number in 0.. {
        let mut requests = Vec::new();
        for part in 0..1 + random.below(8) {
            let verb = ["segment", "save", "save", "unsave"][random.below(4) as usize];
            requests.push((verb, format!("{seed}-{number}-{part}")));
        }
        if !sent.is_empty() && random.below(3) == 0 {
            // A redelivery.
            requests.push(sent[random.below(sent.len() as u64) as usize].clone());
        }
        let waiting = service.receive(&requests);
        service.answer(&waiting);
        sent.extend(requests);
        let outbox = service.store.outbox_after(0, random.below(12) as usize, usize::MAX).unwrap();
        outbox.iter().for_each(|entry| tell(&format!("delivered {}", entry.message.topic)));
        service.riders.push(Change::Acked(outbox.iter().map(|entry| entry.seq).collect()));
    }
}

#[derive(Default)]
struct Broker {
    sent: HashMap<String, String>,
    received: HashSet<String>,
    answered: HashSet<String>,
    delivered: HashSet<String>,
}

impl Broker {
    fn hear(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["sent", verb, id] => drop(self.sent.insert(id.to_owned(), verb.to_owned())),
            ["received", _, id] => drop(self.received.insert(id.to_owned())),
            ["answered", id] => drop(self.answered.insert(id.to_owned())),
            ["delivered", id] => drop(self.delivered.insert(id.to_owned())),
            // The test harness of the child speaks, too.
            _ => {}
        }
    }

    /// Runs the child and kills it; says whether it came as far as to work.
    fn run_and_kill(&mut self, state: &Path, seed: u64, after: Duration) -> bool {
        let mut child = program::emulated(std::env::current_exe().unwrap().as_os_str())
            .args(["--exact", "child_of_the_kill_test", "--nocapture"])
            .env(STATE, state)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let lines =
                BufReader::new(out).split(b'\n').map(|line| String::from_utf8(line.unwrap()).unwrap());
            lines.collect::<Vec<String>>()
        });
        std::thread::sleep(after);
        child.kill().unwrap();
        let status = child.wait_with_output().unwrap();
        assert!(
            status.status.code().is_none(),
            "it ended itself: {}",
            String::from_utf8_lossy(&status.stderr)
        );
        let lines = reader.join().unwrap();
        lines.iter().for_each(|line| self.hear(line));
        lines.iter().any(|line| line.ends_with("started"))
    }

    fn check(&self, state: &Path) {
        let service = Service::start(state);
        let waiting: HashSet<String> = (service.store.inbox().unwrap().into_iter())
            .map(|waiting| String::from_utf8(waiting.entry.payload).unwrap())
            .collect();
        let outbox: HashSet<String> =
            (service.store.outbox_after(0, usize::MAX, usize::MAX).unwrap().into_iter())
                .map(|entry| entry.message.topic)
                .collect();
        let mut expected = BTreeSet::new();
        let mut removed = BTreeSet::new();
        for (id, verb) in &self.sent {
            match service.store.lookup(&key(verb, id)).unwrap() {
                Lookup::Same(answer) => {
                    let answer = String::from_utf8(answer.to_vec()).unwrap();
                    assert!(outbox.contains(id) || self.delivered.contains(id), "the answer to {id} is lost");
                    assert!(!waiting.contains(id), "{id} is answered and waits");
                    match answer.split_once(' ') {
                        Some(("saved", id)) => assert!(expected.insert(id.to_owned())),
                        Some(("removed", id)) => assert!(removed.insert(id.to_owned()), "{id} removed twice"),
                        _ => {}
                    }
                }
                Lookup::Pending(_) => assert!(waiting.contains(id) && !self.answered.contains(id), "{id}"),
                Lookup::Unknown => assert!(!self.received.contains(id), "{id} is lost"),
                Lookup::OtherPayload | Lookup::AlreadyDone => panic!("{id}"),
            }
        }
        assert!(removed.is_subset(&expected));
        let in_file = std::fs::read_to_string(state.join("layers/ponds.geojsonl")).unwrap_or_default();
        let mut found = BTreeSet::new();
        for line in in_file.lines() {
            let feature: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(found.insert(feature["id"].as_str().unwrap().to_owned()), "twice in the file: {line}");
        }
        let kept: BTreeSet<String> = expected.difference(&removed).cloned().collect();
        assert_eq!(found, kept);
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_saved_twice_when_killed_at_any_moment() {
    let state = tempfile::tempdir().unwrap();
    let mut random = Random(u64::from(std::process::id()) + 1);
    let mut broker = Broker::default();
    let mut worked = 0;
    for round in 1..=KILLS {
        let after = Duration::from_millis(5 + random.below(250));
        worked += u64::from(broker.run_and_kill(state.path(), round, after));
        broker.check(state.path());
    }
    let Broker { sent, received, answered, delivered } = &broker;
    println!(
        "{KILLS} kills, {worked} of them at work: {} sent, {} received, {} answered, {} delivered",
        sent.len(),
        received.len(),
        answered.len(),
        delivered.len()
    );
    assert!(worked > KILLS / 3, "the machine is too slow for these times: {worked} of {KILLS} came to work");
    assert!(received.len() > 50 && answered.len() > 50);
}
