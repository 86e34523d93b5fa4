//! Markers that the board asks itself about: which were asked for in this run, and which of these are not answered yet. Pure
//! but for its memory.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::heard::Marker;

/// The client whose requests they are.
pub(super) const CLIENT: &str = "tak";

/// Markers that are remembered, so that they are not asked for again.
const MOST: usize = 10_000;
/// Markers that wait for their answer.
const MOST_WAITING: usize = 256;
/// Of these, how many are on their way at a time: others want the decoder too.
const UNDER_WAY: usize = 16;
/// How long an answer is waited for before the same request is said again, which is never run twice.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a request waits that the board could not take now, doubled each time, and how often it is doubled at the most.
const LATER: Duration = Duration::from_secs(60);
const DOUBLED: u32 = 6;

/// A request for the object under a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The request's id.
    pub id: String,
    /// The request, as `save` takes it.
    pub payload: Vec<u8>,
    /// What people call the marker.
    pub name: String,
}

impl Question {
    /// The request that puts the object under a marker into a layer. The same marker in the same place is the same
    /// request, on whatever way it has come and however often.
    pub fn of(marker: &Marker, layer: &str) -> Self {
        // A tenth of a metre. taky passes on no more, and the same marker must not be another one by multicast.
        let [lon, lat] = marker.position.map(|degrees| format!("{degrees:.6}"));
        let mut hasher = Sha256::new();
        for part in [&marker.uid, &lon, &lat] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let id = hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let position = [lon, lat].map(|text| text.parse::<f64>().unwrap_or_default());
        let mut properties = json!({"tak_uid": marker.uid, "tak_type": marker.kind});
        if let Some(callsign) = &marker.callsign {
            properties["tak_callsign"] = json!(callsign);
        }
        let request = json!({
            "id": id,
            "layer": layer,
            "points": [position],
            // One shape on the map, and not the specks around it.
            "output": {"vectorization": "simplified", "largest_only": true},
            "properties": properties,
        });
        let name = marker.callsign.clone().unwrap_or_else(|| marker.uid.clone());
        Self { id, payload: request.to_string().into_bytes(), name }
    }
}

/// What became of a marker that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    New,
    /// It was asked for in this run.
    Known,
    /// Too many wait for an answer.
    Full,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// It is saved, as this object.
    Saved(String),
    /// It had been carried out before this run.
    Before,
    /// The board could not take it now; it is asked again.
    Later,
    /// There is no object for it: code and message.
    Refused(String, String),
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Unsaid,
    /// On this connection to the broker; said again then, whatever the connection.
    Said(u64, Instant),
    /// The board could not take it; said again then.
    PutOff(Instant),
}

#[derive(Debug)]
struct Waiting {
    question: Question,
    stage: Stage,
    put_off: u32,
}

impl Waiting {
    /// When it is to be said again, if not now.
    fn rests_until(&self, connection: u64, now: Instant) -> Option<Instant> {
        match self.stage {
            Stage::Said(on, until) if on == connection && until > now => Some(until),
            Stage::PutOff(until) if until > now => Some(until),
            _ => None,
        }
    }
}

/// What is to be said next on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Say(Question),
    /// Nothing before then, unless a marker or an answer comes.
    Wait(Option<Instant>),
}

/// Markers that were asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    known: HashSet<String>,
    known_in_order: VecDeque<String>,
    waiting: BTreeMap<String, Waiting>,
}

impl Asked {
    /// A marker was heard.
    pub fn take(&mut self, question: Question) -> Taken {
        if self.known.contains(&question.id) {
            return Taken::Known;
        }
        if self.waiting.len() >= MOST_WAITING {
            return Taken::Full;
        }
        let id = question.id.clone();
        self.known.insert(id.clone());
        self.known_in_order.push_back(id.clone());
        if self.known_in_order.len() > MOST {
            let oldest = self.known_in_order.pop_front();
            oldest.map(|id| self.known.remove(&id));
        }
        self.waiting.insert(id, Waiting { question, stage: Stage::Unsaid, put_off: 0 });
        Taken::New
    }

    /// What is to be said next on this connection; it counts as said.
    pub fn next(&mut self, connection: u64, now: Instant) -> Next {
        let (mut first, mut under_way) = (None, 0);
        for waiting in self.waiting.values() {
            let Some(until) = waiting.rests_until(connection, now) else { continue };
            under_way += usize::from(matches!(waiting.stage, Stage::Said(..)));
            first = Some(first.map_or(until, |first: Instant| first.min(until)));
        }
        let mut ready = self.waiting.values_mut().filter(|w| w.rests_until(connection, now).is_none());
        let Some(waiting) = ready.next().filter(|_| under_way < UNDER_WAY) else { return Next::Wait(first) };
        waiting.stage = Stage::Said(connection, now + PATIENCE);
        Next::Say(waiting.question.clone())
    }

    /// A request could not be said.
    pub fn unsaid(&mut self, id: &str) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.stage = Stage::Unsaid;
        }
    }

    /// An answer to this client: what the marker is called, and what became of it. `None`: to none of these requests.
    pub fn answered(&mut self, answer: &[u8], now: Instant) -> Option<(String, Answered)> {
        #[derive(Deserialize)]
        struct Answer {
            id: Option<Value>,
            error: Option<Fault>,
            saved: Option<Saved>,
        }
        #[derive(Deserialize)]
        struct Fault {
            code: String,
            message: String,
            retryable: bool,
        }
        #[derive(Deserialize)]
        struct Saved {
            id: String,
        }
        let Answer { id, error, saved } = serde_json::from_slice(answer).ok()?;
        let id = id?;
        let waiting = self.waiting.get_mut(id.as_str()?)?;
        let answered = match error {
            None => Answered::Saved(saved.map(|saved| saved.id).unwrap_or_default()),
            Some(fault) if fault.retryable => {
                waiting.stage = Stage::PutOff(now + LATER * 2_u32.pow(waiting.put_off.min(DOUBLED)));
                waiting.put_off += 1;
                return Some((waiting.question.name.clone(), Answered::Later));
            }
            // The id was used for the marker under another name, or in another layer.
            Some(fault) if matches!(fault.code.as_str(), "ALREADY_DONE" | "ID_REUSED") => Answered::Before,
            Some(fault) => Answered::Refused(fault.code, fault.message),
        };
        self.waiting.remove(id.as_str()?).map(|waiting| (waiting.question.name, answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(n: usize) -> Question {
        Question { id: format!("{n:03}"), payload: Vec::new(), name: String::new() }
    }

    fn said(asked: &mut Asked, connection: u64, now: Instant) -> Vec<String> {
        let next = || match asked.next(connection, now) {
            Next::Say(question) => Some(question.id),
            Next::Wait(_) => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn answered(asked: &mut Asked, answer: &[u8], now: Instant) -> Option<Answered> {
        asked.answered(answer, now).map(|(_, answered)| answered)
    }

    fn refusal(id: &str, code: &str, retryable: bool) -> Vec<u8> {
        let error = json!({"code": code, "message": "m", "retryable": retryable});
        json!({"id": id, "status": "error", "error": error}).to_string().into_bytes()
    }

    #[test]
    fn a_marker_is_asked_for_once_on_each_connection_until_it_is_answered() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        assert_eq!(asked.take(question(1)), Taken::New);
        assert_eq!(asked.take(question(1)), Taken::Known);
        assert_eq!(said(&mut asked, 1, now), ["001"]);
        assert_eq!(said(&mut asked, 1, now), [""; 0]);
        assert_eq!(said(&mut asked, 2, now), ["001"]);
        assert_eq!(said(&mut asked, 2, now + PATIENCE), ["001"], "an answer that never comes");
        asked.unsaid("001");
        assert_eq!(said(&mut asked, 2, now), ["001"], "the broker was away");
        assert_eq!(
            answered(&mut asked, br#"{"id":7,"status":"ok"}"#, now),
            None,
            "another one of this client's"
        );
        let saved = Some(Answered::Saved("x".to_owned()));
        assert_eq!(answered(&mut asked, br#"{"id":"001","status":"ok","saved":{"id":"x"}}"#, now), saved);
        assert_eq!(said(&mut asked, 3, now), [""; 0]);
        assert_eq!(asked.take(question(1)), Taken::Known);
    }

    #[test]
    fn what_the_board_cannot_take_now_is_asked_later_and_what_is_refused_never_again() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        for n in 1..=3 {
            asked.take(question(n));
        }
        assert_eq!(said(&mut asked, 1, now).len(), 3);
        assert_eq!(answered(&mut asked, &refusal("001", "BUSY", true), now), Some(Answered::Later));
        let refused = Answered::Refused("NO_CHIP_COVERS".to_owned(), "m".to_owned());
        assert_eq!(answered(&mut asked, &refusal("002", "NO_CHIP_COVERS", false), now), Some(refused));
        assert_eq!(answered(&mut asked, &refusal("003", "ID_REUSED", false), now), Some(Answered::Before));
        assert_eq!(asked.next(2, now), Next::Wait(Some(now + LATER)), "on another connection, too");
        assert_eq!(said(&mut asked, 2, now + LATER), ["001"]);
        answered(&mut asked, &refusal("001", "BUSY", true), now);
        assert_eq!(asked.next(2, now), Next::Wait(Some(now + LATER * 2)));
        assert_eq!(asked.take(question(2)), Taken::Known);
    }

    #[test]
    fn few_are_under_way_at_a_time_and_not_many_wait() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        for n in 0..MOST_WAITING {
            assert_eq!(asked.take(question(n)), Taken::New);
        }
        assert_eq!(asked.take(question(MOST_WAITING)), Taken::Full);
        assert_eq!(said(&mut asked, 1, now).len(), UNDER_WAY);
        let answer = br#"{"id":"000","status":"ok"}"#;
        assert_eq!(answered(&mut asked, answer, now), Some(Answered::Saved(String::new())));
        assert_eq!(said(&mut asked, 1, now).len(), 1);
        assert_eq!(asked.take(question(MOST_WAITING)), Taken::New, "it is asked for when it comes again");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        for n in 0..=MOST {
            assert_eq!(asked.take(question(n)), Taken::New);
            answered(&mut asked, &refusal(&format!("{n:03}"), "NO_CHIP_COVERS", false), now);
        }
        assert_eq!((asked.known.len(), asked.known_in_order.len()), (MOST, MOST));
        assert_eq!(asked.take(question(0)), Taken::New);
    }
}
