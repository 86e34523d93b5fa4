//! MQTT 5 on `rumqttc::v5`.
//!
//! Facts of its source (0.25.1, pinned) that this file relies on: each request of its channel gives one
//! `Outgoing` event, in order; with manual acknowledgement nothing is acknowledged by itself; the limit of
//! incoming packets is `max_packet_size` of the connect properties, that of outgoing ones the broker's. So the largest
//! packet of MQTT is announced, which is none: what comes in has been cut by the relay.

use std::time::Duration;

use embedded_svc::mqtt::client::QoS;
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS as WireQoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, DisconnectReasonCode, Filter, LastWill, Packet, PubAck, PubAckReason,
    Publish, PublishProperties, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};

use super::adapter::{Arrival, CHANNEL, PACKET_IDS, given, sent};
use super::driver::{Dialect, Link, Loss, Opening};
use super::message::{BrokerSession, LossCause, OutgoingMessage, Properties, Protocol, PublishOutcome};
use super::options::{BusOptions, MAX_PACKET};
use super::packet::Mark;
use super::wire::{Step, Wire, WireCommand};

/// MQTT 5.
pub(super) struct V5 {
    options: BusOptions,
}

impl V5 {
    pub(super) fn new(options: &BusOptions) -> Self {
        Self { options: options.clone() }
    }

    fn mqtt_options(&self, opening: &Opening<'_>) -> MqttOptions {
        let ours = &self.options;
        let mut options = MqttOptions::new(&ours.client_id, opening.address, ours.broker.port);
        let mut properties = ConnectProperties::new();
        let expiry = ours.session_expiry.as_secs();
        properties.session_expiry_interval = Some(u32::try_from(expiry).unwrap_or(u32::MAX));
        properties.receive_maximum = Some(ours.receive_maximum);
        properties.max_packet_size = u32::try_from(MAX_PACKET).ok();
        options
            .set_transport(Transport::Unix)
            .set_connect_properties(properties)
            .set_clean_start(false)
            .set_keep_alive(ours.keep_alive)
            .set_connection_timeout(ours.connect_timeout.as_secs().max(1))
            .set_outgoing_inflight_upper_limit(PACKET_IDS)
            .set_manual_acks(true);
        if let Some((username, password)) = &opening.identity.login {
            options.set_credentials(username, password.reveal());
        }
        if let Some(will) = &ours.will {
            let (topic, payload) = (will.topic.clone(), will.payload.clone());
            let retain = will.retain && opening.retain_will;
            options.set_last_will(LastWill::new(topic, payload, wire_qos(will.qos), retain, None));
        }
        options
    }
}

impl Dialect for V5 {
    type Link = V5Link;

    fn open(&self, opening: &Opening<'_>) -> (Box<dyn Wire>, V5Link) {
        let (client, eventloop) = AsyncClient::new(self.mqtt_options(opening), CHANNEL);
        let (keep_alive, mark) = (self.options.keep_alive, opening.mark);
        (Box::new(V5Wire(client)), V5Link { eventloop, keep_alive, mark })
    }
}

struct V5Wire(AsyncClient);

impl Wire for V5Wire {
    fn send(&mut self, command: WireCommand) {
        let client = &self.0;
        let sent = match command {
            WireCommand::Publish(message) => {
                let OutgoingMessage { topic, payload, qos, retain, properties } = message;
                let properties = outgoing(properties);
                client.try_publish_with_properties(topic, wire_qos(qos), retain, payload, properties)
            }
            WireCommand::Acknowledge { packet, qos } => {
                let qos = if qos == QoS::ExactlyOnce { WireQoS::ExactlyOnce } else { WireQoS::AtLeastOnce };
                client.try_ack(&Publish { pkid: packet, qos, ..Publish::default() })
            }
            WireCommand::Subscribe(wanted) => {
                let filters = wanted.into_iter().map(|wanted| Filter {
                    path: wanted.filter,
                    qos: wire_qos(wanted.qos),
                    nolocal: false,
                    // So that a request published as retained can be told and refused.
                    preserve_retain: true,
                    retain_forward_rule: if wanted.retained_again {
                        RetainForwardRule::OnEverySubscribe
                    } else {
                        RetainForwardRule::OnNewSubscribe
                    },
                });
                client.try_subscribe_many(filters)
            }
            WireCommand::Unsubscribe(filter) => client.try_unsubscribe(filter),
            WireCommand::Disconnect => client.try_disconnect(),
        };
        given(&sent);
    }
}

/// A connection that speaks MQTT 5.
pub(super) struct V5Link {
    eventloop: EventLoop,
    keep_alive: Duration,
    mark: Mark,
}

impl Link for V5Link {
    async fn poll(&mut self) -> Result<Option<Step>, Loss> {
        let event = self.eventloop.poll().await.map_err(|error| loss(&error))?;
        if let Some(broken) = broken_rule(&event) {
            return Err(Loss::elsewhere(format!("the broker breaks the protocol: {broken}")));
        }
        if let Event::Incoming(Packet::ConnAck(connack)) = &event
            && let Some(seconds) = connack.properties.as_ref().and_then(|p| p.server_keep_alive)
        {
            if seconds == 0 {
                // The broker wants no keep alive. rumqttc would ping without pause; we still want to know.
                self.eventloop.options.set_keep_alive(self.keep_alive);
            } else {
                self.keep_alive = self.keep_alive.max(Duration::from_secs(u64::from(seconds)));
            }
        }
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

/// What a broker must not send, and what the library does not stop, or stops in a way of its own.
fn broken_rule(event: &Event) -> Option<&'static str> {
    match event {
        // We announce no Topic Alias Maximum (MQTT 5, 3.1.2.11.5), and the library tells such a message without its topic.
        Event::Incoming(Packet::Publish(publish)) if publish.topic.is_empty() => {
            let alias = publish.properties.as_ref().and_then(|p| p.topic_alias);
            alias.map(|_| "a message came with a topic alias in place of its topic, and we have allowed none")
        }
        // The library would never send anything (MQTT 5, 3.2.2.3.3).
        Event::Incoming(Packet::ConnAck(connack)) => {
            let most = connack.properties.as_ref().and_then(|p| p.receive_max);
            (most == Some(0)).then_some("its receive maximum is 0")
        }
        _ => None,
    }
}

fn step(event: Event, mark: Mark) -> Option<Step> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => Some(connected(&connack)),
        Event::Incoming(Packet::Publish(publish)) => received(publish, mark),
        Event::Incoming(Packet::PubAck(puback)) => Some(acknowledged(&puback)),
        Event::Incoming(Packet::SubAck(suback)) => Some(subscribed(&suback)),
        Event::Incoming(Packet::UnsubAck(unsuback)) => {
            Some(Step::SubscribeAcked { packet: unsuback.pkid, refused: Vec::new() })
        }
        Event::Outgoing(outgoing) => sent(&outgoing),
        Event::Incoming(_) => None,
    }
}

fn connected(connack: &ConnAck) -> Step {
    let properties = connack.properties.as_ref();
    let largest = properties.and_then(|p| p.max_packet_size).and_then(|bytes| usize::try_from(bytes).ok());
    Step::Connected(BrokerSession {
        broker: String::new(),
        client_id: String::new(),
        protocol: Protocol::V5,
        session_present: connack.session_present,
        max_packet_bytes: largest,
        receive_maximum: properties.and_then(|p| p.receive_max),
        retain: properties.and_then(|p| p.retain_available) != Some(0),
        shared_subscriptions: properties.and_then(|p| p.shared_subscription_available) != Some(0),
    })
}

fn received(publish: Publish, mark: Mark) -> Option<Step> {
    let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
        tracing::warn!("a message is dropped: its topic is not UTF-8, which no broker should let through");
        return None;
    };
    let arrival = Arrival {
        topic,
        payload: &publish.payload,
        packet: publish.pkid,
        qos: our_qos(publish.qos),
        retain: publish.retain,
        dup: publish.dup,
        properties: publish.properties.map(incoming).unwrap_or_default(),
    };
    Some(arrival.received(mark))
}

const fn our_qos(qos: WireQoS) -> QoS {
    match qos {
        WireQoS::AtMostOnce => QoS::AtMostOnce,
        WireQoS::AtLeastOnce => QoS::AtLeastOnce,
        WireQoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn acknowledged(puback: &PubAck) -> Step {
    let outcome = match puback.reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => PublishOutcome::Accepted,
        // What the relay makes of 0x95, packet too large, which the library cannot read.
        PubAckReason::PayloadFormatInvalid => PublishOutcome::Refused { reason: "PacketTooLarge".to_owned() },
        refusal => {
            let said = puback.properties.as_ref().and_then(|p| p.reason_string.as_deref());
            let reason = said.map_or_else(|| format!("{refusal:?}"), |said| format!("{refusal:?}: {said}"));
            match refusal {
                // These say nothing of the message (MQTT 5, 3.4.2.1), and pass.
                PubAckReason::UnspecifiedError
                | PubAckReason::ImplementationSpecificError
                | PubAckReason::PacketIdentifierInUse
                | PubAckReason::QuotaExceeded => PublishOutcome::Deferred { reason },
                _ => PublishOutcome::Refused { reason },
            }
        }
    };
    Step::PublishAcked { packet: puback.pkid, outcome }
}

fn subscribed(suback: &SubAck) -> Step {
    let refused = suback.return_codes.iter().map(|code| match code {
        SubscribeReasonCode::Success(_) => None,
        refused => Some(format!("{refused:?}")),
    });
    Step::SubscribeAcked { packet: suback.pkid, refused: refused.collect() }
}

/// Exactly-once is sent as at-least-once.
const fn wire_qos(qos: QoS) -> WireQoS {
    match qos {
        QoS::AtMostOnce => WireQoS::AtMostOnce,
        QoS::AtLeastOnce | QoS::ExactlyOnce => WireQoS::AtLeastOnce,
    }
}

fn outgoing(properties: Properties) -> PublishProperties {
    PublishProperties {
        message_expiry_interval: properties.message_expiry_s,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data.map(Into::into),
        content_type: properties.content_type,
        ..PublishProperties::default()
    }
}

fn incoming(properties: PublishProperties) -> Properties {
    Properties {
        content_type: properties.content_type,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data.map(|data| data.to_vec()),
        message_expiry_s: properties.message_expiry_interval,
    }
}

/// Whether a message of ours may be why the broker disconnects (MQTT 5, 3.14.2.1).
const fn cause(reason: DisconnectReasonCode) -> LossCause {
    match reason {
        DisconnectReasonCode::PacketTooLarge => LossCause::PacketTooLarge,
        DisconnectReasonCode::ServerBusy
        | DisconnectReasonCode::ServerShuttingDown
        | DisconnectReasonCode::KeepAliveTimeout
        | DisconnectReasonCode::SessionTakenOver
        | DisconnectReasonCode::UseAnotherServer
        | DisconnectReasonCode::ServerMoved
        | DisconnectReasonCode::MaximumConnectTime => LossCause::Elsewhere,
        _ => LossCause::HungUp,
    }
}

fn loss(error: &ConnectionError) -> Loss {
    let loss = Loss::new(error.to_string());
    match error {
        ConnectionError::ConnectionRefused(_) => Loss { refused: true, ..loss },
        ConnectionError::Timeout(_) => Loss::elsewhere("no answer in time"),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let said = reason_string.as_deref().map(|said| format!(": {said}")).unwrap_or_default();
            let loss = Loss::new(format!("the broker disconnects us: {reason_code:?}{said}"));
            Loss { cause: cause(*reason_code), ..loss }
        }
        _ => loss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_measured_as_it_is_sent() {
        let properties = Properties {
            content_type: Some("application/geo+json".to_owned()),
            response_topic: Some("reply/here".to_owned()),
            correlation_data: Some(vec![0; 200]),
            message_expiry_s: Some(60),
        };
        for payload in [0, 1, 119, 120, 121, 16_000, 16_384, 2_097_200] {
            for properties in [Properties::default(), properties.clone()] {
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                    let message = OutgoingMessage {
                        qos,
                        ..OutgoingMessage::new("geosam/a/mask/b", vec![b'x'; payload])
                            .with(properties.clone())
                    };
                    let wire = Some(outgoing(properties.clone()));
                    let mut publish =
                        Publish::new(message.topic.clone(), wire_qos(qos), message.payload.clone(), wire);
                    publish.pkid = 7;
                    assert_eq!(message.packet_bytes(Protocol::V5), publish.size());
                }
            }
        }
    }
}
