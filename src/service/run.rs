//! Starts the threads and holds them together.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::admission::IntakeRules;
use super::announce::{Announcer, Facts};
use super::bus_thread::hand_on;
use super::clerk::{Backlog, Clerk, Found, Input};
use super::context::Context;
use super::folders::ServedFolders;
use super::pulse::{Organ, Pulse, feed_watchdog, tell_systemd};
use super::queue::RequestQueue;
use super::schedule::Bounds;
use super::unanswered::{Recovered, recover};
use super::watcher::Watcher;
use super::{ServiceError, ServiceOptions};
use crate::accelerator::{Accelerator, Listener, SelfCheck};
use crate::bus::{BusClient, BusConnection, Topics};
use crate::engine::{Engine, EngineOptions};
use crate::layers::Layers;
use crate::session::SessionTable;
use crate::store::{Change, Finish, Store};

/// How long a stop waits for what still runs: longer than the bus takes to take leave.
const PARTING: Duration = Duration::from_secs(10);

/// A running service. Dropping it without [`Service::stop`] leaves its threads running, all but the watcher.
pub struct Service {
    clerk: Sender<Input>,
    threads: Vec<JoinHandle<()>>,
    /// Held as long as the watcher shall look.
    watching: Sender<()>,
}

impl Service {
    /// Opens the state, looks for folders, takes up what a crash left, and starts to serve.
    ///
    /// # Errors
    /// The state or models directory cannot be used. Folders and broker may come later.
    pub fn start<C, E>(options: ServiceOptions, client: C, events: E) -> Result<Self, ServiceError>
    where
        C: BusClient + 'static,
        E: BusConnection + 'static,
    {
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
        let announcer = Announcer::new(topics.clone(), facts(&options), options.health_interval);

        // The receiver lives in this function until its thread has it.
        let (clerk, inputs) = channel();
        let engine = open_engine(&options, &clerk)?;
        let context = Arc::new(Context {
            engine,
            served: ServedFolders::default(),
            store,
            layers,
            topics: topics.clone(),
            pulse: Arc::clone(&pulse),
            max_answer_bytes: options.max_answer_bytes,
            max_points: options.limits.max_points,
            max_layers: options.layers,
            sessions: Mutex::new(sessions),
        });
        // Folders first: a request from before a restart shall find them.
        let mut watcher = Watcher::new(options.features.clone());
        let (view, news) = watcher.look(|folder| context.engine.decoders().check(folder));
        let view = context.served.replace(view);

        let queue = Arc::new(RequestQueue::new(Bounds {
            queue: options.queue,
            per_client: options.queue_per_client,
            previews: options.previews,
        }));
        view.warm_up(&context.engine);
        let highest = take_up(&context, &queue, &topics, &options, &clerk, &mut first)?;
        let _ = clerk.send(Input::Looked { view, news, models: false });

        let rules = IntakeRules {
            topics,
            limits: options.limits,
            response_prefixes: options.response_prefixes.clone(),
            previews: options.previews > 0,
        };
        let found = Found { backlog, highest, first };
        let (of_clerk, beating) = (Arc::clone(&context), Arc::clone(&pulse));
        let office = Clerk::new(rules, of_clerk, Arc::clone(&queue), client, announcer, beating, found);
        let mut threads = vec![spawn("clerk", move || office.work(&inputs))?];
        for _ in 0..options.workers {
            let (queue, context, pulse, clerk) =
                (Arc::clone(&queue), Arc::clone(&context), Arc::clone(&pulse), clerk.clone());
            threads.push(spawn("worker", move || super::worker::work(&queue, &context, &pulse, &clerk))?);
        }
        let (sender, beating) = (clerk.clone(), Arc::clone(&pulse));
        threads.push(spawn("bus", move || hand_on(events, &sender, &beating))?);
        let (sender, every) = (clerk.clone(), options.look_interval);
        let (watching, ended) = channel();
        threads.push(spawn("watcher", move || watch(watcher, &context, &sender, every, &ended))?);
        let started = Arc::clone(&pulse);
        // It does not end by itself, and holds nothing that must be closed.
        spawn("watchdog", move || feed_watchdog(&pulse))?;
        started.started();
        tell_systemd(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status("serving")]);
        Ok(Self { clerk, threads, watching })
    }

    /// Ends in good order: what is answered is told, `offline` is said. A request that still runs after
    /// ten seconds is left to its thread; it is in the inbox, and runs again after the next start.
    pub fn stop(self) {
        tell_systemd(&[sd_notify::NotifyState::Stopping]);
        // A clerk that is gone has stopped already.
        let _ = self.clerk.send(Input::Stop);
        drop(self.watching);
        let begin = Instant::now();
        for thread in self.threads {
            while !thread.is_finished() && begin.elapsed() < PARTING {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !thread.is_finished() {
                tracing::warn!(thread = thread.thread().name(), "it still works, and is left behind");
            } else if thread.join().is_err() {
                tracing::error!("a thread had failed");
            }
        }
    }
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

fn open_engine(options: &ServiceOptions, clerk: &Sender<Input>) -> Result<Engine, ServiceError> {
    let engine = Engine::open(&EngineOptions {
        models: options.models.clone(),
        cards: options.features.clone(),
        engine: options.engine,
        threads: options.threads,
        cache_bytes: options.cache_bytes,
    })?;
    let clerk = clerk.clone();
    // A clerk that is gone needs no news.
    let listener: Listener = Arc::new(move |news| drop(clerk.send(Input::Engine(news))));
    let engine = match options.self_check.clone() {
        Some(check) => engine.with_self_check(SelfCheck::new(check, Arc::clone(&listener))),
        None => engine,
    };
    Ok(match options.accelerator.clone() {
        Some(accelerator) => engine.with_accelerator(Accelerator::new(accelerator, listener)),
        None => engine,
    })
}

pub(super) const fn facts(options: &ServiceOptions) -> Facts {
    Facts {
        limits: options.limits,
        sessions: options.sessions,
        queue: options.queue,
        per_client: options.queue_per_client,
        layers: options.layers,
        max_answer_bytes: options.max_answer_bytes,
    }
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
    if !waiting.is_empty() {
        tracing::info!(requests = waiting.len(), "taking up requests from before the restart");
    }
    for request in waiting {
        match recover(request, topics, &options.limits, context.store.clock_ms()) {
            Recovered::Run(job) => queue.restore(job),
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

/// Looks again and again, until nobody holds the other end of `ended`.
fn watch(
    mut watcher: Watcher,
    context: &Context,
    clerk: &Sender<Input>,
    every: Duration,
    ended: &Receiver<()>,
) {
    while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let before = context.served.view();
        let models = context.engine.look_for_models();
        let (view, news) = watcher.look(|folder| context.engine.decoders().check(folder));
        if news.is_empty() && !models {
            continue;
        }
        let view = context.served.replace(view);
        view.warm_up(&context.engine);
        for (name, folder) in &before.ready {
            if !view.ready.get(name).is_some_and(|now| Arc::ptr_eq(now, folder)) {
                context.engine.forget(folder);
            }
        }
        if clerk.send(Input::Looked { view, news, models }).is_err() {
            return;
        }
    }
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServiceError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(|source| ServiceError::Thread { name, source })
}
