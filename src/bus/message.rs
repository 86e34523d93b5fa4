//! Messages and events of the bus, with what MQTT 5 adds to a topic and a payload.

use embedded_svc::mqtt::client::{Details, ErrorType, Event, EventPayload, MessageId, QoS};
use std::time::Duration;

use super::error::BusError;
use super::filter::{MAX_TOPIC_BYTES, check_topic};

/// What an MQTT 5 message carries besides topic and payload. An MQTT 3.1.1 connection drops these on the
/// way out and leaves them empty on the way in. User properties are dropped as they come: nobody reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// MIME type of the payload.
    pub content_type: Option<String>,
    /// Where the sender wants the answer.
    pub response_topic: Option<String>,
    /// What the answer must carry back unchanged.
    pub correlation_data: Option<Vec<u8>>,
    /// Seconds after which the broker need not deliver it any more.
    pub message_expiry_s: Option<u32>,
}

impl Properties {
    /// Whether there is nothing to carry.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of the properties in a packet, their length field left out (MQTT 5, 2.2.2).
    fn encoded_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, |text| 3 + text.len());
        let correlation = self.correlation_data.as_ref().map_or(0, |data| 3 + data.len());
        let expiry = if self.message_expiry_s.is_some() { 5 } else { 0 };
        text(&self.content_type) + text(&self.response_topic) + correlation + expiry
    }
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Topic, without wildcards.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Exactly-once is sent as at-least-once: ids and a stored answer give the same to our clients.
    pub qos: QoS,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// What MQTT 5 adds.
    pub properties: Properties,
}

impl OutgoingMessage {
    /// A message that the broker acknowledges and does not keep.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Properties::default(),
        }
    }

    /// The same, kept by the broker for later subscribers.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// The same, sent once and never acknowledged.
    #[must_use]
    pub fn at_most_once(self) -> Self {
        Self { qos: QoS::AtMostOnce, ..self }
    }

    /// The same with MQTT 5 properties.
    #[must_use]
    pub fn with(self, properties: Properties) -> Self {
        Self { properties, ..self }
    }

    /// Whether the broker acknowledges it.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.qos != QoS::AtMostOnce
    }

    /// Bytes of the whole packet on the wire (MQTT 5, 3.3; MQTT 3.1.1, 3.3).
    pub fn packet_bytes(&self, protocol: Protocol) -> usize {
        let id = if self.is_acknowledged() { 2 } else { 0 };
        let properties = match protocol {
            Protocol::V5 => self.properties.encoded_bytes(),
            Protocol::V311 => 0,
        };
        let properties_length = match protocol {
            Protocol::V5 => length_bytes(properties),
            Protocol::V311 => 0,
        };
        let remaining = 2 + self.topic.len() + id + properties_length + properties + self.payload.len();
        1 + length_bytes(remaining) + remaining
    }

    /// Refuses what MQTT cannot carry, before it can end the connection.
    ///
    /// # Errors
    /// [`BusError::BadTopic`] or [`BusError::BadProperty`].
    pub(super) fn check(&self) -> Result<(), BusError> {
        let cut = || self.topic.chars().take(120).collect::<String>();
        check_topic(&self.topic).map_err(|problem| BusError::BadTopic { topic: cut(), problem })?;
        let bad = |problem| Err(BusError::BadProperty { topic: cut(), problem });
        if self.properties.response_topic.as_deref().is_some_and(|topic| check_topic(topic).is_err()) {
            return bad("its response topic is not a topic that can be published to");
        }
        let content = self.properties.content_type.as_ref().map(String::len);
        let longest = content.max(self.properties.correlation_data.as_ref().map(Vec::len));
        if longest.is_some_and(|bytes| bytes > MAX_TOPIC_BYTES) {
            return bad("one of its properties is longer than MQTT's 65535 bytes");
        }
        Ok(())
    }
}

/// Bytes of a variable byte integer (MQTT 5, 1.5.5).
const fn length_bytes(value: usize) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// The version of MQTT spoken with the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// MQTT 5.
    #[default]
    V5,
    /// MQTT 3.1.1: request and response by topic only.
    V311,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        })
    }
}

/// A published message, until the broker has acknowledged it or the connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishToken(pub(super) MessageId);

/// The id that [`embedded_svc::mqtt::client::Publish`] gives back.
impl From<MessageId> for PublishToken {
    fn from(id: MessageId) -> Self {
        Self(id)
    }
}

impl From<PublishToken> for MessageId {
    fn from(token: PublishToken) -> Self {
        token.0
    }
}

/// A subscription that the broker has not yet answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscribeToken(pub(super) MessageId);

/// The id that [`embedded_svc::mqtt::client::Client`] gives back.
impl From<MessageId> for SubscribeToken {
    fn from(id: MessageId) -> Self {
        Self(id)
    }
}

impl From<SubscribeToken> for MessageId {
    fn from(token: SubscribeToken) -> Self {
        token.0
    }
}

/// The right to acknowledge one received message, on the connection that it came on. On a later
/// connection it is void: the broker has sent, or will send, the message again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AckToken {
    pub(super) connection: u64,
    pub(super) sequence: u64,
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// Topic it was published to.
    pub topic: String,
    /// Payload; cut where `cut_from` says so.
    pub payload: Vec<u8>,
    /// Bytes the payload had, where it was longer than a packet may be and has been thrown away.
    pub cut_from: Option<usize>,
    /// Quality of service of this delivery.
    pub qos: QoS,
    /// Whether it was published as retained. An MQTT 3.1.1 broker says so only of messages that it had
    /// kept before we subscribed.
    pub retain: bool,
    /// Whether the broker may have delivered it before.
    pub dup: bool,
    /// What MQTT 5 adds.
    pub properties: Properties,
    /// What to acknowledge it with; `None` for a message that wants no acknowledgement.
    pub ack: Option<AckToken>,
}

/// What the broker made of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is the broker's now.
    Accepted,
    /// The broker cannot take it now (a quota, trouble of its own): it is to be sent again after a while.
    Deferred {
        /// The broker's reason.
        reason: String,
    },
    /// The broker will not take it, now or later: sending it again is no use.
    Refused {
        /// The broker's reason.
        reason: String,
    },
}

/// What the broker says of itself and of our session when it takes us (CONNACK; MQTT 5, 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerSession {
    /// Address of the broker.
    pub broker: String,
    /// Name of our session there.
    pub client_id: String,
    /// The version that is spoken.
    pub protocol: Protocol,
    /// Whether the broker kept our subscriptions and what came in for them.
    pub session_present: bool,
    /// The largest packet that it takes, as far as it says; MQTT 3.1.1 cannot.
    pub max_packet_bytes: Option<usize>,
    /// Publishes that it takes before the first is acknowledged, as far as it says.
    pub receive_maximum: Option<u16>,
    /// Whether it keeps retained messages.
    pub retain: bool,
    /// Whether it shares subscriptions among a group; MQTT 3.1.1 cannot say, and is taken to.
    pub shared_subscriptions: bool,
}

impl Default for BrokerSession {
    fn default() -> Self {
        Self {
            broker: String::new(),
            client_id: String::new(),
            protocol: Protocol::V5,
            session_present: false,
            max_packet_bytes: None,
            receive_maximum: None,
            retain: true,
            shared_subscriptions: true,
        }
    }
}

/// Who ended a connection. A message that was on its way may be what the broker ended it for, unless it was ours or
/// nobody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The other end closed it, without a reason that clears what was on its way.
    HungUp,
    /// The broker said that a packet of ours was too large for it.
    PacketTooLarge,
    /// Something else: silence, our own doing, a broker that is shut down or has another client of our name.
    Elsewhere,
}

/// What happens on the bus, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusEvent {
    /// There is a connection. Subscribe, and publish again whatever has not been acknowledged: tokens
    /// of earlier connections are void.
    Connected(BrokerSession),
    /// A connection has ended.
    Disconnected {
        /// Why.
        error: BusError,
        /// Who ended it.
        cause: LossCause,
        /// Messages that were published on it and never acknowledged, oldest first. They may have
        /// arrived.
        unacknowledged: Vec<PublishToken>,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// An attempt to connect failed.
    ConnectFailed {
        /// Why.
        error: BusError,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// A message came in.
    Message(IncomingMessage),
    /// The broker has answered a publish. Messages sent at most once have no such event.
    Published {
        /// Which.
        token: PublishToken,
        /// What it made of it.
        outcome: PublishOutcome,
    },
    /// The broker has answered a subscription.
    Subscribed {
        /// Which.
        token: SubscribeToken,
        /// Filters it did not grant, each with its reason.
        refused: Vec<(String, String)>,
    },
    /// The broker has taken back a subscription.
    Unsubscribed {
        /// Which.
        token: SubscribeToken,
    },
    /// The bus has been stopped; no event follows.
    Stopped {
        /// Whether the broker had acknowledged everything, the farewell included, before the end.
        complete: bool,
    },
}

impl ErrorType for BusEvent {
    type Error = BusError;
}

impl Event for BusEvent {
    /// The event as the traits know it. A refused publish is `Deleted`; a failed attempt is an `Error`.
    fn payload(&self) -> EventPayload<'_, BusError> {
        match self {
            Self::Connected(session) => EventPayload::Connected(session.session_present),
            Self::Disconnected { .. } | Self::Stopped { .. } => EventPayload::Disconnected,
            Self::ConnectFailed { error, .. } => EventPayload::Error(error),
            Self::Message(message) => EventPayload::Received {
                id: message.ack.map_or(0, |ack| ack.sequence as MessageId),
                topic: Some(&message.topic),
                data: &message.payload,
                details: Details::Complete,
            },
            Self::Published { token, outcome: PublishOutcome::Accepted } => EventPayload::Published(token.0),
            Self::Published { token, .. } => EventPayload::Deleted(token.0),
            Self::Subscribed { token, .. } => EventPayload::Subscribed(token.0),
            Self::Unsubscribed { token } => EventPayload::Unsubscribed(token.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_does_not_fit_its_length_field_is_refused_before_it_is_sent() {
        let long = "x".repeat(MAX_TOPIC_BYTES + 1);
        let content = Properties { content_type: Some(long.clone()), ..Properties::default() };
        let data = Properties { correlation_data: Some(long.into_bytes()), ..Properties::default() };
        let wild = Properties { response_topic: Some("a/#".to_owned()), ..Properties::default() };
        for properties in [content, data, wild] {
            let message = OutgoingMessage::new("a", "").with(properties);
            assert!(matches!(message.check(), Err(BusError::BadProperty { .. })));
        }
        let nowhere = OutgoingMessage::new("a/+", "").check();
        assert!(matches!(nowhere, Err(BusError::BadTopic { .. })));
        assert_eq!(OutgoingMessage::new("a", "").check(), Ok(()));
    }
}
