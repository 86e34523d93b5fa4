//! A worker: takes requests from the queue, runs them, gives the outcome to the clerk.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::clerk::Input;
use super::context::Context;
use super::job::Job;
use super::performed::Performed;
use super::pulse::{Organ, Pulse};
use super::queue::{RequestQueue, Turn};
use crate::ErrorCode;
use crate::api::Response;

/// Works until the queue says stop or the clerk is gone.
pub(super) fn work(queue: &RequestQueue, context: &Context, pulse: &Pulse, clerk: &Sender<Input>) {
    loop {
        pulse.beat(Organ::Decoder);
        let (job, performed) = match queue.next(Duration::from_secs(1)) {
            Turn::Stop => return,
            Turn::Idle => continue,
            Turn::Expired(job) => {
                let text = format!("it waited longer than its ttl_ms of {}", job.request.ttl_ms.unwrap_or(0));
                let response = Response::error(job.id(), ErrorCode::Expired, text);
                (job, Performed::answer(response))
            }
            Turn::Run(job) => {
                let _running = context.attempts.begin(job.seq);
                let performed = perform(context, &job);
                (job, performed)
            }
        };
        if clerk.send(Input::Performed(job, Box::new(performed))).is_err() {
            return;
        }
    }
}

/// Runs a request. A fault of ours in one request is its answer, not the end of the appliance.
fn perform(context: &Context, job: &Job) -> Performed {
    // Locks inside are recovered where they are taken; nothing else outlives the call half changed.
    let run = std::panic::catch_unwind(AssertUnwindSafe(|| context.perform(job)));
    run.unwrap_or_else(|_| {
        tracing::error!(client = job.address.client, verb = %job.address.verb, "a request failed inside");
        let text = "the request failed inside the program; please report it with its log";
        Performed::answer(Response::error(job.id(), ErrorCode::Internal, text))
    })
}
