//! Starts the threads and holds them together. What they work on is made by `office`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::bus_thread::hand_on;
use super::clerk::Input;
use super::context::Context;
use super::office::{Office, furnish};
use super::pulse::{feed_watchdog, tell_systemd};
use super::shown::FoldersShown;
use super::watcher::Watcher;
use super::{ServiceError, ServiceOptions};
use crate::accelerator::{Accelerator, Listener, SelfCheck};
use crate::bus::{BusClient, BusConnection, OutgoingMessage};
use crate::cot::{CotThread, Outlet};
use crate::engine::{Engine, EngineOptions};

/// How long a stop waits for what still runs: longer than the bus takes to take leave.
const PARTING: Duration = Duration::from_secs(10);

/// How long a start waits for the first look at the folders, so that requests from before it find them. A card that
/// hangs keeps nobody from starting.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// A running service. Dropping it without [`Service::stop`] leaves its threads running, all but the watcher.
pub struct Service {
    context: Arc<Context>,
    clerk: Sender<Input>,
    threads: Vec<JoinHandle<()>>,
    /// Held as long as the watcher shall look.
    watching: Sender<()>,
    ends: Sender<End>,
    ended: Receiver<End>,
    /// It does without others, and others without it.
    cot: Option<CotThread>,
}

/// Why a service is to be stopped.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Somebody asked for it.
    Asked,
    /// A thread that it cannot do without has ended by itself.
    Thread(&'static str),
}

/// Asks a service to end, from any thread.
#[derive(Debug, Clone)]
pub struct Stopper(Sender<End>);

impl Stopper {
    /// Lets [`Service::wait`] return.
    pub fn stop(&self) {
        // A service that is gone has ended.
        let _ = self.0.send(End::Asked);
    }
}

/// Tells of the end of a thread, also by a panic, when it is dropped.
struct EndOfThread {
    name: &'static str,
    ends: Sender<End>,
}

impl Drop for EndOfThread {
    fn drop(&mut self) {
        // Nobody listens any more while the service stops.
        let _ = self.ends.send(End::Thread(self.name));
    }
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
        let office = furnish(&options, client, |clerk| open_engine(&options, clerk))?;
        let Office { clerk: office, context, queue, sender: clerk, inputs } = office;
        let pulse = Arc::clone(&office.pulse);
        let (ends, ended) = channel();
        let mut threads = Vec::new();
        // Folders first: a request from before a restart shall find them.
        let watcher = Watcher::new(options.features.clone());
        let (sender, every, of_watcher) = (clerk.clone(), options.look_interval, Arc::clone(&context));
        let ((watching, stopped), (looked, first_look)) = (channel(), channel());
        let watch = move || watch(watcher, &of_watcher, &sender, every, &stopped, looked);
        threads.push(spawn("watcher", &ends, watch)?);
        if first_look.recv_timeout(FIRST_LOOK).is_err() {
            tracing::error!("a card does not answer; serving without it until it does");
        }

        threads.push(spawn("clerk", &ends, move || office.work(&inputs))?);
        for _ in 0..options.workers {
            let (queue, context, pulse, clerk) =
                (Arc::clone(&queue), Arc::clone(&context), Arc::clone(&pulse), clerk.clone());
            let work = move || super::worker::work(&queue, &context, &pulse, &clerk);
            threads.push(spawn("worker", &ends, work)?);
        }
        let (sender, beating) = (clerk.clone(), Arc::clone(&pulse));
        threads.push(spawn("bus", &ends, move || hand_on(events, &sender, &beating))?);
        // It holds nothing that must be closed, ends at once where nobody wants it, and is missed by systemd.
        let started = Arc::clone(&pulse);
        spawn("watchdog", &channel().0, move || feed_watchdog(&pulse))?;
        let cot = start_cot(&context, &clerk);
        started.started();
        tell_systemd(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status("serving")]);
        Ok(Self { context, clerk, threads, watching, ends, ended, cot })
    }

    /// What asks the service to end.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.ends.clone())
    }

    /// What is served now, for others to look at.
    pub fn folders_shown(&self) -> FoldersShown {
        FoldersShown::new(Arc::clone(&self.context))
    }

    /// Waits until somebody asks for the end; [`Service::stop`] is then to be called.
    ///
    /// # Errors
    /// A thread that the service cannot do without has ended, by a fault of ours. Nothing is lost by ending the
    /// program at once: what was acknowledged is on the card.
    pub fn wait(&self) -> Result<(), ServiceError> {
        match self.ended.recv() {
            Ok(End::Thread(thread)) => Err(ServiceError::Ended { thread }),
            // The service holds a sender itself, so there is always somebody who could ask.
            Ok(End::Asked) | Err(_) => Ok(()),
        }
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
        if let Some(cot) = self.cot {
            cot.stop();
        }
        self.context.attempts.forgive();
    }
}

/// Starts to send saved objects to TAK, where the options say so. Whatever becomes of it, the service goes on.
fn start_cot(context: &Context, clerk: &Sender<Input>) -> Option<CotThread> {
    let cot = context.cot.as_ref()?;
    match cot.start(Arc::new(ToBroker(clerk.clone()))) {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::error!(%error, "saved objects are not sent to TAK");
            None
        }
    }
}

/// The clerk's connection to the broker, for others who have something to publish.
struct ToBroker(Sender<Input>);

impl Outlet for ToBroker {
    fn publish(&self, message: OutgoingMessage, taken: tokio::sync::oneshot::Sender<bool>) {
        // A clerk that is gone drops both, which is an answer.
        let _ = self.0.send(Input::Pass(Box::new(message), taken));
    }
}

fn open_engine(options: &ServiceOptions, clerk: &Sender<Input>) -> Result<Arc<Engine>, ServiceError> {
    let engine = Engine::open(&EngineOptions {
        models: options.models.clone(),
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
    Ok(Arc::new(match options.accelerator.clone() {
        Some(accelerator) => engine.with_accelerator(Accelerator::new(accelerator, listener)),
        None => engine,
    }))
}

/// Looks, and tells `first` so, and looks again and again, until nobody holds the other end of `stopped`.
fn watch(
    mut watcher: Watcher,
    context: &Context,
    clerk: &Sender<Input>,
    every: Duration,
    stopped: &Receiver<()>,
    first: Sender<()>,
) {
    let mut first = Some(first);
    // Nobody waits for the first look.
    let mut pause = Duration::ZERO;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = every;
        let before = context.served.view();
        let mut models = false;
        let (view, news) = watcher.look(
            |on_cards| models = context.engine.look_for_models(on_cards),
            |folder| context.engine.decoders().check(folder),
        );
        if news.is_empty() && !models && before.looked {
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
        // The start goes on when it is told, or when this thread is gone.
        if let Some(first) = first.take() {
            let _ = first.send(());
        }
    }
}

fn spawn(
    name: &'static str,
    ends: &Sender<End>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ServiceError> {
    let end = EndOfThread { name, ends: ends.clone() };
    let work = move || {
        let _end = end;
        work();
    };
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(|source| ServiceError::Thread { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_told_of() {
        let (ends, ended) = channel();
        let thread = spawn("clerk", &ends, || panic!("a fault")).unwrap();
        assert!(thread.join().is_err());
        assert!(matches!(ended.recv(), Ok(End::Thread("clerk"))));
    }
}
