//! What both adapters of `rumqttc` do alike: its two versions of MQTT have the same shape and different types.

use std::fmt::Debug;
use std::sync::Arc;

use embedded_svc::mqtt::client::QoS;
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use tokio_rustls::rustls::ClientConfig;

use super::driver::Loss;
use super::message::{IncomingMessage, Properties};
use super::wire::Step;

/// Commands that may wait for the connection: more than ever do. The core's window bounds publishes, the broker's
/// acknowledgements.
pub(super) const CHANNEL: usize = 1 << 16;
/// Room for packet ids. It is above the core's window, so that an id is free again before its turn.
pub(super) const PACKET_IDS: u16 = 256;

/// A socket that sends at once. Small packets that wait for the acknowledgement of those before them would cost
/// 40 ms an answer.
pub(super) fn prompt_network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network
}

/// TLS with our own configuration, see [`super::tls`].
pub(super) fn encrypted(tls: &Arc<ClientConfig>) -> Transport {
    Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls)))
}

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
    /// The message as it is passed on. One over the limit came in by way of exception and will only be refused:
    /// its payload is thrown away.
    pub(super) fn received(self, max_payload: usize) -> Step {
        let Self { topic, payload, packet, qos, retain, dup, properties } = self;
        let fits = payload.len() <= max_payload;
        let (payload, cut_from) =
            if fits { (payload.to_vec(), None) } else { (Vec::new(), Some(payload.len())) };
        let message = IncomingMessage { topic, payload, cut_from, qos, retain, dup, properties, ack: None };
        Step::Received { packet, message }
    }
}

/// What the library has sent, as far as it matters.
pub(super) const fn sent(outgoing: &Outgoing) -> Option<Step> {
    match outgoing {
        Outgoing::Publish(packet) if *packet != 0 => Some(Step::PublishSent { packet: *packet }),
        Outgoing::Subscribe(packet) | Outgoing::Unsubscribe(packet) => {
            Some(Step::SubscribeSent { packet: *packet })
        }
        Outgoing::Disconnect => Some(Step::Departed),
        _ => None,
    }
}

/// The broker's answer to our CONNECT is no.
pub(super) fn refused(code: &impl Debug) -> Loss {
    Loss { refused: true, ..Loss::new(format!("{code:?}")) }
}
