//! A request on its way through the service, and where its answer goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::admission::changes_state;
use crate::api::{PromptItem, Request, RequestId};
use crate::bus::{RequestAddress, Scope, Topics, Verb};
use crate::store::{Class, InboxEntry, OutboxMessage, RequestKey};

/// In the place of a session where a request has none; no session's name has a blank in it.
const WITHOUT_SESSION: &str = " layers";

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReplyTo {
    /// The topic that the request's topic implies.
    pub topic: String,
    /// The MQTT 5 response topic, where it is allowed and another one.
    pub response_topic: Option<String>,
    /// The MQTT 5 response topic, where it is not allowed.
    pub foreign_topic: Option<String>,
    /// MQTT 5 correlation data, carried back on both.
    pub correlation: Option<Vec<u8>>,
    /// Whether the request came at most once, and gets its answer so unless that is durable.
    pub at_most_once: bool,
}

impl ReplyTo {
    /// A reply on a topic only.
    pub fn topic(topic: String) -> Self {
        Self { topic, response_topic: None, foreign_topic: None, correlation: None, at_most_once: false }
    }

    /// The messages that carry an answer.
    pub fn messages(&self, answer: &Arc<[u8]>) -> Vec<OutboxMessage> {
        let topics = std::iter::once(&self.topic).chain(&self.response_topic);
        let message = |topic: &String| OutboxMessage {
            correlation: self.correlation.clone(),
            content_type: Some("application/json".to_owned()),
            plain_topic: (*topic != self.topic).then(|| self.topic.clone()),
            ..OutboxMessage::new(Class::Answer, topic.clone(), Arc::clone(answer))
        };
        topics.map(message).collect()
    }
}

/// A request that has been read and is to be run.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// What tells it from all others of this run of the program, see [`next_number`].
    pub number: u64,
    /// Its place in the inbox; `None` for one that lives in memory only (previews, QoS 0).
    pub seq: Option<u64>,
    /// Topic's client, verb and scope.
    pub address: RequestAddress,
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: ReplyTo,
    /// What to recognise it by when it comes again, or when its commit is tried again.
    pub key: Option<RequestKey>,
    /// Bytes of its payload.
    pub bytes: usize,
    /// When it came, for its time to live and its time in the queue.
    pub received: Instant,
    /// Whether a worker has begun with it; until then it holds nothing that others wait for.
    pub begun: bool,
    /// Of one that is worked on piece by piece: whether steps of it are durable, or, of a batch, whether it has had a turn.
    pub under_way: bool,
}

impl Job {
    /// The request's id.
    pub fn id(&self) -> Option<RequestId> {
        self.request.id().cloned()
    }

    /// Whether what comes of it is to be made durable.
    pub const fn is_durable(&self) -> bool {
        self.seq.is_some() || self.changes_state()
    }

    /// Whether it changes a session or a layer.
    pub const fn changes_state(&self) -> bool {
        changes_state(self.address.verb, &self.request)
    }

    /// Whether a newer one of the same client makes it worthless.
    pub const fn is_preview(&self) -> bool {
        self.request.preview
    }

    /// Whether it has many prompts, and gives way to others between them.
    pub const fn is_batch(&self) -> bool {
        self.request.batch.is_some()
    }

    /// Whether it may be worked on piece by piece.
    pub fn is_in_pieces(&self) -> bool {
        self.is_background() || self.is_batch() || self.may_follow()
    }

    /// Whether it holds the decoder for long, and is one of the few of that kind that are under way at a time: a batch, or an object
    /// that is to be followed over chips.
    pub fn is_long(&self) -> bool {
        self.is_batch() || self.follows()
    }

    /// Whether it says, or the configuration does, that an object is followed over chips.
    fn follows(&self) -> bool {
        let follows = |item: &PromptItem| item.stitch.is_some_and(|most| most > 1);
        match &self.request.batch {
            Some(items) => items.iter().any(follows),
            None => self.address.verb.decodes() && follows(&self.request.item),
        }
    }

    /// Whether an object may be followed over chips: also where its session was asked so before.
    pub fn may_follow(&self) -> bool {
        self.follows() || self.request.session.is_some() && self.address.verb.decodes()
    }

    /// Whether it is answered step by step, when nothing else wants the decoder.
    pub const fn is_background(&self) -> bool {
        matches!(self.address.verb, Verb::Everything)
    }

    /// When nobody waits for the answer any more; not of one that is under way.
    pub fn deadline(&self) -> Option<Instant> {
        if self.under_way {
            return None;
        }
        self.received.checked_add(Duration::from_millis(self.request.ttl_ms?))
    }

    /// What must not run at the same time as this: another request of the same client and session, or, where it changes
    /// layers without a session, another such request of the same client.
    pub fn serial(&self) -> Option<&str> {
        let verb = self.address.verb;
        let of_layers = matches!(verb, Verb::Save | Verb::Update | Verb::Delete).then_some(WITHOUT_SESSION);
        self.request.session.as_deref().filter(|_| verb.changes_state()).or(of_layers)
    }

    /// Whether it changes objects that are saved already. It reads what they are, so no other may change them between that
    /// and the commit.
    pub const fn is_alone(&self) -> bool {
        matches!(self.address.verb, Verb::Unsave | Verb::Update | Verb::Delete)
    }

    /// Whether it shows what its client's earlier requests have changed.
    pub const fn reads_back(&self) -> bool {
        matches!(self.address.verb, Verb::List | Verb::Fetch)
    }

    /// The group it was sent to, if it was not sent to this board alone.
    pub fn group(&self) -> Option<&str> {
        match &self.address.scope {
            Scope::Device => None,
            Scope::Fleet(group) => Some(group),
        }
    }
}

/// The number of a new job.
pub(super) fn next_number() -> u64 {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    GIVEN.fetch_add(1, Ordering::Relaxed)
}

/// The address of a request that waited in the inbox; `None` if it was written by a version with other verbs.
pub(super) fn address_of(entry: &InboxEntry) -> Option<RequestAddress> {
    let scope = entry.group.clone().map_or(Scope::Device, Scope::Fleet);
    Some(RequestAddress { scope, client: entry.client.clone(), verb: Verb::parse(&entry.verb)? })
}

/// Where the answer to a request in the inbox goes.
pub(super) fn reply_of(entry: &InboxEntry, address: &RequestAddress, topics: &Topics) -> ReplyTo {
    ReplyTo {
        topic: topics.response(address),
        response_topic: entry.response_topic.clone(),
        foreign_topic: None,
        correlation: entry.correlation.clone(),
        at_most_once: false,
    }
}
