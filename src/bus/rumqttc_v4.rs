//! MQTT 3.1.1 on `rumqttc` (which calls it v4, after the protocol level). There are no properties, so
//! request and response meet by topic only, and the broker says nothing about its limits.

use std::sync::Arc;
use std::time::Duration;

use embedded_svc::mqtt::client::QoS;
use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet,
    Publish, QoS as WireQoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio_rustls::rustls::ClientConfig;

use super::driver::{Attempt, Dialect, Link, Loss, taken};
use super::message::{IncomingMessage, OutgoingMessage, Properties, PublishOutcome};
use super::options::{BusOptions, MAX_PACKET};
use super::wire::{Step, Subscription, Wire, WireCommand};

/// More than ever waits there: the core's window bounds publishes, the broker's bounds acknowledgements.
const CHANNEL: usize = 1 << 16;
/// Room for packet ids. It is above the core's window, so that an id is free again before its turn.
const PACKET_IDS: u16 = 256;

/// MQTT 3.1.1.
pub(super) struct V4 {
    options: BusOptions,
    tls: Option<Arc<ClientConfig>>,
}

impl V4 {
    pub(super) fn new(options: &BusOptions, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { options: options.clone(), tls }
    }

    fn mqtt_options(&self, attempt: Attempt) -> MqttOptions {
        let ours = &self.options;
        let mut options = MqttOptions::new(&ours.client_id, ours.broker.dial_host(), ours.broker.port);
        options
            .set_clean_session(attempt.discard_session)
            .set_keep_alive(ours.keep_alive)
            // What goes out has been measured by the core.
            .set_max_packet_size(attempt.max_incoming_bytes, MAX_PACKET)
            .set_inflight(PACKET_IDS)
            .set_manual_acks(true);
        if let Some(credentials) = &ours.credentials {
            options.set_credentials(&credentials.username, credentials.password.reveal());
        }
        if let Some(will) = &ours.will {
            let (topic, payload) = (will.topic.clone(), will.payload.clone());
            options.set_last_will(LastWill::new(topic, payload, wire_qos(will.qos), will.retain));
        }
        if let Some(tls) = &self.tls {
            let tls = TlsConfiguration::Rustls(Arc::clone(tls));
            options.set_transport(Transport::tls_with_config(tls));
        }
        options
    }
}

impl Dialect for V4 {
    type Link = V4Link;

    fn open(&self, attempt: Attempt) -> (Box<dyn Wire>, V4Link) {
        let (client, mut eventloop) = AsyncClient::new(self.mqtt_options(attempt), CHANNEL);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(self.options.connect_timeout.as_secs().max(1));
        eventloop.set_network_options(network);
        let (keep_alive, max_payload) = (self.options.keep_alive, self.options.max_incoming_bytes);
        (Box::new(V4Wire(client)), V4Link { eventloop, keep_alive, max_payload })
    }
}

struct V4Wire(AsyncClient);

impl Wire for V4Wire {
    fn send(&mut self, command: WireCommand) {
        let client = &self.0;
        let sent = match command {
            WireCommand::Publish(OutgoingMessage { topic, payload, qos, retain, .. }) => {
                client.try_publish(topic, wire_qos(qos), retain, payload)
            }
            WireCommand::Acknowledge { packet, qos } => {
                let qos = if qos == QoS::ExactlyOnce { WireQoS::ExactlyOnce } else { WireQoS::AtLeastOnce };
                let mut publish = Publish::new("", qos, Vec::new());
                publish.pkid = packet;
                client.try_ack(&publish)
            }
            WireCommand::Subscribe(wanted) => {
                let filter = |wanted: Subscription| SubscribeFilter::new(wanted.filter, wire_qos(wanted.qos));
                client.try_subscribe_many(wanted.into_iter().map(filter))
            }
            WireCommand::Unsubscribe(filter) => client.try_unsubscribe(filter),
            WireCommand::Disconnect => client.try_disconnect(),
        };
        if sent.is_err() {
            // The connection has just ended; its loss is being told.
            tracing::debug!("a command came after the end of its connection");
        }
    }
}

/// A connection that speaks MQTT 3.1.1.
pub(super) struct V4Link {
    eventloop: EventLoop,
    keep_alive: Duration,
    max_payload: usize,
}

impl Link for V4Link {
    async fn poll(&mut self) -> Result<Option<Step>, Loss> {
        let event = self.eventloop.poll().await.map_err(|error| loss(&error))?;
        Ok(step(event, self.max_payload))
    }

    fn drain(&mut self) -> Vec<Step> {
        let events = self.eventloop.state.events.drain(..);
        events.filter_map(|event| step(event, self.max_payload)).collect()
    }

    fn keep_alive(&self) -> Duration {
        self.keep_alive
    }
}

fn step(event: Event, max_payload: usize) -> Option<Step> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => Some(Step::Connected {
            session_present: connack.session_present,
            max_packet_bytes: None,
            receive_maximum: None,
        }),
        Event::Incoming(Packet::Publish(publish)) => Some(received(publish, max_payload)),
        Event::Incoming(Packet::PubAck(puback)) => {
            Some(Step::PublishAcked { packet: puback.pkid, outcome: PublishOutcome::Accepted })
        }
        Event::Incoming(Packet::SubAck(suback)) => {
            let refused = suback.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(_) => None,
                SubscribeReasonCode::Failure => Some("Failure".to_owned()),
            });
            Some(Step::SubscribeAcked { packet: suback.pkid, refused: refused.collect() })
        }
        Event::Incoming(Packet::UnsubAck(unsuback)) => {
            Some(Step::SubscribeAcked { packet: unsuback.pkid, refused: Vec::new() })
        }
        Event::Outgoing(Outgoing::Publish(packet)) if packet != 0 => Some(Step::PublishSent { packet }),
        Event::Outgoing(Outgoing::Subscribe(packet) | Outgoing::Unsubscribe(packet)) => {
            Some(Step::SubscribeSent { packet })
        }
        Event::Outgoing(Outgoing::Disconnect) => Some(Step::Departed),
        _ => None,
    }
}

fn received(publish: Publish, max_payload: usize) -> Step {
    let (payload, cut_from) = taken(&publish.payload, max_payload);
    let message = IncomingMessage {
        topic: publish.topic,
        payload,
        cut_from,
        qos: match publish.qos {
            WireQoS::AtMostOnce => QoS::AtMostOnce,
            WireQoS::AtLeastOnce => QoS::AtLeastOnce,
            WireQoS::ExactlyOnce => QoS::ExactlyOnce,
        },
        retain: publish.retain,
        dup: publish.dup,
        properties: Properties::default(),
        ack: None,
    };
    Step::Received { packet: publish.pkid, message }
}

/// Exactly-once is sent as at-least-once.
const fn wire_qos(qos: QoS) -> WireQoS {
    match qos {
        QoS::AtMostOnce => WireQoS::AtMostOnce,
        QoS::AtLeastOnce | QoS::ExactlyOnce => WireQoS::AtLeastOnce,
    }
}

fn loss(error: &ConnectionError) -> Loss {
    let mut loss = Loss::new(error.to_string());
    match error {
        ConnectionError::ConnectionRefused(code) => {
            loss = Loss { refused: true, ..Loss::new(format!("{code:?}")) };
        }
        ConnectionError::MqttState(StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(
            bytes,
        ))) => loss.oversized = Some(*bytes),
        _ => {}
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::super::message::Protocol;
    use super::*;

    #[test]
    fn a_packet_is_measured_as_it_is_sent() {
        for payload in [0, 1, 108, 109, 110, 111, 16_000, 16_384, 2_097_200] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                let message =
                    OutgoingMessage { qos, ..OutgoingMessage::new("geosam/a/mask/b", vec![b'x'; payload]) };
                let mut publish = Publish::new(&message.topic, wire_qos(qos), message.payload.clone());
                publish.pkid = 7;
                assert_eq!(message.packet_bytes(Protocol::V311), publish.size());
            }
        }
    }
}
