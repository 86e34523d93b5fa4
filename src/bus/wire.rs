//! What passes between the core and a connection: commands one way, steps the other. No behaviour.

use embedded_svc::mqtt::client::QoS;

use super::message::{BrokerSession, IncomingMessage, OutgoingMessage, PublishOutcome};

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WireCommand {
    Publish(OutgoingMessage),
    /// Acknowledge the message that came with this packet id.
    Acknowledge {
        packet: u16,
        qos: QoS,
    },
    Subscribe(Vec<Subscription>),
    Unsubscribe(String),
    /// Take leave, so that the broker does not publish the last will.
    Disconnect,
}

/// The sending side of one connection. It takes commands in order and without waiting.
pub(super) trait Wire: Send {
    fn send(&mut self, command: WireCommand);
}

/// Something that happened on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Connected(BrokerSession),
    Received {
        packet: u16,
        message: IncomingMessage,
    },
    /// The oldest publish without a packet id has been given this one.
    PublishSent {
        packet: u16,
    },
    /// The oldest publish at most once has left.
    PublishLeft,
    PublishAcked {
        packet: u16,
        outcome: PublishOutcome,
    },
    SubscribeSent {
        packet: u16,
    },
    /// For each filter the reason of its refusal, or nothing.
    SubscribeAcked {
        packet: u16,
        refused: Vec<Option<String>>,
    },
    /// We have taken leave.
    Departed,
}

/// A subscription to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Filter, with wildcards or `$share/<group>/`.
    pub filter: String,
    /// The highest quality of service wanted.
    pub qos: QoS,
    /// Whether messages that the broker has kept are wanted again although the subscription exists
    /// already. Only MQTT 5 can do without them.
    pub retained_again: bool,
}

impl Subscription {
    /// A subscription at least once, with retained messages each time.
    pub fn new(filter: impl Into<String>) -> Self {
        Self { filter: filter.into(), qos: QoS::AtLeastOnce, retained_again: true }
    }
}

/// Bounds of what waits for the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Publishes sent and not yet acknowledged.
    pub in_flight: u16,
    /// Publishes waiting to be sent.
    pub waiting: usize,
    /// Bytes of their payloads.
    pub waiting_bytes: usize,
    /// Bytes of the largest packet that we send, whatever the broker says.
    pub max_packet_bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { in_flight: 16, waiting: 1024, waiting_bytes: 16 << 20, max_packet_bytes: 16 << 20 }
    }
}

/// How full the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusStats {
    /// Whether there is a connection.
    pub connected: bool,
    /// Connections made so far.
    pub connections: u64,
    /// Publishes waiting to be sent.
    pub waiting: usize,
    /// Publishes sent and not acknowledged.
    pub in_flight: usize,
    /// Messages received and not yet acknowledged by us.
    pub unacknowledged: usize,
    /// Messages at most once that were thrown away because the service was too slow.
    pub dropped: u64,
}
