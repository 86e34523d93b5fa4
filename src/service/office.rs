//! What a start opens, and takes up of what the last end has left, before there are threads.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::admission::{IntakeRules, Receptions};
use super::announce::{Announcer, Facts};
use super::aside::breathe;
use super::attempts::{Attempts, MOST_ENDS};
use super::clerk::{Backlog, Clerk, Found, Input};
use super::context::{AnswerBounds, Context};
use super::folders::ServedFolders;
use super::masks::KeptMasks;
use super::performed::Performed;
use super::pulse::{Organ, Pulse};
use super::queue::{RequestQueue, UNDELIVERED};
use super::schedule::Bounds;
use super::unanswered::{Recovered, recover};
use super::under_way::UnderWay;
use super::{ServiceError, ServiceOptions};
use crate::bus::{BusClient, Topics};
use crate::cot::CotLive;
use crate::engine::Engine;
use crate::layers::{LayerBounds, Layers};
use crate::session::SessionTable;
use crate::store::{Change, Finish, Store};

/// Bytes of waiting requests that only the memory holds (previews, QoS 0); read they take several times their room.
const VOLATILE: usize = 4 << 20;

/// The clerk at its desk, and what workers share with it.
pub(super) struct Office<C> {
    pub clerk: Clerk<C>,
    pub context: Arc<Context>,
    pub queue: Arc<RequestQueue>,
    /// What the clerk is told; something may be in it already.
    pub inputs: Receiver<Input>,
    pub sender: Sender<Input>,
}

/// Opens the state, and takes up what a crash left. Whoever hears of engines tells the clerk.
///
/// # Errors
/// The state or models directory cannot be used.
pub(super) fn furnish<C: BusClient>(
    options: &ServiceOptions,
    client: C,
    open_engine: impl FnOnce(&Sender<Input>) -> Result<Arc<Engine>, ServiceError>,
) -> Result<Office<C>, ServiceError> {
    let topics = Topics::new(&options.root, &options.device, &options.groups)?;
    let opened = Store::open_on(&options.disk, &options.state, options.store)?;
    let store = opened.store;
    let pulse = Arc::new(Pulse::new());
    let layers = Layers::open_on(&options.disk, &options.state)?.with_progress(sign_of_life(&pulse));
    let journal = store.journal()?;
    let half_made = layers.recover(&journal);
    let backlog = Backlog::of(&journal, half_made);
    drop(journal);
    // With the clerk's first commit: a full card must not keep us from starting.
    let mut first = Vec::new();
    let (sessions, unreadable) =
        SessionTable::restore(options.sessions, &store.sessions()?, store.clock_ms());
    for error in unreadable {
        tracing::warn!(%error, "a session is lost");
    }
    let announcer =
        Announcer::new(topics.clone(), facts(options), options.health_interval, options.self_test_interval);
    let (sender, inputs) = channel();
    let engine = open_engine(&sender)?;
    let beating = Arc::clone(&pulse);
    // An object over many chips, a batch: each decode is a sign of life.
    engine.on_step(move || {
        beating.beat(Organ::Decoder);
        breathe();
    });
    let context = Arc::new(Context {
        engine,
        served: ServedFolders::default(),
        store,
        layers,
        topics: topics.clone(),
        pulse: Arc::clone(&pulse),
        attempts: Attempts::open(&options.state),
        answers: answer_bounds(options),
        batch_chips: options.batch_chips,
        max_points: options.limits.max_points,
        layer_bounds: LayerBounds { layers: options.layers, bytes: options.layer_bytes },
        sessions: Mutex::new(sessions),
        masks: KeptMasks::new(options.masks),
        under_way: UnderWay::default(),
        cot: options.cot.clone().map(|cot| CotLive::open(cot, &options.disk, &options.state)),
        behind: Mutex::new(backlog.behind().clone()),
        #[cfg(test)]
        memo: std::sync::OnceLock::new(),
    });
    let bounds = Bounds {
        queue: options.queue,
        per_client: options.queue_per_client,
        previews: options.previews,
        volatile: VOLATILE,
    };
    let most_made = UNDELIVERED.min(context.store.limits().outbox_bytes / 4);
    let queue = Arc::new(RequestQueue::new(bounds, most_made));
    let highest = take_up(&context, &queue, &topics, options, &sender, &mut first)?;

    let rules = IntakeRules {
        topics,
        limits: options.limits,
        unsaid: options.unsaid(),
        response_prefixes: options.response_prefixes.clone(),
        previews: options.previews > 0,
        receptions: Receptions::new(),
    };
    let found = Found { backlog, highest, first };
    let of_clerk = Arc::clone(&context);
    let clerk = Clerk::new(rules, of_clerk, Arc::clone(&queue), client, announcer, pulse, found);
    Ok(Office { clerk, context, queue, inputs, sender })
}

/// What a long look into a layer does meanwhile: whoever waits for it, the clerk and workers, is alive; and a start that
/// takes long is no hang.
fn sign_of_life(pulse: &Arc<Pulse>) -> impl Fn() + Send + Sync + 'static {
    let pulse = Arc::clone(pulse);
    move || {
        pulse.beat(Organ::Clerk);
        pulse.beat(Organ::Decoder);
        pulse.extend_start();
    }
}

fn facts(options: &ServiceOptions) -> Facts {
    Facts {
        limits: options.limits,
        sessions: options.sessions,
        queue: options.queue,
        per_client: options.queue_per_client,
        layers: options.layers,
        layer_bytes: options.layer_bytes,
        masks: options.masks,
        answers: answer_bounds(options),
    }
}

/// The bounds on answers; an answer that names none is bounded by what any may have.
fn answer_bounds(options: &ServiceOptions) -> AnswerBounds {
    let most = options.max_answer_bytes;
    AnswerBounds { unsaid: options.answer_bytes.min(most), most }
}

/// Requests that were acknowledged and not answered before the last end; returns the highest place of one.
fn take_up(
    context: &Context,
    queue: &RequestQueue,
    topics: &Topics,
    options: &ServiceOptions,
    clerk: &Sender<Input>,
    changes: &mut Vec<Change>,
) -> Result<u64, ServiceError> {
    let waiting = context.store.inbox()?;
    let highest = waiting.iter().map(|request| request.seq).max().unwrap_or(0);
    context.attempts.keep(|seq| waiting.iter().any(|request| request.seq == seq));
    if !waiting.is_empty() {
        tracing::info!(requests = waiting.len(), "taking up requests from before the restart");
    }
    let unsaid = options.unsaid();
    for request in waiting {
        match recover(request, topics, &options.limits, &unsaid, context.store.clock_ms()) {
            Recovered::Run(job) if job.seq.is_some_and(|seq| context.attempts.ends(seq) >= MOST_ENDS) => {
                // The receiver is still held by the caller.
                let _ = clerk.send(Input::Performed(job.clone(), Box::new(Performed::given_up(&job))));
            }
            Recovered::Run(mut job) => {
                if let Some(seq) = job.seq.filter(|_| job.is_background()) {
                    job.under_way = !context.store.progress(seq)?.is_empty();
                    if let Some(layer) = job.request.layer.as_ref().filter(|_| job.under_way) {
                        context.layers.readmit(layer, job.number);
                    }
                }
                queue.restore(job);
            }
            Recovered::Answer(job, performed) => {
                // The receiver is still held by the caller.
                let _ = clerk.send(Input::Performed(job, performed));
            }
            Recovered::Drop(seq) => {
                let nothing = Finish { inbox: Some(seq), ..Finish::default() };
                changes.push(Change::Finish(Box::new(nothing)));
            }
        }
    }
    Ok(highest)
}
