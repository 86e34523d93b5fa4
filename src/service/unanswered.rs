//! Requests of the inbox that a start finds: acknowledged, and not answered. Sessions and half-made saves are not here:
//! `run`, `clerk::journal`.

use std::time::{Duration, Instant};

use super::job::{Job, address_of, next_number, reply_of};
use super::performed::Performed;
use crate::api::{Limits, PromptItem, Response, parse_request_with};
use crate::bus::Topics;
use crate::store::Waiting;

/// A request from the inbox, as it stood before the restart.
pub(super) enum Recovered {
    /// To be run.
    Run(Box<Job>),
    /// To be answered with an error: this version does not understand what another one took.
    Answer(Box<Job>, Box<Performed>),
    /// Not even to be answered.
    Drop(u64),
}

/// Reads a request from the inbox again. Its time to live goes on from its receipt, on the store's clock.
/// `unsaid` is what a request asks for that does not say.
pub(super) fn recover(
    waiting: Waiting,
    topics: &Topics,
    limits: &Limits,
    unsaid: &PromptItem,
    clock_ms: u64,
) -> Recovered {
    let entry = waiting.entry;
    let Some(address) = address_of(&entry) else { return Recovered::Drop(waiting.seq) };
    let reply = reply_of(&entry, &address, topics);
    let waited = Duration::from_millis(clock_ms.saturating_sub(waiting.received_clock_ms));
    let now = Instant::now();
    // A clock that cannot go back so far only makes the request look younger.
    let received = now.checked_sub(waited).unwrap_or(now);
    let (request, refusal) = match parse_request_with(&entry.payload, limits, unsaid) {
        Ok(request) => (request, None),
        Err((id, error)) => {
            let Ok(mut empty) = parse_request_with(b"{}", limits, unsaid) else {
                return Recovered::Drop(waiting.seq);
            };
            empty.item.id.clone_from(&id);
            let response = Response::error(id, error.code(), error.to_string());
            (empty, Some(response))
        }
    };
    let (number, seq, key) = (next_number(), Some(waiting.seq), entry.key);
    let bytes = entry.payload.len();
    let (begun, under_way) = (false, false);
    let job = Box::new(Job { number, seq, address, request, reply, key, bytes, received, begun, under_way });
    match refusal {
        None => Recovered::Run(job),
        Some(response) => Recovered::Answer(job, Box::new(Performed::answer(response))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::InboxEntry;

    #[test]
    fn a_time_to_live_goes_on_from_receipt_and_does_not_begin_anew_with_a_start() {
        let topics = Topics::new("geosam", "b1", &[]).unwrap();
        let recovered = |waited_ms: u64| {
            let entry = InboxEntry {
                client: "c1".to_owned(),
                verb: "segment".to_owned(),
                payload: br#"{"points":[[1,2]],"ttl_ms":2000}"#.to_vec(),
                ..InboxEntry::default()
            };
            let waiting = Waiting { seq: 1, received_clock_ms: 7000, entry };
            match recover(waiting, &topics, &Limits::default(), &PromptItem::default(), 7000 + waited_ms) {
                Recovered::Run(job) => job.deadline().unwrap(),
                _ => panic!("it is a request"),
            }
        };
        assert!(recovered(3000) < Instant::now());
        assert!(recovered(500) > Instant::now());
        let left = recovered(500).saturating_duration_since(Instant::now());
        assert!(left <= Duration::from_millis(1500), "{left:?}");
    }
}
