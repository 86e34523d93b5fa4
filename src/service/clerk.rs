//! The clerk: the one thread that changes the store. It takes what has come meanwhile (messages, finished
//! requests, news of folders), makes it durable in one commit, and only then acknowledges, runs, publishes.
//!
//! While a commit is under way the next batch gathers, so a burst costs few syncs of the card. Acknowledged
//! messages are taken out of the outbox with the next commit, or after a short while.

mod commit;
mod connection;
mod deadlines;
mod delivery;
mod drops;
mod journal;
mod reception;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::admission::{Cancellation, IntakeRules};
use super::announce::Announcer;
use super::bus_thread::Permit;
use super::context::Context;
use super::echo::Echo;
use super::folders::FolderView;
use super::health::Tally;
use super::job::Job;
use super::performed::Performed;
use super::publisher::Publisher;
use super::pulse::{Organ, Pulse};
use super::queue::RequestQueue;
use super::verbs::Stepped;
use super::watcher::FolderNews;
use crate::accelerator::EngineNews;
use crate::bus::{AckToken, BusClient, BusEvent, OutgoingMessage, SubscribeToken};
use crate::cot::CotLive;
use crate::store::{Change, Finish, KeptAnswer, OutboxMessage};
use deadlines::Deadlines;
use drops::DropsTold;
pub(super) use journal::Backlog;
use trouble::Trouble;

/// Inputs taken in before a commit, so that one flood does not keep the rest waiting.
const BATCH: usize = 256;
/// Folders whose retained messages are remembered while a card hangs.
const MOST_RETAINED: usize = 1024;
/// Events that may wait for a card that cannot be written; they tell what the log and `health` tell, too.
const MOST_EVENTS_HELD: usize = 256;

/// What the clerk is told.
pub(super) enum Input {
    /// From the bus, with what lets the next one come.
    Bus(BusEvent, Permit),
    /// A worker has run a request.
    Performed(Box<Job>, Box<Performed>),
    /// A worker has come a step further with a request that takes many.
    Stepped(Box<Job>, Box<Stepped>),
    /// The watcher has looked; `models` says whether others are there than before.
    Looked { view: Arc<FolderView>, news: Vec<FolderNews>, models: bool },
    /// A model has another engine.
    Engine(EngineNews),
    /// Somebody else in this process has something to publish; whether there is a connection for it.
    Pass(Box<OutgoingMessage>, tokio::sync::oneshot::Sender<bool>),
    /// End in good order.
    Stop,
}

/// What follows when a change is durable.
enum Then {
    Nothing,
    Acknowledge(Option<AckToken>),
    /// Acknowledge, then run; or answer what it turned out to be.
    Accept(Box<Job>, Option<AckToken>),
    /// The step is durable: tell it, and go on.
    GoOn(Box<Job>, Arc<[u8]>),
    /// The session is durable as it was left, and others of its key may run.
    Settle(Box<Job>),
    /// What came before it in the same breath is on the queue by now, and may be taken back.
    Cancel(Box<Cancellation>, Option<AckToken>),
    /// Messages counted as delivered are out of the store.
    TakenOut((Vec<u64>, Vec<u64>)),
}

/// What a start has found, for the clerk to go on from.
#[derive(Default)]
pub(super) struct Found {
    /// Layer changes that are not in their files.
    pub backlog: Backlog,
    /// The highest place of a request that waited; all up to it are on the queue.
    pub highest: u64,
    /// What the start itself has to change and to tell.
    pub first: Vec<Change>,
}

pub(super) struct Clerk<C> {
    pub rules: IntakeRules,
    pub context: Arc<Context>,
    pub queue: Arc<RequestQueue>,
    pub publisher: Publisher<C>,
    pub announcer: Announcer,
    pub pulse: Arc<Pulse>,
    pub tally: Tally,
    echo: Echo,
    /// Subscriptions that the broker has not answered yet.
    asked: Vec<SubscribeToken>,
    /// It does not grant the one to our requests.
    deaf: bool,
    /// Messages on topics of another shape than ours.
    strange_topics: u64,
    /// Response topics outside the prefixes that were told of.
    foreign_topics: BTreeSet<String>,
    drops_told: DropsTold,
    /// Why there is no connection, as it was last logged.
    away: Option<String>,
    /// Times that the broker had lost our session.
    sessions_lost: u64,
    staged: Vec<(Change, Then)>,
    backlog: Backlog,
    /// The highest place of a request that was put on the queue, or had been before the start.
    highest: u64,
    deadlines: Deadlines,
    view: Arc<FolderView>,
    trouble: Trouble,
    /// Folders with a retained message from before this run, until it is known whether they are there.
    retained: BTreeSet<String>,
    stopping: bool,
}

impl<C: BusClient> Clerk<C> {
    pub fn new(
        rules: IntakeRules,
        context: Arc<Context>,
        queue: Arc<RequestQueue>,
        client: C,
        announcer: Announcer,
        pulse: Arc<Pulse>,
        found: Found,
    ) -> Self {
        let (now, run) = (Instant::now(), this_run());
        let mut deadlines = Deadlines::new(now);
        if found.backlog.is_behind() {
            deadlines.layers_failed(now);
        }
        if found.backlog.has_done() {
            // Struck soon also where nobody asks for anything that needs a commit.
            deadlines.linger(now);
        }
        Self {
            view: context.served.view(),
            context,
            queue,
            publisher: Publisher::new(client, rules.topics.ping(), run.clone()),
            pulse,
            tally: Tally::new(now),
            echo: Echo::new(announcer.self_test_interval(), run),
            asked: Vec::new(),
            deaf: false,
            strange_topics: 0,
            foreign_topics: BTreeSet::new(),
            drops_told: DropsTold::default(),
            away: None,
            sessions_lost: 0,
            announcer,
            rules,
            staged: found.first.into_iter().map(|change| (change, Then::Nothing)).collect(),
            backlog: found.backlog,
            highest: found.highest,
            deadlines,
            trouble: Trouble::default(),
            retained: BTreeSet::new(),
            stopping: false,
        }
    }

    /// Works until it is told to stop, or nobody is left to tell it anything.
    pub fn work(mut self, inputs: &Receiver<Input>) {
        while !self.stopping {
            self.pulse.beat(Organ::Clerk);
            match inputs.recv_timeout(self.patience()) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for _ in 1..BATCH {
                let Ok(input) = inputs.try_recv() else { break };
                self.take(input);
            }
            self.on_time();
            self.settle();
            self.publish();
        }
        self.queue.stop();
        self.settle();
        if self.backlog.owes() {
            // Once more: who takes the card out now reads the layers' files, and not the journal.
            self.apply_journal();
            self.settle();
        }
        let farewell = self.announcer.offline();
        self.publisher.client().stop(Some(farewell));
    }

    fn patience(&self) -> Duration {
        // What was staged while publishing waits for nobody.
        let is_ready = !self.staged.is_empty() && !self.deadlines.is_failing();
        if is_ready { Duration::ZERO } else { self.deadlines.next(Instant::now()) }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Bus(event, _permit) => self.bus_event(event),
            Input::Performed(job, performed) => self.performed(job, &performed),
            Input::Stepped(job, stepped) => {
                let Stepped { advance, progress } = *stepped;
                self.staged.push((Change::Advance(Box::new(advance)), Then::GoOn(job, progress)));
            }
            Input::Looked { view, news, models } => {
                self.folders(view, &news);
                if models {
                    self.publisher.tell(self.announcer.info(&self.context));
                }
            }
            Input::Engine(news) => self.engine(&news),
            Input::Pass(message, taken) => {
                let is_there = self.publisher.is_connected();
                match message.retain {
                    true => self.publisher.tell(*message),
                    false => drop(self.publisher.pass(*message)),
                }
                // Who has given up waiting needs no answer.
                let _ = taken.send(is_there);
            }
            Input::Stop => self.stopping = true,
        }
    }

    /// Tells everything retained; that we are online only where requests reach us.
    fn announce(&mut self, online: bool) {
        let told = self.announcer.all(&self.view, &self.context);
        let online = online.then(|| self.announcer.online());
        for message in told.into_iter().chain(online) {
            self.publisher.tell(message);
        }
    }

    fn performed(&mut self, job: Box<Job>, performed: &Performed) {
        self.tally.answered(performed.ok, job.received.elapsed());
        let volatile = job.seq.is_none() && performed.session.is_none() && performed.layers.is_empty();
        if volatile {
            let messages = job.reply.messages(&performed.answer);
            for message in messages.iter().chain(&performed.messages) {
                self.publish_now(message, job.reply.at_most_once);
            }
            self.over(&job);
            return;
        }
        let mut messages = self.answer(&job.reply, &performed.answer);
        messages.extend(performed.messages.iter().cloned());
        let session = performed.session.as_ref();
        let finish = Finish {
            inbox: job.seq,
            messages,
            sessions: session.map_or_else(Vec::new, |(key, state)| self.context.keep_session(key, state)),
            answer: job.key.filter(|_| performed.keep && job.id().is_some()).map(|key| KeptAnswer {
                key,
                payload: Arc::clone(&performed.answer),
                client: job.address.client.clone(),
                changes_state: job.changes_state(),
            }),
            layers: performed.layers.clone(),
        };
        self.staged.push((Change::Finish(Box::new(finish)), Then::Settle(job)));
    }

    fn folders(&mut self, view: Arc<FolderView>, news: &[FolderNews]) {
        let first = !self.view.looked;
        self.view = view;
        if first && self.view.ready.is_empty() && self.view.problems.is_empty() {
            tracing::info!("there is no feature folder yet; one is served as soon as it is there");
        }
        for name in std::mem::take(&mut self.retained) {
            self.retained_folder(name);
        }
        for item in news {
            log_folder(item);
            if let Some(message) = self.announcer.folder_message(&self.view, item) {
                self.publisher.tell(message);
            }
            self.event(self.announcer.folder_event(item));
        }
    }

    /// A folder has a retained message: it is taken back where there is no such folder (any more).
    fn retained_folder(&mut self, name: String) {
        if !self.view.looked {
            if self.retained.len() < MOST_RETAINED {
                self.retained.insert(name);
            }
        } else if !self.view.ready.contains_key(&name) && !self.view.problems.contains_key(&name) {
            self.publisher.tell(self.announcer.folder_gone(&name));
        }
    }

    fn engine(&mut self, news: &EngineNews) {
        match news {
            EngineNews::Ready { model, summary } => {
                tracing::info!(model, "an engine beside the processor's is ready: {summary}");
            }
            EngineNews::Agreed { .. } => self.context.engine.forget_tract(),
            EngineNews::Fallback { message, .. } => {
                tracing::error!("another engine decodes than the one that was to: {message}");
            }
        }
        self.publisher.tell(self.announcer.info(&self.context));
        if let Some(event) = self.announcer.engine_event(news) {
            self.event(event);
        }
    }

    fn event(&mut self, event: OutboxMessage) {
        if self.deadlines.is_failing() && self.staged.len() >= MOST_EVENTS_HELD {
            tracing::warn!(topic = event.topic, "an event is not told: the state cannot be written");
            return;
        }
        self.staged.push((Change::Publish(event), Then::Nothing));
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        self.tell_problems();
        if self.deadlines.take_health(now, self.announcer.health_interval()) {
            let of_cot = self.context.cot.as_ref().map_or_else(Vec::new, CotLive::problems);
            let (mut problems, delivery) = (self.trouble.told(), self.delivery_health());
            problems.extend(of_cot.iter().map(String::as_str));
            let health =
                self.announcer.health(&self.tally, &self.context, self.queue.len(), &problems, delivery, now);
            if self.publisher.is_connected()
                && let Err(cause) = self.publisher.publish_now(health)
            {
                tracing::warn!("health cannot be told: {cause}");
            }
            for expired in self.context.expired_sessions() {
                self.staged.push((Change::Session(expired), Then::Nothing));
            }
        }
        self.tell_drops(now);
        self.retry_layers(now);
        self.test_way_in(now);
    }
}

/// A line for what has become of a folder.
fn log_folder(news: &FolderNews) {
    match news {
        FolderNews::Added(folder) => tracing::info!(folder, "a feature folder answers prompts"),
        FolderNews::Changed(folder) => tracing::info!(folder, "a feature folder is another than before"),
        FolderNews::Removed(folder) => tracing::info!(folder, "a feature folder is gone from its card"),
        FolderNews::Problem(folder, problem) => {
            tracing::warn!(folder, code = %problem.code, "a feature folder is not ready: {}", problem.message);
        }
    }
}

/// What tells the pings of this run from those of others.
fn this_run() -> String {
    format!("ping {:x}-{:x} ", super::admission::wall_clock_ms(), std::process::id())
}
