//! What both adapters of `rumqttc` do alike: its two versions of MQTT have the same shape and different types.

use embedded_svc::mqtt::client::QoS;
use rumqttc::Outgoing;

use super::message::{IncomingMessage, Properties};
use super::packet::Mark;
use super::wire::Step;

/// Commands that may wait for the connection: more than ever do. The core's window bounds publishes, the broker's
/// acknowledgements.
pub(super) const CHANNEL: usize = 1 << 16;
/// Room for packet ids. It is above the core's window, so that an id is free again before its turn.
pub(super) const PACKET_IDS: u16 = 256;

/// What became of a command that was given to the library.
pub(super) fn given<E>(sent: &Result<(), E>) {
    if sent.is_err() {
        // The connection has just ended; its loss is being told.
        tracing::debug!("a command came after the end of its connection");
    }
}

/// A message that came in.
pub(super) struct Arrival<'a> {
    pub(super) topic: String,
    pub(super) payload: &'a [u8],
    pub(super) packet: u16,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) properties: Properties,
}

impl Arrival<'_> {
    /// The message as it is passed on. The payload of one over the limit has been thrown away, and a mark tells.
    pub(super) fn received(self, mark: Mark) -> Step {
        let Self { topic, payload, packet, qos, retain, dup, properties } = self;
        let cut_from = mark.cut_from(payload);
        let payload = if cut_from.is_none() { payload.to_vec() } else { Vec::new() };
        let message = IncomingMessage { topic, payload, cut_from, qos, retain, dup, properties, ack: None };
        Step::Received { packet, message }
    }
}

/// What the library has sent, as far as it matters.
pub(super) const fn sent(outgoing: &Outgoing) -> Option<Step> {
    match outgoing {
        Outgoing::Publish(0) => Some(Step::PublishLeft),
        Outgoing::Publish(packet) => Some(Step::PublishSent { packet: *packet }),
        Outgoing::Subscribe(packet) | Outgoing::Unsubscribe(packet) => {
            Some(Step::SubscribeSent { packet: *packet })
        }
        Outgoing::Disconnect => Some(Step::Departed),
        _ => None,
    }
}
