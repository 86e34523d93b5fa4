//! What may be changed in the store, and what came of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::RequestKey;
use super::record::hex_option;
use crate::layers::{JournalEntry, LayerOp};

/// One change; [`super::Store::commit`] makes many of them durable with one sync of the card.
#[derive(Debug, Clone)]
pub enum Change {
    /// A request has come.
    Receive(Box<InboxEntry>),
    /// A request has been answered.
    Finish(Box<Finish>),
    /// A request that is answered step by step has come one step further.
    Advance(Box<Advance>),
    /// A message that belongs to no request, such as an event.
    Publish(OutboxMessage),
    /// The broker has acknowledged these messages of the outbox.
    Acked(Vec<u64>),
    /// These messages of the outbox can never be delivered (too large for the broker, say). Counted as drops.
    Discard(Vec<u64>),
    /// A session changed outside a request, by age for example.
    Session(SessionChange),
    /// These layer changes are in their files and on the card.
    JournalDone(Vec<u64>),
    /// Adds to a lasting counter.
    Count {
        /// The counter's name.
        name: String,
        /// How much.
        by: u64,
    },
}

/// A request on its way into the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InboxEntry {
    /// Client, from the topic.
    pub client: String,
    /// Verb, from the topic.
    pub verb: String,
    /// Group, where the request came to a fleet and not to this board.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// MQTT 5 response topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// MQTT 5 correlation data.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_option")]
    pub correlation: Option<Vec<u8>>,
    /// QoS it was published with.
    pub qos: u8,
    /// Wall clock at receipt, milliseconds since 1970; boards may have it wrong.
    pub received_at: u64,
    /// What to recognise it by when it comes again; `None` for a request without an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RequestKey>,
    /// Whether the verb changes state, so that its id may not be used again with another payload.
    #[serde(default)]
    pub changes_state: bool,
    /// The payload as it came. It is the row's body and not part of the header.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

/// A request in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the order of arrival; never used again.
    pub seq: u64,
    /// The store's clock at receipt, see [`super::Store::clock_ms`].
    pub received_clock_ms: u64,
    /// The request.
    pub entry: InboxEntry,
}

/// All that the answer to a request changes; it takes place as a whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    /// The request in the inbox. If it is not there (any more), nothing of this takes place, so that a request
    /// that was run twice still saves once. `None` for a request that lives in memory only: always takes place.
    pub inbox: Option<u64>,
    /// Messages to publish.
    pub messages: Vec<OutboxMessage>,
    /// The answer to give when the request comes again, under the request's key. Leave it out for failures that
    /// may pass ([`crate::ErrorCode::retryable`]): the client shall be free to try again under the same id.
    pub answer: Option<KeptAnswer>,
    /// Sessions to put or to delete.
    pub sessions: Vec<SessionChange>,
    /// Changes of layers, in order.
    pub layers: Vec<LayerChange>,
}

/// One step of a request that takes many; it takes place as a whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Advance {
    /// The request in the inbox. If it is not there (any more), nothing of this takes place.
    pub inbox: u64,
    /// What is to be known of it after a restart: rows by a number of their own, as the request's verb writes them; one without a
    /// state is forgotten. All are forgotten when the request is finished.
    pub rows: Vec<(u64, Option<Vec<u8>>)>,
    /// Messages to publish.
    pub messages: Vec<OutboxMessage>,
    /// Changes of layers, in order.
    pub layers: Vec<LayerChange>,
}

/// An answer that is kept for when its request comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What the request is recognised by.
    pub key: RequestKey,
    /// The answer.
    pub payload: Arc<[u8]>,
    /// Who asked; the answers of one client do not push out those of others.
    pub client: String,
    /// Whether the request has changed something, so that it must not be run again: that it was carried out is then
    /// remembered by number and age only, however large the answers are. Others may be run again at any time.
    pub changes_state: bool,
}

/// A session's new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChange {
    /// Keeps this under the name.
    Put {
        /// The name, such as `client/session`.
        name: String,
        /// Its state, as the session module writes it.
        state: Vec<u8>,
    },
    /// Forgets the name.
    Delete {
        /// The name.
        name: String,
    },
}

/// A change of a layer, with whom it belongs to for `unsave`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerChange {
    /// What happens to the file.
    pub op: LayerOp,
    /// Client.
    pub client: String,
    /// Session; empty for a change that `unsave` does not take back.
    pub session: String,
}

/// What a message is, which says when it is dropped from a full outbox.
///
/// Within a class the oldest goes first. A message that alone is larger than the cap is dropped as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// `mask/<folder>`: dropped first. Its mask is in an answer too; only maps that listen miss it.
    Mask,
    /// `event/<type>`: dropped next. Health tells the same in numbers.
    Event,
    /// `response/...`: dropped next. The client can ask again and gets the stored answer.
    Answer,
    /// `saved/<layer>`: dropped only when nothing else is left. The object stays in its layer.
    Saved,
}

impl Class {
    /// All classes, the first to be dropped first.
    pub const ALL: [Self; 4] = [Self::Mask, Self::Event, Self::Answer, Self::Saved];

    /// The class in a counter's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Event => "event",
            Self::Answer => "answer",
            Self::Saved => "saved",
        }
    }
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Topic.
    pub topic: String,
    /// Payload. Messages of one [`Finish`] with equal payloads, and its stored answer, share it on the card.
    pub payload: Arc<[u8]>,
    /// QoS to publish with.
    pub qos: u8,
    /// Whether the broker shall retain it.
    pub retain: bool,
    /// What it is.
    pub class: Class,
    /// MQTT 5 correlation data.
    pub correlation: Option<Vec<u8>>,
    /// MQTT 5 content type.
    pub content_type: Option<String>,
    /// Of an answer: the topic that its request implies, which may be another one than this message's.
    pub plain_topic: Option<String>,
}

impl OutboxMessage {
    /// A message with QoS 1, not retained, without MQTT 5 properties.
    pub fn new(class: Class, topic: impl Into<String>, payload: impl Into<Arc<[u8]>>) -> Self {
        let (topic, payload) = (topic.into(), payload.into());
        Self {
            topic,
            payload,
            qos: 1,
            retain: false,
            class,
            correlation: None,
            content_type: None,
            plain_topic: None,
        }
    }
}

/// A message in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its place in the order; never used again.
    pub seq: u64,
    /// The message.
    pub message: OutboxMessage,
}

/// What came of a batch, durable by now.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// Messages lost to a full outbox or discarded; count them, and tell them by an event.
    pub dropped: Vec<Dropped>,
    /// Layer changes now to be written to their files, see [`crate::layers::Layers::apply`].
    pub journal: Vec<JournalEntry>,
}

/// What came of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The request's place in the inbox. It may be acknowledged to the broker.
    Received(u64),
    /// The same request is in the inbox already, in this place: it came again before it was answered. It may be
    /// acknowledged, and will be answered once.
    Pending(u64),
    /// The same request was answered before: publish this answer again, then acknowledge.
    Answered(Arc<[u8]>),
    /// The same request was carried out before, and its answer had to make room for others since: answer ALREADY_DONE,
    /// then acknowledge.
    AlreadyDone,
    /// The id was used for another payload, and the verb changes state: answer ID_REUSED, then acknowledge.
    IdReused,
    /// The inbox is full: answer BUSY, then acknowledge.
    InboxFull {
        /// Whether it is the client's own share that is used up.
        by_client: bool,
    },
    /// The answer is durable; the places of its messages in the outbox, without those dropped.
    Finished {
        /// Places in the outbox.
        outbox: Vec<u64>,
    },
    /// The request was not in the inbox any more; nothing was changed.
    NotInInbox,
    /// The change took place.
    Done,
}

/// A message that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its place in the outbox.
    pub seq: u64,
    /// What it was.
    pub class: Class,
    /// Where it would have gone.
    pub topic: String,
    /// Bytes of its payload.
    pub bytes: usize,
    /// Why.
    pub cause: DropCause,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropCause {
    /// The outbox had no room for it.
    Full,
    /// It can never be delivered ([`Change::Discard`]).
    Discarded,
}

/// What is known of a request that may have come before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Never seen, or long forgotten.
    Unknown,
    /// In the inbox, not yet answered.
    Pending(u64),
    /// Answered with this.
    Same(Arc<[u8]>),
    /// Carried out, and its answer is no longer kept.
    AlreadyDone,
    /// Its id was used for another payload.
    OtherPayload,
}
