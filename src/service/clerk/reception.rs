//! What comes in: a request is staged for the next commit, run from memory, or refused at once.

use std::time::{Duration, Instant};

use super::{Clerk, Then};
use crate::ErrorCode;
use crate::api::Response;
use crate::bus::{AckToken, BusClient, IncomingMessage};
use crate::service::admission::Admission;
use crate::service::job::{Job, ReplyTo};
use crate::service::performed::{Performed, to_bytes};
use crate::service::publisher::outgoing;
use crate::store::{Change, Finish, InboxEntry, Lookup};

impl<C: BusClient> Clerk<C> {
    pub(super) fn message(&mut self, message: IncomingMessage) {
        let ack = message.ack;
        match self.rules.judge(message, Instant::now()) {
            Admission::Ignore => self.acknowledge(ack),
            Admission::Folder(name) => {
                self.acknowledge(ack);
                if !self.view.ready.contains_key(&name) && !self.view.problems.contains_key(&name) {
                    self.publisher.publish_now(self.announcer.folder_gone(&name));
                }
            }
            Admission::Refuse(reply, response) => self.refuse(&reply, &response, ack),
            Admission::Cancel(reply, address, id, request_id) => {
                let wanted = |job: &Job| {
                    request_id
                        .as_ref()
                        .is_none_or(|wanted| job.id().is_some_and(|id| id.to_string() == wanted.to_string()))
                };
                // What came before it in the same breath is on the queue only when it is durable.
                self.settle();
                let cancelled = self.queue.cancel(&address.client, wanted);
                let mut members = serde_json::Map::new();
                members.insert("cancelled".to_owned(), cancelled.len().into());
                for job in cancelled {
                    let text = "the request was taken back by its client";
                    let response = Response::error(job.id(), ErrorCode::Cancelled, text);
                    self.performed(job, &Performed::answer(response));
                }
                self.refuse(&reply, &Response::reply(id, members), ack);
            }
            Admission::Volatile(job) => {
                self.acknowledge(ack);
                match self.queue.offer(job) {
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

    /// Whether a request has come before: then it takes no room, and gets the answer that it has got or will
    /// get. A broker delivers again what it does not know to be acknowledged; BUSY would be a second answer.
    fn is_known(&self, entry: &InboxEntry) -> bool {
        let Some(key) = &entry.key else { return false };
        let staged = |(change, _): &(Change, Then)| matches!(change, Change::Receive(other) if other.key.as_ref() == Some(key));
        if self.staged.iter().any(staged) {
            return true;
        }
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
        let finish = Finish { messages: reply.messages(&to_bytes(response)), ..Finish::default() };
        self.staged.push((Change::Finish(Box::new(finish)), Then::Acknowledge(ack)));
    }

    fn answer_now(&self, reply: &ReplyTo, response: &Response) {
        for message in reply.messages(&to_bytes(response)) {
            self.publisher.publish_now(outgoing(&message));
        }
    }
}

pub(super) fn busy(job: &Job) -> Response {
    let text = "too many requests are waiting; try again later";
    Response::error(job.id(), ErrorCode::Busy, text)
}
