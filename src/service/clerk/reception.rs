//! What comes in: a request is staged for the next commit, run from memory, or refused at once.

use std::time::{Duration, Instant};

use super::{Clerk, Then};
use crate::ErrorCode;
use crate::api::Response;
use crate::bus::{AckToken, BusClient, IncomingMessage, Topics};
use crate::service::admission::{Admission, Cancellation};
use crate::service::job::{Job, ReplyTo};
use crate::service::performed::{Performed, to_bytes};
use crate::store::{Change, Finish, InboxEntry, Lookup};

/// Characters of a stranger's topic that are told.
const SHOWN: usize = 200;
/// Response topics outside the prefixes that are remembered, and told.
const MOST_FOREIGN_TOPICS: usize = 64;

impl<C: BusClient> Clerk<C> {
    pub(super) fn message(&mut self, message: IncomingMessage) {
        let ack = message.ack;
        let now = Instant::now();
        let topic = message.topic.clone();
        let admission = self.rules.judge(message, now);
        if !matches!(
            admission,
            Admission::Ignore | Admission::Strange | Admission::Folder(_) | Admission::Ping(..)
        ) {
            self.echo.heard(now);
        }
        if let Some((wanted, plain)) = admission.foreign_topic() {
            let (wanted, plain) = (wanted.to_owned(), plain.to_owned());
            self.tell_foreign_topic(wanted, &plain);
        }
        match admission {
            Admission::Ignore => self.acknowledge(ack),
            Admission::Strange => {
                self.acknowledge(ack);
                self.tell_strange_topic(&topic);
            }
            Admission::Ping(text, bytes) => {
                self.acknowledge(ack);
                // The text of one over our own limit has been thrown away.
                if text.is_empty() || self.echo.came_back(&text, now) {
                    self.publisher.probe_came_back(bytes);
                }
            }
            Admission::Folder(name) => {
                self.acknowledge(ack);
                self.retained_folder(name);
            }
            Admission::Refuse(reply, response) => self.refuse(&reply, &response, ack),
            Admission::Cancel(cancellation) => {
                self.staged.push((Change::Acked(Vec::new()), Then::Cancel(cancellation, ack)));
            }
            Admission::Volatile(job) => {
                self.acknowledge(ack);
                if job.is_durable() && self.deadlines.is_failing() {
                    self.refuse_unwritable(&job);
                    return;
                }
                match self.queue.offer(job) {
                    Ok(None) => {}
                    Ok(Some(displaced)) => {
                        self.context.under_way.forget(&displaced);
                        let performed = Performed::superseded(&displaced);
                        self.performed(displaced, &performed);
                    }
                    Err(job) => self.answer_now(&job.reply, &busy(&job)),
                }
            }
            Admission::Durable(job, _) if ack.is_none() && self.deadlines.is_failing() => {
                self.refuse_unwritable(&job);
            }
            Admission::Durable(_, entry) if self.is_staged(&entry) => {
                // It came again before it could be made durable. When the first is, so is this.
                self.staged.push((Change::Acked(Vec::new()), Then::Acknowledge(ack)));
            }
            Admission::Durable(job, entry) => {
                let client = &job.address.client;
                let promised = self.staged.iter().filter_map(|(_, then)| match then {
                    Then::Accept(job, _) => Some(job.address.client == *client),
                    _ => None,
                });
                let promised: Vec<bool> = promised.collect();
                let of_client = promised.iter().filter(|mine| **mine).count();
                if self.queue.has_room(client, false, promised.len(), of_client) || self.is_known(&entry) {
                    self.staged.push((Change::Receive(entry), Then::Accept(job, ack)));
                } else {
                    self.refuse(&job.reply, &busy(&job), ack);
                }
            }
        }
    }

    /// Refuses a request that no broker holds for us: kept in memory until the card can be written, such requests would be kept
    /// without bound.
    fn refuse_unwritable(&mut self, job: &Job) {
        let text = "the state cannot be written: the card is full, or fails; try again later";
        self.answer_now(&job.reply, &Response::error(job.id(), ErrorCode::CardError, text));
        self.tally.answered(false, Duration::ZERO);
    }

    /// Somebody asks on a topic that is no request's, and there is none to answer on. Told at first, and then now and then.
    fn tell_strange_topic(&mut self, topic: &str) {
        self.strange_topics += 1;
        if self.strange_topics > 10 && !self.strange_topics.is_multiple_of(1000) {
            return;
        }
        let topic: String = topic.chars().take(SHOWN).collect();
        let text = format!(
            "a message on {topic} is passed over: a request's topic ends in request/<client>/<verb>. Some brokers make two \
             levels of a dot in a name"
        );
        tracing::warn!(so_far = self.strange_topics, "{text}");
        self.event(self.announcer.problem("request_passed_over", &text));
    }

    /// Somebody waits for answers where none may go. Told once for each such topic.
    fn tell_foreign_topic(&mut self, wanted: String, plain: &str) {
        if self.foreign_topics.len() >= MOST_FOREIGN_TOPICS || self.foreign_topics.contains(&wanted) {
            return;
        }
        let why = match Topics::check_response_topic(&wanted) {
            Err(problem) => format!("which {problem}"),
            Ok(()) => "which no prefix in limits.response_prefixes allows".to_owned(),
        };
        let text = format!(
            "nothing is answered on the response topic {}, {why}; the answer goes to {plain}",
            wanted.chars().take(SHOWN).collect::<String>()
        );
        tracing::warn!("{text}");
        self.event(self.announcer.problem("response_topic_refused", &text));
        self.foreign_topics.insert(wanted);
    }

    /// Takes back what a client has waiting.
    pub(super) fn cancel(&mut self, cancellation: Cancellation, ack: Option<AckToken>) {
        let cancelled = self.queue.cancel(&cancellation.client, |job| cancellation.wants(job));
        // What is worked on piece by piece may be with a worker, or on its way back from one.
        let waiting: Vec<u64> = cancelled.iter().map(|job| job.number).collect();
        let under_way = self.context.under_way.cancel(&cancellation, &waiting);
        let mut members = serde_json::Map::new();
        members.insert("cancelled".to_owned(), (cancelled.len() + under_way).into());
        for job in cancelled {
            self.context.under_way.forget(&job);
            let performed = Performed::cancelled(&job);
            self.performed(job, &performed);
        }
        self.refuse(&cancellation.reply, &Response::reply(cancellation.id, members), ack);
    }

    /// Whether the same request waits for the next commit.
    fn is_staged(&self, entry: &InboxEntry) -> bool {
        let same =
            |(change, _): &(Change, Then)| matches!(change, Change::Receive(other) if other.key == entry.key);
        entry.key.is_some() && self.staged.iter().any(same)
    }

    /// Whether a request has come before: then it takes no room, and gets the answer that it has got or will
    /// get. A broker delivers again what it does not know to be acknowledged; BUSY would be a second answer.
    fn is_known(&self, entry: &InboxEntry) -> bool {
        let Some(key) = &entry.key else { return false };
        match self.context.store.lookup(key) {
            Ok(Lookup::Pending(_) | Lookup::Same(_) | Lookup::AlreadyDone) => true,
            Ok(Lookup::OtherPayload) => entry.changes_state,
            Ok(Lookup::Unknown) => false,
            Err(error) => {
                // The commit meets the same trouble, and decides when it is over.
                tracing::error!(%error, "the inbox cannot be read");
                true
            }
        }
    }

    pub(super) fn acknowledge(&self, ack: Option<AckToken>) {
        if let Some(ack) = ack {
            self.publisher.client().acknowledge(ack);
        }
    }

    /// Answers a request that is not run: durably where the broker waits for an acknowledgement.
    pub(super) fn refuse(&mut self, reply: &ReplyTo, response: &Response, ack: Option<AckToken>) {
        self.tally.answered(response.is_ok(), Duration::ZERO);
        if ack.is_none() {
            self.answer_now(reply, response);
            return;
        }
        let finish = Finish { messages: self.answer(reply, &to_bytes(response)), ..Finish::default() };
        self.staged.push((Change::Finish(Box::new(finish)), Then::Acknowledge(ack)));
    }

    fn answer_now(&mut self, reply: &ReplyTo, response: &Response) {
        for message in reply.messages(&to_bytes(response)) {
            self.publish_now(&message, reply.at_most_once);
        }
    }
}

pub(super) fn busy(job: &Job) -> Response {
    let text = "too many requests are waiting; try again later";
    Response::error(job.id(), ErrorCode::Busy, text)
}
