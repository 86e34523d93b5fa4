//! MQTT 3.1.1 on `rumqttc` (which calls it v4, after the protocol level). There are no properties, so
//! request and response meet by topic only, and the broker says nothing about its limits.

use std::time::Duration;

use embedded_svc::mqtt::client::QoS;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, Publish,
    QoS as WireQoS, StateError, SubscribeFilter, SubscribeReasonCode, Transport,
};

use super::adapter::{Arrival, CHANNEL, PACKET_IDS, given, sent};
use super::driver::{Dialect, Link, Loss, Opening};
use super::message::{BrokerSession, OutgoingMessage, Properties, Protocol, PublishOutcome};
use super::options::{BusOptions, MAX_PACKET};
use super::packet::Mark;
use super::wire::{Step, Subscription, Wire, WireCommand};

/// MQTT 3.1.1.
pub(super) struct V4 {
    options: BusOptions,
}

impl V4 {
    pub(super) fn new(options: &BusOptions) -> Self {
        Self { options: options.clone() }
    }

    fn mqtt_options(&self, opening: &Opening<'_>) -> MqttOptions {
        let ours = &self.options;
        let mut options = MqttOptions::new(&ours.client_id, opening.address, ours.broker.port);
        options
            .set_transport(Transport::Unix)
            .set_clean_session(false)
            .set_keep_alive(ours.keep_alive)
            // What comes in has been cut by the relay, what goes out measured by the core.
            .set_max_packet_size(MAX_PACKET, MAX_PACKET)
            .set_inflight(PACKET_IDS)
            .set_manual_acks(true);
        if let Some((username, password)) = &opening.identity.login {
            options.set_credentials(username, password.reveal());
        }
        if let Some(will) = &ours.will {
            let (topic, payload) = (will.topic.clone(), will.payload.clone());
            let retain = will.retain && opening.retain_will;
            options.set_last_will(LastWill::new(topic, payload, wire_qos(will.qos), retain));
        }
        options
    }
}

impl Dialect for V4 {
    type Link = V4Link;

    fn open(&self, opening: &Opening<'_>) -> (Box<dyn Wire>, V4Link) {
        let (client, mut eventloop) = AsyncClient::new(self.mqtt_options(opening), CHANNEL);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(self.options.connect_timeout.as_secs().max(1));
        eventloop.set_network_options(network);
        let (keep_alive, mark) = (self.options.keep_alive, opening.mark);
        (Box::new(V4Wire(client)), V4Link { eventloop, keep_alive, mark })
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
        given(&sent);
    }
}

/// A connection that speaks MQTT 3.1.1.
pub(super) struct V4Link {
    eventloop: EventLoop,
    keep_alive: Duration,
    mark: Mark,
}

impl Link for V4Link {
    async fn poll(&mut self) -> Result<Option<Step>, Loss> {
        let event = self.eventloop.poll().await.map_err(|error| loss(&error))?;
        Ok(step(event, self.mark))
    }

    fn drain(&mut self) -> Vec<Step> {
        let events = self.eventloop.state.events.drain(..);
        events.filter_map(|event| step(event, self.mark)).collect()
    }

    fn keep_alive(&self) -> Duration {
        self.keep_alive
    }
}

fn step(event: Event, mark: Mark) -> Option<Step> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => Some(Step::Connected(BrokerSession {
            protocol: Protocol::V311,
            session_present: connack.session_present,
            ..BrokerSession::default()
        })),
        Event::Incoming(Packet::Publish(publish)) => Some(received(publish, mark)),
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
        Event::Outgoing(outgoing) => sent(&outgoing),
        Event::Incoming(_) => None,
    }
}

fn received(publish: Publish, mark: Mark) -> Step {
    let arrival = Arrival {
        topic: publish.topic,
        payload: &publish.payload,
        packet: publish.pkid,
        qos: our_qos(publish.qos),
        retain: publish.retain,
        dup: publish.dup,
        properties: Properties::default(),
    };
    arrival.received(mark)
}

const fn our_qos(qos: WireQoS) -> QoS {
    match qos {
        WireQoS::AtMostOnce => QoS::AtMostOnce,
        WireQoS::AtLeastOnce => QoS::AtLeastOnce,
        WireQoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// Exactly-once is sent as at-least-once.
const fn wire_qos(qos: QoS) -> WireQoS {
    match qos {
        QoS::AtMostOnce => WireQoS::AtMostOnce,
        QoS::AtLeastOnce | QoS::ExactlyOnce => WireQoS::AtLeastOnce,
    }
}

fn loss(error: &ConnectionError) -> Loss {
    let loss = Loss::new(error.to_string());
    match error {
        ConnectionError::ConnectionRefused(_) => Loss { refused: true, ..loss },
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            Loss::elsewhere("no answer in time")
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => Loss::elsewhere("the broker is silent"),
        _ => loss,
    }
}

#[cfg(test)]
mod tests {
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
