//! The clerk: the one thread that changes the store. It takes what has come meanwhile (messages, finished
//! requests, news of folders), makes it durable in one commit, and only then acknowledges, runs, publishes.
//!
//! While a commit is under way the next batch gathers, so a burst costs few syncs of the card. Acknowledged
//! messages are taken out of the outbox with the next commit, or after a short while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::announce::Announcer;
use super::bench::Bench;
use super::health::Tally;
use super::intake::{Intake, IntakeRules};
use super::job::{Job, ReplyTo};
use super::publisher::{Publisher, outgoing};
use super::pulse::{Organ, Pulse};
use super::served::FolderView;
use super::verbs::{Performed, Shop};
use super::watcher::FolderNews;
use crate::ErrorCode;
use crate::api::Response;
use crate::bus::{AckToken, BusClient, BusEvent, IncomingMessage};
use crate::store::{Change, Class, Committed, Finish, InboxEntry, Lookup, OutboxMessage, Outcome};

/// Inputs taken in before a commit, so that one flood does not keep the rest waiting.
const BATCH: usize = 256;
/// How long a delivered message may stay in the outbox when no other change comes along.
const LINGER: Duration = Duration::from_millis(500);
/// How long to wait before a failed commit is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the clerk is told.
pub(super) enum Input {
    Bus(BusEvent),
    /// A worker has run a request.
    Performed(Box<Job>, Box<Performed>),
    /// The watcher has looked.
    Folders(Arc<FolderView>, Vec<FolderNews>),
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
    /// Messages counted as delivered are out of the store.
    TakenOut((Vec<u64>, Vec<u64>)),
}

pub(super) struct Clerk<C> {
    pub rules: IntakeRules,
    pub shop: Arc<Shop>,
    pub bench: Arc<Bench>,
    pub publisher: Publisher<C>,
    pub announcer: Announcer,
    pub pulse: Arc<Pulse>,
    pub tally: Tally,
    staged: Vec<(Change, Then)>,
    /// Layer changes that are in their files.
    journal_done: Vec<u64>,
    /// Since when something waits for the next commit only to be taken out.
    lingering_since: Option<Instant>,
    /// When a failed commit, or a failed write to a layer, is tried again.
    retry_at: Option<Instant>,
    journal_failed: bool,
    next_health: Instant,
    view: Arc<FolderView>,
    stopping: bool,
}

impl<C: BusClient> Clerk<C> {
    pub fn new(
        rules: IntakeRules,
        shop: Arc<Shop>,
        bench: Arc<Bench>,
        client: C,
        announcer: Announcer,
        pulse: Arc<Pulse>,
    ) -> Self {
        let now = Instant::now();
        Self {
            rules,
            view: shop.served.view(),
            shop,
            bench,
            publisher: Publisher::new(client),
            announcer,
            pulse,
            tally: Tally::new(now),
            staged: Vec::new(),
            journal_done: Vec::new(),
            lingering_since: None,
            retry_at: None,
            journal_failed: false,
            next_health: now,
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
        self.bench.stop();
        self.settle();
        let farewell = self.announcer.offline();
        self.publisher.client().stop(Some(farewell));
    }

    fn patience(&self) -> Duration {
        let now = Instant::now();
        let mut until = now + Duration::from_secs(1);
        until = until.min(self.next_health);
        if let Some(since) = self.lingering_since {
            until = until.min(since + LINGER);
        }
        if let Some(retry) = self.retry_at {
            until = until.min(retry);
        }
        until.saturating_duration_since(now)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Bus(event) => self.bus_event(event),
            Input::Performed(job, performed) => self.performed(job, &performed),
            Input::Folders(view, news) => self.folders(view, news),
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
                for (filter, reason) in refused {
                    tracing::error!(filter, reason, "the broker does not grant a subscription");
                }
                // Now requests reach us: say so.
                self.announce();
            }
            BusEvent::Disconnected { error, unacknowledged, retry_in } => {
                self.publisher.disconnected(&unacknowledged);
                tracing::warn!(%error, ?retry_in, "the broker is away");
            }
            BusEvent::ConnectFailed { error, retry_in } => {
                tracing::info!(%error, ?retry_in, "the broker is not there yet");
            }
            BusEvent::Message(message) => self.message(message),
            BusEvent::Published { token, outcome } => {
                self.publisher.published(token, &outcome);
                if self.publisher.delivered() > 0 {
                    self.lingering_since.get_or_insert_with(Instant::now);
                }
            }
            BusEvent::Unsubscribed { .. } | BusEvent::Stopped { .. } => {}
        }
    }

    fn announce(&mut self) {
        let messages = self.announcer.all(&self.view, self.shop.models());
        for message in messages {
            self.publisher.publish_now(message);
        }
    }

    fn message(&mut self, message: IncomingMessage) {
        let ack = message.ack;
        match self.rules.judge(message, Instant::now()) {
            Intake::Ignore => self.acknowledge(ack),
            Intake::Folder(name) => {
                self.acknowledge(ack);
                if !self.view.ready.contains_key(&name) && !self.view.problems.contains_key(&name) {
                    self.publisher.publish_now(self.announcer.folder_gone(&name));
                }
            }
            Intake::Refuse(reply, response) => self.refuse(&reply, &response, ack),
            Intake::Cancel(reply, address, id, request_id) => {
                let wanted = |job: &Job| {
                    request_id
                        .as_ref()
                        .is_none_or(|wanted| job.id().is_some_and(|id| id.to_string() == wanted.to_string()))
                };
                // What came before it in the same breath is on the bench only when it is durable.
                self.settle();
                let cancelled = self.bench.cancel(&address.client, wanted);
                let mut members = serde_json::Map::new();
                members.insert("cancelled".to_owned(), cancelled.len().into());
                for job in cancelled {
                    let text = "the request was taken back by its client";
                    let response = Response::error(job.id(), ErrorCode::Cancelled, text);
                    self.performed(job, &Performed::answer(response));
                }
                self.refuse(&reply, &Response::reply(id, members), ack);
            }
            Intake::Volatile(job) => {
                self.acknowledge(ack);
                match self.bench.offer(job) {
                    Ok(None) => {}
                    Ok(Some(displaced)) => {
                        let text = "a newer preview of this client took its place";
                        let response = Response::error(displaced.id(), ErrorCode::Superseded, text);
                        self.answer_now(&displaced.reply, &response);
                        self.tally.answered(false, displaced.received.elapsed());
                    }
                    Err(job) => self.answer_now(&job.reply, &busy(&job)),
                }
            }
            Intake::Durable(job, entry) => {
                let client = &job.address.client;
                let promised = self.staged.iter().filter_map(|(_, then)| match then {
                    Then::Accept(job, _) => Some(job.address.client == *client),
                    _ => None,
                });
                let promised: Vec<bool> = promised.collect();
                let of_client = promised.iter().filter(|mine| **mine).count();
                if self.bench.has_room(client, false, promised.len(), of_client) || self.is_known(&entry) {
                    self.staged.push((Change::Receive(entry), Then::Accept(job, ack)));
                } else {
                    self.refuse(&job.reply, &busy(&job), ack);
                }
            }
        }
    }

    /// Whether a request has come before: then it takes no room, and gets the answer that it has got or will
    /// get. A broker delivers again what it does not know to be acknowledged; BUSY would be a second answer.
    fn is_known(&self, entry: &InboxEntry) -> bool {
        let Some(key) = &entry.key else { return false };
        let staged = |(change, _): &(Change, Then)| matches!(change, Change::Receive(other) if other.key.as_ref() == Some(key));
        if self.staged.iter().any(staged) {
            return true;
        }
        match self.shop.store.lookup(key) {
            Ok(Lookup::Pending(_) | Lookup::Same(_)) => true,
            Ok(Lookup::OtherPayload) => entry.changes_state,
            Ok(Lookup::Unknown) => false,
            Err(error) => {
                // The commit meets the same trouble, and decides when it is over.
                tracing::error!(%error, "the inbox cannot be read");
                true
            }
        }
    }

    fn acknowledge(&self, ack: Option<AckToken>) {
        if let Some(ack) = ack {
            self.publisher.client().acknowledge(ack);
        }
    }

    /// Answers a request that is not run: durably where the broker waits for an acknowledgement.
    fn refuse(&mut self, reply: &ReplyTo, response: &Response, ack: Option<AckToken>) {
        self.tally.answered(response.is_ok(), Duration::ZERO);
        if ack.is_none() {
            self.answer_now(reply, response);
            return;
        }
        let finish = Finish { messages: reply.messages(&to_bytes(response)), ..Finish::default() };
        self.staged.push((Change::Finish(Box::new(finish)), Then::Acknowledge(ack)));
    }

    fn answer_now(&self, reply: &ReplyTo, response: &Response) {
        for message in reply.messages(&to_bytes(response)) {
            self.publisher.publish_now(outgoing(&message));
        }
    }

    fn performed(&mut self, job: Box<Job>, performed: &Performed) {
        self.tally.answered(performed.ok, job.received.elapsed());
        let volatile = job.seq.is_none() && performed.session.is_none() && performed.layers.is_empty();
        if volatile {
            for message in job.reply.messages(&performed.answer).iter().chain(&performed.messages) {
                self.publisher.publish_now(outgoing(message));
            }
            self.bench.finished(&job);
            return;
        }
        let mut messages = job.reply.messages(&performed.answer);
        messages.extend(performed.messages.iter().cloned());
        let session = performed.session.as_ref();
        let finish = Finish {
            inbox: job.seq,
            messages,
            sessions: session.map_or_else(Vec::new, |(key, state)| self.shop.keep_session(key, state)),
            answer: job.key.filter(|_| performed.keep).map(|key| (key, Arc::clone(&performed.answer))),
            layers: performed.layers.clone(),
        };
        self.staged.push((Change::Finish(Box::new(finish)), Then::Settle(job)));
    }

    fn folders(&mut self, view: Arc<FolderView>, news: Vec<FolderNews>) {
        self.view = view;
        for item in &news {
            tracing::info!(?item, "folders");
            if let Some(message) = self.announcer.folder_message(&self.view, item) {
                self.publisher.publish_now(message);
            }
            self.event(self.announcer.folder_event(item));
        }
    }

    fn event(&mut self, event: OutboxMessage) {
        self.staged.push((Change::Publish(event), Then::Nothing));
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        if now >= self.next_health {
            self.next_health = now + self.announcer.health_interval();
            let health = self.announcer.health(&self.tally, &self.shop, self.bench.len(), now);
            if self.publisher.is_connected() {
                self.publisher.publish_now(health);
            }
            for expired in self.shop.expired_sessions() {
                self.staged.push((Change::Session(expired), Then::Nothing));
            }
        }
        if self.journal_failed && self.retry_at.is_none_or(|at| at <= now) {
            self.apply_journal();
        }
    }

    /// Layer changes that could not be written when they were committed.
    fn apply_journal(&mut self) {
        match self.shop.store.journal() {
            Ok(journal) => {
                let applied = self.shop.layers.apply(&journal);
                self.layers_applied(applied);
            }
            Err(error) => tracing::error!(%error, "cannot read the journal of layers"),
        }
    }

    fn layers_applied(&mut self, applied: crate::layers::Applied) {
        self.journal_done.extend(applied.done);
        self.journal_failed = !applied.failed.is_empty();
        for error in &applied.failed {
            tracing::error!(%error, "a saved object is not in its layer yet; it is tried again");
            self.retry_at = Some(Instant::now() + RETRY);
        }
        if !self.journal_done.is_empty() {
            self.lingering_since.get_or_insert_with(Instant::now);
        }
    }

    /// Commits what is staged, and what follows from it, until nothing is left to commit.
    fn settle(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at > now) && !self.stopping {
            return;
        }
        self.retry_at = None;
        let overdue = self.lingering_since.is_some_and(|since| since + LINGER <= now);
        if self.staged.is_empty() && !overdue && !self.stopping {
            return;
        }
        let mut first = true;
        while first || !self.staged.is_empty() {
            first = false;
            if self.publisher.delivered() > 0 {
                let out = self.publisher.to_take_out();
                self.staged.push((Change::Acked(out.0.clone()), Then::Nothing));
                self.staged.push((Change::Discard(out.1.clone()), Then::TakenOut(out)));
            }
            let journal_done = std::mem::take(&mut self.journal_done);
            if !journal_done.is_empty() {
                self.staged.push((Change::JournalDone(journal_done), Then::Nothing));
            }
            if self.staged.is_empty() {
                break;
            }
            let batch = self.staged.iter().map(|(change, _)| change.clone()).collect();
            match self.shop.store.commit(batch) {
                Ok(committed) => {
                    let staged = std::mem::take(&mut self.staged);
                    self.follow(staged, committed);
                }
                Err(error) => {
                    // Nothing is acknowledged that is not durable: the broker keeps it meanwhile.
                    tracing::error!(%error, "the state cannot be written; trying again");
                    self.retry_at = Some(now + RETRY);
                    return;
                }
            }
        }
        self.lingering_since = None;
    }

    fn follow(&mut self, staged: Vec<(Change, Then)>, committed: Committed) {
        if !committed.journal.is_empty() {
            let applied = self.shop.layers.apply(&committed.journal);
            self.layers_applied(applied);
        }
        let mut drops: BTreeMap<Class, usize> = BTreeMap::new();
        for dropped in &committed.dropped {
            *drops.entry(dropped.class).or_default() += 1;
        }
        if !drops.is_empty() {
            let text = drops.iter().map(|(class, n)| format!("{n} {}", class.as_str()));
            let text = text.collect::<Vec<_>>().join(", ");
            tracing::warn!(text, "the outbox is full; messages were dropped");
            // Told once a burst, and never about events alone: that would feed itself.
            if drops.keys().any(|class| *class != Class::Event) {
                self.event(self.announcer.outbox_full(&drops));
            }
        }
        for ((_, then), outcome) in staged.into_iter().zip(committed.outcomes) {
            match then {
                Then::Nothing => {}
                Then::Acknowledge(ack) => self.acknowledge(ack),
                Then::TakenOut(out) => self.publisher.taken_out(&out),
                Then::Accept(job, ack) => self.accepted(job, ack, outcome),
                Then::Settle(job) => self.bench.finished(&job),
            }
        }
    }

    fn accepted(&mut self, mut job: Box<Job>, ack: Option<AckToken>, outcome: Outcome) {
        match outcome {
            Outcome::Received(seq) => {
                self.acknowledge(ack);
                job.seq = Some(seq);
                self.bench.restore(job);
            }
            // It came again before it was answered: it will be answered once.
            Outcome::Pending(_) => self.acknowledge(ack),
            Outcome::Answered(answer) => {
                let finish = Finish { messages: job.reply.messages(&answer), ..Finish::default() };
                self.staged.push((Change::Finish(Box::new(finish)), Then::Acknowledge(ack)));
            }
            Outcome::IdReused => {
                let text = "this id was used for another request, which has been done; use a new id";
                let response = Response::error(job.id(), ErrorCode::IdReused, text);
                self.refuse(&job.reply, &response, ack);
            }
            Outcome::InboxFull { .. } => self.refuse(&job.reply, &busy(&job), ack),
            Outcome::Finished { .. } | Outcome::NotInInbox | Outcome::Done => self.acknowledge(ack),
        }
    }

    fn publish(&mut self) {
        let oversized = match self.publisher.pump(&self.shop.store) {
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
            self.lingering_since.get_or_insert_with(Instant::now);
        }
    }
}

fn busy(job: &Job) -> Response {
    let text = "too many requests are waiting; try again later";
    Response::error(job.id(), ErrorCode::Busy, text)
}

/// A response as it goes out.
pub(super) fn to_bytes(response: &Response) -> Arc<[u8]> {
    // Every part of a response is a string, a finite number or a list of them: none can fail to be written.
    serde_json::to_vec(response).unwrap_or_default().into()
}
