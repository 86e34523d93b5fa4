//! The commit: what is staged becomes durable, and only then follows what depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::reception::busy;
use super::{Clerk, Then};
use crate::ErrorCode;
use crate::api::Response;
use crate::bus::{AckToken, BusClient, QoS};
use crate::service::job::Job;
use crate::service::publisher::outgoing;
use crate::service::queue::UNDELIVERED;
use crate::store::{Change, Class, Committed, DropCause, Finish, Outcome};

impl<C: BusClient> Clerk<C> {
    /// Commits what is staged, and what follows from it, until nothing is left to commit.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        if self.deadlines.is_waiting_to_commit(now) && !self.stopping {
            return;
        }
        if self.staged.is_empty() && !self.deadlines.is_lingering_over(now) && !self.stopping {
            return;
        }
        // Before what follows, which may leave something to be taken out later.
        self.deadlines.commit_begins();
        let mut first = true;
        while first || !self.staged.is_empty() {
            first = false;
            // After a commit that failed they are staged already.
            let leaving = self.staged.iter().any(|(_, then)| matches!(then, Then::TakenOut(_)));
            if self.publisher.delivered() > 0 && !leaving {
                let out = self.publisher.to_take_out();
                self.staged.push((Change::Acked(out.0.clone()), Then::Nothing));
                self.staged.push((Change::Discard(out.1.clone()), Then::TakenOut(out)));
            }
            let journal_done = self.backlog.take_done();
            if !journal_done.is_empty() {
                self.staged.push((Change::JournalDone(journal_done), Then::Nothing));
            }
            if self.staged.is_empty() {
                break;
            }
            let batch = self.staged.iter().map(|(change, _)| change.clone()).collect();
            match self.context.store.commit(batch) {
                Ok(committed) => {
                    self.state_written();
                    self.hold_back(false);
                    let staged = std::mem::take(&mut self.staged);
                    self.follow(staged, committed);
                }
                Err(error) => {
                    // Nothing is acknowledged that is not durable: the broker keeps it meanwhile.
                    self.state_unwritable(&error);
                    self.deadlines.commit_failed(now);
                    self.backlog.doubt();
                    self.hold_back(true);
                    return;
                }
            }
        }
    }

    /// What would have to be made durable waits on the queue, which is bounded, while nothing can be, and while answers leave more
    /// slowly than they are made, or not at all while the broker is away: everybody's would wait behind those of whom asks for most, and
    /// in the end be dropped for them. What is under way then still has room.
    fn hold_back(&self, fails: bool) {
        let (depths, limit) = (self.context.store.depths(), self.context.store.limits().outbox_bytes);
        self.queue.hold(fails || depths.outbox_bytes > UNDELIVERED.min(limit / 4));
    }

    fn follow(&mut self, staged: Vec<(Change, Then)>, committed: Committed) {
        self.write_layers(committed.journal);
        let mut drops: BTreeMap<Class, usize> = BTreeMap::new();
        // What cannot be delivered has been told when that was found.
        for dropped in committed.dropped.iter().filter(|dropped| dropped.cause == DropCause::Full) {
            *drops.entry(dropped.class).or_default() += 1;
        }
        if !drops.is_empty() {
            let text = drops.iter().map(|(class, n)| format!("{n} {}", class.as_str()));
            let text = text.collect::<Vec<_>>().join(", ");
            tracing::warn!("the outbox is full, and messages were dropped: {text}");
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
                Then::GoOn(job, progress) => self.go_on(job, &progress, &outcome),
                Then::Settle(job) => self.over(&job),
                Then::Cancel(cancellation, ack) => self.cancel(*cancellation, ack),
            }
        }
    }

    /// A request is answered, and what it changes is durable.
    pub(super) fn over(&self, job: &Job) {
        self.context.layers.release(job.number);
        self.queue.finished(job);
    }

    /// A step of a request that takes many is durable.
    fn go_on(&mut self, mut job: Box<Job>, progress: &Arc<[u8]>, outcome: &Outcome) {
        if *outcome == Outcome::NotInInbox {
            // It was answered meanwhile.
            self.context.under_way.forget(&job);
            self.over(&job);
            return;
        }
        job.under_way = true;
        if self.publisher.is_connected() {
            for message in job.reply.messages(progress) {
                let mut message = outgoing(&message);
                message.qos = QoS::AtMostOnce;
                if let Err(cause) = self.publisher.publish_now(message) {
                    tracing::debug!(%cause, "progress is not told");
                }
            }
        }
        self.queue.put_back(job, None);
    }

    fn accepted(&mut self, job: Box<Job>, ack: Option<AckToken>, outcome: Outcome) {
        match outcome {
            Outcome::Received(seq) => self.take_on(job, seq, ack),
            // Places only grow, so nobody has this one: its commit was told to have failed, and is on the card.
            Outcome::Pending(seq) if seq > self.highest => self.take_on(job, seq, ack),
            // It came again before it was answered: it will be answered once.
            Outcome::Pending(_) => self.acknowledge(ack),
            Outcome::Answered(answer) => {
                let finish = Finish { messages: self.answer(&job.reply, &answer), ..Finish::default() };
                self.staged.push((Change::Finish(Box::new(finish)), Then::Acknowledge(ack)));
            }
            Outcome::AlreadyDone => {
                let text = "this request was carried out before, and its answer is no longer kept; it is not run again";
                let response = Response::error(job.id(), ErrorCode::AlreadyDone, text);
                self.refuse(&job.reply, &response, ack);
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

    /// A request that is durable, in this place.
    fn take_on(&mut self, mut job: Box<Job>, seq: u64, ack: Option<AckToken>) {
        self.acknowledge(ack);
        self.highest = seq;
        job.seq = Some(seq);
        self.queue.restore(job);
    }
}
