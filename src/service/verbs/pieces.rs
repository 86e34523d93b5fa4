//! Requests that are worked on piece by piece, `everything`, batches and what is followed over chips: between two pieces others have
//! their turns, and their clients may take them back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::service::aside::Aside;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::Performed;
use crate::service::schedule::MOST_BATCHES;
use crate::service::under_way::Work;
use crate::store::Advance;

/// What came of a turn.
#[derive(Debug)]
pub(in crate::service) enum Slice {
    /// Others wait; it may go on when they are done.
    Paused,
    /// It may be tried again at that moment.
    Later(Instant),
    /// A chip is done. When this is durable, it may go on.
    Step(Box<Stepped>),
    /// It is answered.
    Over(Box<Performed>),
}

/// A chip is done.
#[derive(Debug)]
pub(in crate::service) struct Stepped {
    /// What is to be made durable.
    pub advance: Advance,
    /// The message that tells how far it has come.
    pub progress: Arc<[u8]>,
}

impl Context {
    /// Goes on with a request until it is over, has made a step, or `wanted` says that somebody else waits for the decoder.
    pub(in crate::service) fn go_on(self: &Arc<Self>, job: &Job, wanted: &dyn Fn() -> bool) -> Slice {
        let (work, cancelled) = self.under_way.take(job);
        let is_cancelled = || cancelled.load(Ordering::Relaxed);
        let pause = || is_cancelled() || wanted();
        let slice = match work {
            _ if is_cancelled() => Slice::Paused,
            Some(Work::Survey(run)) => self.everything(job, Some(run), &pause),
            Some(Work::Batch(batch)) => self.batch(job, Some(batch), &pause),
            Some(Work::Chip(survey)) => self.chip(job, Some(survey), &pause),
            Some(Work::Aside(aside)) => self.aside(job, Some(aside), &pause),
            None if job.request.chip.is_some() => self.chip(job, None, &pause),
            None if job.is_background() => self.everything(job, None, &pause),
            None if job.may_follow() => self.aside(job, None, &pause),
            None => self.batch(job, None, &pause),
        };
        // One that is taken back does not wait for its next turn to say so.
        if matches!(slice, Slice::Over(_)) || is_cancelled() {
            return match self.under_way.forget(job) {
                true => Slice::Over(Box::new(Performed::cancelled(job))),
                false => slice,
            };
        }
        slice
    }

    /// Goes on with a request on its own thread. There are few of these that wait: of more, each is gone on with to its end.
    fn aside(self: &Arc<Self>, job: &Job, aside: Option<Aside>, pause: &dyn Fn() -> bool) -> Slice {
        let aside = match aside.map_or_else(|| Aside::begin(self, job), Ok) {
            Ok(aside) => aside,
            Err(error) => {
                tracing::error!(%error, "no thread can be started for a request: it gives way to nobody");
                return Slice::Over(Box::new(self.whole(job)));
            }
        };
        let may_wait = job.is_long() || self.under_way.asides() < 2 * MOST_BATCHES;
        match aside.go_on(job, &|| may_wait && pause()) {
            Ok(performed) => Slice::Over(performed),
            Err(aside) => {
                self.under_way.keep(job, Work::Aside(aside));
                Slice::Paused
            }
        }
    }

    /// Runs a request that is not in the background from its beginning to its end.
    pub(in crate::service) fn whole(&self, job: &Job) -> Performed {
        if !job.is_batch() {
            return self.perform(job);
        }
        match self.batch(job, None, &|| false) {
            Slice::Over(performed) => *performed,
            // Nobody asked it to pause.
            _ => Performed::failed_inside(job),
        }
    }
}
