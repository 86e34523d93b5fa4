//! Requests of the inbox that a start finds: acknowledged, and not answered. Sessions and half-made saves are not here: `run`, `clerk::journal`.

use std::time::{Duration, Instant};

use super::job::{Job, address_of, reply_of};
use super::performed::Performed;
use crate::api::{Limits, Response, parse_request};
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
pub(super) fn recover(waiting: Waiting, topics: &Topics, limits: &Limits, clock_ms: u64) -> Recovered {
    let entry = waiting.entry;
    let Some(address) = address_of(&entry) else { return Recovered::Drop(waiting.seq) };
    let reply = reply_of(&entry, &address, topics);
    let waited = Duration::from_millis(clock_ms.saturating_sub(waiting.received_clock_ms));
    let now = Instant::now();
    // A clock that cannot go back so far only makes the request look younger.
    let received = now.checked_sub(waited).unwrap_or(now);
    let (request, refusal) = match parse_request(&entry.payload, limits) {
        Ok(request) => (request, None),
        Err((id, error)) => {
            let Ok(mut empty) = parse_request(b"{}", limits) else { return Recovered::Drop(waiting.seq) };
            empty.item.id.clone_from(&id);
            let response = Response::error(id, error.code(), error.to_string());
            (empty, Some(response))
        }
    };
    let (seq, key) = (Some(waiting.seq), entry.key);
    let job = Box::new(Job { seq, address, request, reply, key, received, begun: false });
    match refusal {
        None => Recovered::Run(job),
        Some(response) => Recovered::Answer(job, Box::new(Performed::answer(response))),
    }
}
