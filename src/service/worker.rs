//! A worker: takes requests from the queue, runs them, gives the outcome to the clerk.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::clerk::Input;
use super::context::Context;
use super::job::Job;
use super::performed::Performed;
use super::pulse::{Organ, Pulse};
use super::queue::{RequestQueue, Turn};
use super::verbs::Slice;
use crate::ErrorCode;
use crate::api::Response;

/// A request that takes longer than this at a stretch is told in the log: others have waited for it.
const SLOW: Duration = Duration::from_secs(2);

/// What an answer costs others on its way to the broker, which is one for all: at a slow link's 8 MB a second.
const fn on_its_way(bytes: usize) -> Duration {
    Duration::from_nanos(bytes as u64 * 125)
}

/// Works until the queue says stop or the clerk is gone.
pub(super) fn work(queue: &RequestQueue, context: &Arc<Context>, pulse: &Pulse, clerk: &Sender<Input>) {
    loop {
        pulse.beat(Organ::Decoder);
        let (job, performed) = match queue.next(Duration::from_secs(1)) {
            Turn::Stop => {
                // What waits between two of its turns is begun anew after the next start.
                context.under_way.let_go();
                return;
            }
            Turn::Idle => continue,
            Turn::Expired(job) => {
                // It may have had a turn, and given way.
                context.under_way.forget(&job);
                let text = format!("it waited longer than its ttl_ms of {}", job.request.ttl_ms.unwrap_or(0));
                let response = Response::error(job.id(), ErrorCode::Expired, text);
                (job, Performed::answer(response))
            }
            Turn::Run(job) if job.is_in_pieces() => {
                let running = context.attempts.begin(job.seq);
                let start = Instant::now();
                let wanted = || {
                    // Whoever asks goes on.
                    pulse.beat(Organ::Decoder);
                    queue.is_wanted(&job)
                };
                let slice = go_on(context, &job, &wanted);
                let performed = if let Slice::Over(performed) = &slice { Some(&**performed) } else { None };
                account(queue, &job, start.elapsed(), performed);
                let input = match slice {
                    Slice::Paused => {
                        running.pause();
                        let Some(displaced) = queue.pause(job) else { continue };
                        context.under_way.forget(&displaced);
                        let performed = Performed::superseded(&displaced);
                        Input::Performed(displaced, Box::new(performed))
                    }
                    Slice::Later(moment) => {
                        running.pause();
                        queue.put_back(job, Some(moment));
                        continue;
                    }
                    Slice::Step(stepped) => Input::Stepped(job, stepped),
                    Slice::Over(performed) => Input::Performed(job, performed),
                };
                if clerk.send(input).is_err() {
                    return;
                }
                continue;
            }
            Turn::Run(job) => {
                let _running = context.attempts.begin(job.seq);
                let start = Instant::now();
                let performed = perform(context, &job);
                account(queue, &job, start.elapsed(), Some(&performed));
                (job, performed)
            }
        };
        if clerk.send(Input::Performed(job, Box::new(performed))).is_err() {
            return;
        }
    }
}

/// A turn is over, and the request with it if there is an answer: what it has cost, and what is on its way now.
fn account(queue: &RequestQueue, job: &Job, worked: Duration, performed: Option<&Performed>) {
    let bytes = performed.map(|performed| performed.answer.len());
    queue.worked(job, worked + on_its_way(bytes.unwrap_or_default()));
    if let Some(bytes) = bytes {
        queue.made(job, bytes);
    }
    if worked >= SLOW && !job.is_background() {
        tell_slow(job, worked);
    }
}

/// A turn of a request that is worked on piece by piece, with the same care.
fn go_on(context: &Arc<Context>, job: &Job, wanted: &dyn Fn() -> bool) -> Slice {
    let run = std::panic::catch_unwind(AssertUnwindSafe(|| context.go_on(job, wanted)));
    run.unwrap_or_else(|_| {
        context.under_way.forget(job);
        Slice::Over(Box::new(Performed::failed_inside(job)))
    })
}

/// Runs a request. A fault of ours in one request is its answer, not the end of the appliance.
fn perform(context: &Context, job: &Job) -> Performed {
    // Locks inside are recovered where they are taken; nothing else outlives the call half changed.
    let run = std::panic::catch_unwind(AssertUnwindSafe(|| context.perform(job)));
    run.unwrap_or_else(|_| Performed::failed_inside(job))
}

fn tell_slow(job: &Job, worked: Duration) {
    tracing::info!(
        client = job.address.client,
        verb = %job.address.verb,
        id = job.id().map(tracing::field::display),
        ms = worked.as_millis() as u64,
        "a request held the decoder for long; its answer has the times of its parts, if it is a mask"
    );
}
