//! What a soak has asked and heard, and whether it fits together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Asked;
use crate::service::code;

/// Most findings that are told one by one.
const TOLD: usize = 20;

/// Everything known of one request.
struct Known {
    verb: &'static str,
    expected: &'static str,
    saves: Option<[f64; 2]>,
    published: Option<Instant>,
    /// The first answer: when it came, and the object that it says it has saved.
    first: Option<(Instant, Option<String>)>,
    answers: usize,
}

/// The books of a soak.
pub struct Report {
    start: Instant,
    requests: HashMap<String, Known>,
    answered: usize,
    published_again: usize,
    /// Requests of a hostile client, where there was one.
    molested: usize,
    /// Kills, restarts and times that the card is full, in turns.
    falls: usize,
    fills: bool,
    fallen: usize,
    /// How often each object was told on `saved/`.
    told: HashMap<String, usize>,
    in_layers: usize,
    end: Option<Duration>,
    findings: Vec<String>,
}

impl Report {
    pub fn new(all: &[Vec<Asked>], falls: usize, fills: bool) -> Self {
        let known = |asked: &Asked| {
            let id = asked.payload["id"].as_str().expect("an id").to_owned();
            let Asked { verb, expected, saves, .. } = *asked;
            (id, Known { verb, expected, saves, published: None, first: None, answers: 0 })
        };
        Self {
            start: Instant::now(),
            requests: all.iter().flatten().map(known).collect(),
            answered: 0,
            published_again: 0,
            molested: 0,
            falls,
            fills,
            fallen: 0,
            told: HashMap::new(),
            in_layers: 0,
            end: None,
            findings: Vec::new(),
        }
    }

    pub fn published(&mut self, id: &str, at: Instant) {
        self.requests.get_mut(id).expect("a request of ours").published = Some(at);
    }

    pub fn published_again(&mut self) {
        self.published_again += 1;
    }

    pub const fn molested(&mut self, requests: usize) {
        self.molested = requests;
    }

    /// Requests answered at least once.
    pub fn answered(&self) -> usize {
        self.answered
    }

    pub fn is_complete(&self) -> bool {
        self.answered == self.requests.len() && self.fallen == self.falls
    }

    pub fn fell(&mut self, fallen: usize, of: usize) {
        self.fallen = fallen;
        let (answered, after) = (self.answered, self.start.elapsed().as_secs());
        println!("fall {fallen} of {of} after {after} s, with {answered} requests answered");
    }

    pub fn answer(&mut self, answer: &Value) {
        let id = answer["id"].as_str().unwrap_or_default().to_owned();
        let Some(known) = self.requests.get_mut(&id) else {
            self.findings.push(format!("an answer to what was not asked: {answer}"));
            return;
        };
        let saved = answer["saved"]["id"].as_str().map(str::to_owned);
        known.answers += 1;
        match &known.first {
            None => {
                known.first = Some((Instant::now(), saved));
                self.answered += 1;
                self.end = Some(self.start.elapsed());
            }
            Some((_, first)) if *first != saved => {
                self.findings.push(format!("{id} is told as {first:?} and as {saved:?}"));
            }
            Some(_) => {}
        }
        let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
        let wrong = std::iter::once(answer).chain(results).find(|part| code(part) != known.expected);
        if let Some(part) = wrong {
            self.findings.push(format!("{id}, a {}, is answered {part}", known.verb));
        }
    }

    pub fn saved(&mut self, message: &Value) {
        let id = message["id"].as_str().unwrap_or_default();
        *self.told.entry(id.to_owned()).or_default() += 1;
    }

    /// Compares the layers with what was to be saved.
    pub fn layers(&mut self, layers: &[Vec<Value>]) {
        let mut objects: HashMap<&str, Vec<&Value>> = HashMap::new();
        let mut ids = HashSet::new();
        for feature in layers.iter().flatten() {
            self.in_layers += 1;
            let id = feature["id"].as_str().unwrap_or_default();
            if !ids.insert(id) {
                self.findings.push(format!("object {id} is in its layer twice"));
            }
            if !self.told.contains_key(id) {
                self.findings.push(format!("object {id} was not told on saved/"));
            }
            objects
                .entry(feature["properties"]["request"].as_str().unwrap_or_default())
                .or_default()
                .push(feature);
        }
        for id in self.told.keys().filter(|id| !ids.contains(id.as_str())) {
            self.findings.push(format!("object {id} was told, and is in no layer"));
        }
        for (request, known) in &self.requests {
            let Some(at) = known.saves else { continue };
            let found = objects.get(request.as_str()).map_or(&[][..], Vec::as_slice);
            let [feature] = found else {
                self.findings.push(format!("{request} is {} times in its layer", found.len()));
                continue;
            };
            if feature["properties"]["prompt"]["points"] != serde_json::json!([at]) {
                self.findings
                    .push(format!("{request} saved the prompt of another: {}", feature["properties"]));
            }
            let answered = known.first.as_ref().and_then(|(_, saved)| saved.as_deref());
            if feature["id"].as_str() != answered {
                self.findings
                    .push(format!("{request} is answered as {answered:?}, saved as {}", feature["id"]));
            }
        }
    }

    /// Fails with what does not fit.
    pub fn assert_complete(&self) {
        assert_eq!(self.answered, self.requests.len(), "every request is answered");
        assert_eq!(self.fallen, self.falls, "every restart, kill and full card took place");
        assert!(self.findings.is_empty(), "{} findings", self.findings.len());
    }

    /// From the broker's PUBACK to the first answer; nothing where the answer was quicker than mosquitto_pub's end.
    fn waits(&self) -> Vec<Duration> {
        let wait = |known: &Known| Some(known.first.as_ref()?.0.saturating_duration_since(known.published?));
        let mut waits: Vec<Duration> = self.requests.values().filter_map(wait).collect();
        waits.sort_unstable();
        waits
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut verbs: BTreeMap<&str, usize> = BTreeMap::new();
        self.requests.values().for_each(|known| *verbs.entry(known.verb).or_default() += 1);
        let verbs: Vec<String> = verbs.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
        let twice = self.requests.values().filter(|known| known.answers > 1).count();
        let more: usize = self.requests.values().map(|known| known.answers.saturating_sub(1)).sum();
        let saves = self.requests.values().filter(|known| known.saves.is_some()).count();
        let told_again: usize = self.told.values().map(|times| times - 1).sum();
        let waits = self.waits();
        let at = |share: f64| {
            let index = (share * waits.len().saturating_sub(1) as f64) as usize;
            waits.get(index).map_or(0.0, Duration::as_secs_f64)
        };
        let took = self.end.unwrap_or_default().as_secs_f64();
        writeln!(f, "\n| soak | |\n|---|---|")?;
        writeln!(f, "| requests | {} ({}) |", self.requests.len(), verbs.join(", "))?;
        writeln!(f, "| answered | {} |", self.answered)?;
        let kinds = if self.fills { 3 } else { 2 };
        let of_kind = |turn: usize| (self.fallen + kinds - 1 - turn) / kinds;
        let (kills, restarts) = (of_kind(0), of_kind(1));
        writeln!(f, "| service killed (SIGKILL) | {kills} times |")?;
        writeln!(f, "| broker restarted (SIGTERM) | {restarts} times |")?;
        if self.fills {
            let fills = of_kind(2);
            writeln!(
                f,
                "| card full to the last byte for 3 s or more | {fills} times, {} times with a start |",
                fills.div_ceil(2)
            )?;
        }
        writeln!(
            f,
            "| time | {took:.0} s, {:.1} requests a second |",
            self.answered as f64 / took.max(1e-9)
        )?;
        writeln!(
            f,
            "| from PUBACK to answer | median {:.1} s, 95 % {:.1} s, longest {:.1} s, with up to {} waiting |",
            at(0.5),
            at(0.95),
            at(1.0),
            super::WINDOW,
        )?;
        if self.molested > 0 {
            writeln!(f, "| requests of a hostile client beside | {} |", self.molested)?;
        }
        writeln!(f, "| published again without a PUBACK | {} times |", self.published_again)?;
        writeln!(f, "| answers that came again | {more}, of {twice} requests |")?;
        writeln!(f, "| objects to save | {saves} |")?;
        writeln!(f, "| objects in their layers | {} |", self.in_layers)?;
        writeln!(f, "| told on saved/ | {} objects, {told_again} times again |", self.told.len())?;
        writeln!(f, "| findings | {} |", self.findings.len())?;
        self.findings.iter().take(TOLD).try_for_each(|finding| writeln!(f, "- {finding}"))
    }
}
