//! The clerk: the one thread that changes the store. It takes what has come meanwhile (messages, finished
//! requests, news of folders), makes it durable in one commit, and only then acknowledges, runs, publishes.
//!
//! While a commit is under way the next batch gathers, so a burst costs few syncs of the card. Acknowledged
//! messages are taken out of the outbox with the next commit, or after a short while.

mod commit;
mod deadlines;
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
use super::folders::FolderView;
use super::health::Tally;
use super::job::Job;
use super::performed::{Performed, to_bytes};
use super::publisher::{Publisher, outgoing};
use super::pulse::{Organ, Pulse, tell_status};
use super::queue::RequestQueue;
use super::watcher::FolderNews;
use crate::ErrorCode;
use crate::accelerator::EngineNews;
use crate::api::Response;
use crate::bus::{AckToken, BusClient, BusEvent};
use crate::store::{Change, Class, Finish, KeptAnswer, OutboxMessage};
use deadlines::Deadlines;
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
    /// The watcher has looked; `models` says whether others are there than before.
    Looked { view: Arc<FolderView>, news: Vec<FolderNews>, models: bool },
    /// A model has another engine.
    Engine(EngineNews),
    /// End in good order.
    Stop,
}

/// What follows when a change is durable.
enum Then {
    Nothing,
    Acknowledge(Option<AckToken>),
    /// Acknowledge, then run; or answer what it turned out to be.
    Accept(Box<Job>, Option<AckToken>),
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
        let now = Instant::now();
        let mut deadlines = Deadlines::new(now);
        if found.backlog.is_behind() {
            deadlines.layers_failed(now);
        }
        Self {
            rules,
            view: context.served.view(),
            context,
            queue,
            publisher: Publisher::new(client),
            announcer,
            pulse,
            tally: Tally::new(now),
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
            Input::Looked { view, news, models } => {
                self.folders(view, &news);
                if models {
                    self.publisher.publish_now(self.announcer.info(&self.context));
                }
            }
            Input::Engine(news) => self.engine(&news),
            Input::Stop => self.stopping = true,
        }
    }

    fn bus_event(&mut self, event: BusEvent) {
        match event {
            BusEvent::Connected { session_present, .. } => {
                tracing::info!(session_present, "connected to the broker");
                self.publisher.connected();
                if let Err(error) = self.announcer.subscribe(self.publisher.client()) {
                    tracing::warn!(%error, "cannot subscribe");
                }
            }
            BusEvent::Subscribed { refused, .. } => {
                let requests = self.rules.topics.request_filter();
                let deaf = refused.iter().any(|(filter, _)| *filter == requests);
                for (filter, reason) in refused {
                    tracing::error!(filter, reason, "the broker does not grant a subscription");
                }
                self.announce(!deaf);
                tell_status(if deaf { "the broker does not let requests reach us" } else { "serving" });
            }
            BusEvent::Disconnected { error, unacknowledged, retry_in } => {
                self.publisher.disconnected(&unacknowledged);
                tracing::warn!(%error, ?retry_in, "the broker is away");
                tell_status(&format!("serving; the broker is away: {error}"));
            }
            BusEvent::ConnectFailed { error, retry_in } => {
                tracing::info!(%error, ?retry_in, "the broker is not there yet");
                tell_status(&format!("serving; the broker is not there yet: {error}"));
            }
            BusEvent::Message(message) => self.message(message),
            BusEvent::Published { token, outcome } => {
                self.publisher.published(token, &outcome);
                if self.publisher.delivered() > 0 {
                    self.deadlines.linger(Instant::now());
                }
            }
            BusEvent::Unsubscribed { .. } | BusEvent::Stopped { .. } => {}
        }
    }

    /// Tells everything retained; that we are online only where requests reach us.
    fn announce(&mut self, online: bool) {
        let told = self.announcer.all(&self.view, &self.context);
        let online = online.then(|| self.announcer.online());
        for message in told.into_iter().chain(online) {
            self.publisher.publish_now(message);
        }
    }

    fn performed(&mut self, job: Box<Job>, performed: &Performed) {
        self.tally.answered(performed.ok, job.received.elapsed());
        let volatile = job.seq.is_none() && performed.session.is_none() && performed.layers.is_empty();
        if volatile {
            for message in job.reply.messages(&performed.answer).iter().chain(&performed.messages) {
                self.publisher.publish_now(outgoing(message));
            }
            self.queue.finished(&job);
            return;
        }
        let mut messages = job.reply.messages(&performed.answer);
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
                changes_state: job.address.verb.changes_state(),
            }),
            layers: performed.layers.clone(),
        };
        self.staged.push((Change::Finish(Box::new(finish)), Then::Settle(job)));
    }

    fn folders(&mut self, view: Arc<FolderView>, news: &[FolderNews]) {
        self.view = view;
        for name in std::mem::take(&mut self.retained) {
            self.retained_folder(name);
        }
        for item in news {
            tracing::info!(?item, "folders");
            if let Some(message) = self.announcer.folder_message(&self.view, item) {
                self.publisher.publish_now(message);
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
            self.publisher.publish_now(self.announcer.folder_gone(&name));
        }
    }

    fn engine(&mut self, news: &EngineNews) {
        match news {
            EngineNews::Ready { model, summary } => tracing::info!(model, summary, "the engine is ready"),
            EngineNews::Agreed { .. } => self.context.engine.forget_tract(),
            EngineNews::Fallback { message, .. } => tracing::error!(message, "another engine decodes"),
        }
        self.publisher.publish_now(self.announcer.info(&self.context));
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
            let problems = self.trouble.told();
            let health = self.announcer.health(&self.tally, &self.context, self.queue.len(), &problems, now);
            if self.publisher.is_connected() {
                self.publisher.publish_now(health);
            }
            for expired in self.context.expired_sessions() {
                self.staged.push((Change::Session(expired), Then::Nothing));
            }
        }
        self.retry_layers(now);
    }

    fn publish(&mut self) {
        let oversized = match self.publisher.pump(&self.context.store) {
            Ok(oversized) => oversized,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                return;
            }
        };
        for message in oversized {
            let topic = &message.entry.message.topic;
            tracing::warn!(topic, bytes = message.bytes, limit = message.limit, "too large for the broker");
            if message.entry.message.class != Class::Answer {
                continue;
            }
            // The asker shall not wait for nothing: the same answer, as an error that fits.
            #[derive(serde::Deserialize)]
            struct Answer {
                id: Option<crate::api::RequestId>,
            }
            let id = serde_json::from_slice::<Answer>(&message.entry.message.payload).ok().and_then(|a| a.id);
            let text = format!(
                "the answer has {} bytes where the broker takes {}; set output.max_bytes lower",
                message.bytes, message.limit
            );
            let payload = to_bytes(&Response::error(id, ErrorCode::TooLarge, text));
            let answer = OutboxMessage { payload, ..message.entry.message };
            self.staged.push((Change::Publish(answer), Then::Nothing));
        }
        if self.publisher.delivered() > 0 {
            self.deadlines.linger(Instant::now());
        }
    }
}
