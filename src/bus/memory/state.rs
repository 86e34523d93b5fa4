//! The broker in memory as a state machine: commands of the bus and of the script in, steps out.

use std::collections::{BTreeMap, VecDeque};

use embedded_svc::mqtt::client::QoS;

use crate::bus::filter::{matches, unshared};
use crate::bus::message::{BrokerSession, IncomingMessage, OutgoingMessage, Protocol, PublishOutcome};
use crate::bus::wire::{Step, WireCommand};

/// What the broker does with a publish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PublishPolicy {
    /// Takes and acknowledges it.
    #[default]
    Accept,
    /// Takes it and acknowledges when the script says so.
    Hold,
    /// Takes it, and the acknowledgement is lost.
    LoseAck,
    /// It is lost on the way.
    LoseMessage,
    /// Cannot take it now, for a reason.
    Defer(String),
    /// Refuses it for a reason.
    Refuse(String),
    /// Ends the connection in place of an answer, as brokers do on what they forbid.
    HangUp,
}

/// What the broker does with a packet over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// It has announced the limit, so none should come; it hangs up on one that does.
    Announced,
    /// It has not, and hangs up.
    HangUp,
    /// It has not, and refuses the publish.
    Refuse,
    /// It has not, acknowledges the publish and throws it away.
    Swallow,
    /// It does the same and hangs up, as mosquitto over its `message_size_limit` with MQTT 3.1.1.
    SwallowAndHangUp,
}

/// A message on its way to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(u64);

/// What became of a message from another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It goes to the bus, at once or when the bus is connected and has room.
    Taken(DeliveryId),
    /// The bus has not subscribed to it, or it was sent at most once and the bus is away.
    NotWanted,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// Leave was taken: no last will.
    Departed,
    /// The line was cut.
    Lost,
}

struct Outbound {
    id: DeliveryId,
    message: IncomingMessage,
    /// Packet id while it is on its way.
    packet: Option<u16>,
}

pub(super) struct BrokerState {
    will: Option<OutgoingMessage>,
    connection: u64,
    connected: bool,
    ended: bool,
    policy: PublishPolicy,
    /// Topics that have a policy of their own, by filter.
    policies: Vec<(String, PublishPolicy)>,
    packet_limit: Option<(usize, OverLimit)>,
    protocol: Protocol,
    /// Subscriptions are granted, and nothing comes for them.
    deaf: bool,
    /// It is about to end the connection, and takes nothing more.
    hanging_up: bool,
    receive_maximum: usize,
    /// The session.
    subscriptions: Vec<String>,
    queue: VecDeque<Outbound>,
    refused_filters: Vec<String>,
    retained: BTreeMap<String, Vec<u8>>,
    published: Vec<OutgoingMessage>,
    held: VecDeque<u16>,
    acknowledged: Vec<DeliveryId>,
    steps: VecDeque<Step>,
    last_id: u64,
    last_packet_in: u16,
    last_packet_out: u16,
}

impl BrokerState {
    pub(super) const fn new(will: Option<OutgoingMessage>) -> Self {
        Self {
            will,
            connection: 0,
            connected: false,
            ended: false,
            policy: PublishPolicy::Accept,
            policies: Vec::new(),
            packet_limit: None,
            protocol: Protocol::V5,
            deaf: false,
            hanging_up: false,
            receive_maximum: 20,
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            refused_filters: Vec::new(),
            retained: BTreeMap::new(),
            published: Vec::new(),
            held: VecDeque::new(),
            acknowledged: Vec::new(),
            steps: VecDeque::new(),
            last_id: 0,
            last_packet_in: 0,
            last_packet_out: 0,
        }
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    pub(super) fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// A connection begins; returns its number.
    pub(super) fn open(&mut self, resume: bool) -> u64 {
        if !resume {
            self.subscriptions.clear();
            self.queue.clear();
        }
        self.connected = true;
        self.hanging_up = false;
        self.connection += 1;
        (self.last_packet_in, self.last_packet_out) = (0, 0);
        self.held.clear();
        self.steps.clear();
        for outbound in &mut self.queue {
            if outbound.packet.take().is_some() {
                outbound.message.dup = true;
            }
        }
        self.pump();
        self.connection
    }

    /// The connection ends; says whether there was one.
    pub(super) fn close(&mut self, how: Closing) -> bool {
        if !std::mem::take(&mut self.connected) {
            return false;
        }
        self.steps.clear();
        // What was sent at most once is gone with the line.
        self.queue.retain(|outbound| outbound.message.qos != QoS::AtMostOnce);
        if how == Closing::Lost
            && let Some(will) = self.will.clone()
        {
            self.arrived(will);
        }
        true
    }

    /// The bus has dropped its end of a connection.
    pub(super) fn abandoned(&mut self, connection: u64) {
        if connection == self.connection {
            self.close(Closing::Lost);
        }
    }

    /// Notes that the bus has been told of its end; says whether that is news.
    pub(super) const fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.ended, true)
    }

    /// A command of the bus. One for an earlier connection has no effect.
    pub(super) fn command(&mut self, connection: u64, command: WireCommand) {
        if !self.connected || self.hanging_up || connection != self.connection {
            return;
        }
        match command {
            WireCommand::Publish(message) => self.publish(message),
            WireCommand::Acknowledge { packet, .. } => {
                let position = self.queue.iter().position(|outbound| outbound.packet == Some(packet));
                if let Some(outbound) = position.and_then(|position| self.queue.remove(position)) {
                    self.acknowledged.push(outbound.id);
                }
                self.pump();
            }
            WireCommand::Subscribe(wanted) => {
                let packet = self.packet_in();
                self.steps.push_back(Step::SubscribeSent { packet });
                let mut refused = Vec::new();
                let mut kept = Vec::new();
                for wanted in wanted {
                    if self.refused_filters.contains(&wanted.filter) {
                        refused.push(Some("NotAuthorized".to_owned()));
                        continue;
                    }
                    refused.push(None);
                    let known = self.subscriptions.contains(&wanted.filter);
                    if !known {
                        self.subscriptions.push(wanted.filter.clone());
                    }
                    // A shared subscription gets no retained messages (MQTT 5, 4.8.2).
                    if (!known || wanted.retained_again) && !wanted.filter.starts_with("$share/") {
                        kept.push(wanted.filter);
                    }
                }
                self.steps.push_back(Step::SubscribeAcked { packet, refused });
                for filter in kept {
                    self.send_retained(&filter);
                }
            }
            WireCommand::Unsubscribe(filter) => {
                let packet = self.packet_in();
                self.subscriptions.retain(|known| *known != filter);
                self.steps.push_back(Step::SubscribeSent { packet });
                self.steps.push_back(Step::SubscribeAcked { packet, refused: Vec::new() });
            }
            WireCommand::Disconnect => {
                self.close(Closing::Departed);
                self.ended = true;
                self.steps.push_back(Step::Departed);
            }
        }
    }

    /// What happens to this message if it is over the limit.
    fn over_limit(&self, message: &OutgoingMessage) -> Option<OverLimit> {
        let (limit, over) = self.packet_limit?;
        (message.packet_bytes(self.protocol) > limit).then_some(over)
    }

    /// What it does with this message; the limit goes first, then the topic's own policy.
    fn policy_for(&self, message: &OutgoingMessage) -> PublishPolicy {
        match self.over_limit(message) {
            None => {}
            Some(OverLimit::Announced | OverLimit::HangUp) => return PublishPolicy::HangUp,
            Some(OverLimit::Refuse) => return PublishPolicy::Refuse("PacketTooLarge".to_owned()),
            Some(OverLimit::Swallow | OverLimit::SwallowAndHangUp) => return PublishPolicy::LoseMessage,
        }
        let own = self.policies.iter().find(|(filter, _)| matches(filter, &message.topic));
        own.map_or_else(|| self.policy.clone(), |(_, policy)| policy.clone())
    }

    fn publish(&mut self, message: OutgoingMessage) {
        let policy = self.policy_for(&message);
        if policy == PublishPolicy::HangUp {
            if message.qos != QoS::AtMostOnce {
                let packet = self.packet_in();
                self.steps.push_back(Step::PublishSent { packet });
            }
            self.hanging_up = true;
            return;
        }
        if message.qos == QoS::AtMostOnce {
            self.steps.push_back(Step::PublishLeft);
            if policy != PublishPolicy::LoseMessage {
                self.arrived(message);
            }
            return;
        }
        let packet = self.packet_in();
        self.steps.push_back(Step::PublishSent { packet });
        let swallowed = self
            .over_limit(&message)
            .filter(|over| matches!(over, OverLimit::Swallow | OverLimit::SwallowAndHangUp));
        match policy {
            PublishPolicy::HangUp => {}
            PublishPolicy::LoseMessage if swallowed.is_some() => {
                self.hanging_up = swallowed == Some(OverLimit::SwallowAndHangUp);
                self.steps.push_back(Step::PublishAcked { packet, outcome: PublishOutcome::Accepted });
            }
            PublishPolicy::Accept => {
                self.arrived(message);
                let outcome = PublishOutcome::Accepted;
                self.steps.push_back(Step::PublishAcked { packet, outcome });
            }
            PublishPolicy::Hold => {
                self.arrived(message);
                self.held.push_back(packet);
            }
            PublishPolicy::LoseAck => self.arrived(message),
            PublishPolicy::LoseMessage => {}
            PublishPolicy::Defer(reason) => {
                let outcome = PublishOutcome::Deferred { reason };
                self.steps.push_back(Step::PublishAcked { packet, outcome });
            }
            PublishPolicy::Refuse(reason) => {
                let outcome = PublishOutcome::Refused { reason };
                self.steps.push_back(Step::PublishAcked { packet, outcome });
            }
        }
    }

    /// The broker has a message of the bus, which may have subscribed to it itself.
    fn arrived(&mut self, message: OutgoingMessage) {
        self.route(&message);
        self.published.push(message);
    }

    pub(super) fn release(&mut self, count: usize) -> usize {
        let count = count.min(self.held.len());
        for packet in self.held.drain(..count) {
            self.steps.push_back(Step::PublishAcked { packet, outcome: PublishOutcome::Accepted });
        }
        count
    }

    /// A message from any client: kept if it is retained, and sent on if the bus has subscribed.
    pub(super) fn route(&mut self, message: &OutgoingMessage) -> Delivery {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else {
                self.retained.insert(message.topic.clone(), message.payload.clone());
            }
        }
        let wanted = self.subscriptions.iter().any(|filter| matches(unshared(filter), &message.topic));
        if !wanted || self.deaf || (message.qos == QoS::AtMostOnce && !self.connected) {
            return Delivery::NotWanted;
        }
        let id = self.enqueue(IncomingMessage {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            cut_from: None,
            // We subscribe at least once, which bounds what comes.
            qos: if message.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            retain: message.retain,
            dup: false,
            properties: message.properties.clone(),
            ack: None,
        });
        Delivery::Taken(id)
    }

    fn send_retained(&mut self, filter: &str) {
        let kept: Vec<_> = self.retained.iter().filter(|(topic, _)| matches(filter, topic)).collect();
        let kept: Vec<_> = kept.into_iter().map(|(t, p)| (t.clone(), p.clone())).collect();
        for (topic, payload) in kept {
            self.enqueue(IncomingMessage {
                topic,
                payload,
                cut_from: None,
                qos: QoS::AtLeastOnce,
                retain: true,
                dup: false,
                properties: Default::default(),
                ack: None,
            });
        }
    }

    fn enqueue(&mut self, message: IncomingMessage) -> DeliveryId {
        self.last_id += 1;
        let id = DeliveryId(self.last_id);
        self.queue.push_back(Outbound { id, message, packet: None });
        self.pump();
        id
    }

    pub(super) fn duplicate(&mut self, id: DeliveryId) -> bool {
        let known = self.queue.iter().find(|outbound| outbound.id == id && outbound.packet.is_some());
        let Some(Outbound { message, packet: Some(packet), .. }) = known else { return false };
        let message = IncomingMessage { dup: true, ..message.clone() };
        self.steps.push_back(Step::Received { packet: *packet, message });
        true
    }

    /// Sends what the bus has room for.
    fn pump(&mut self) {
        if !self.connected {
            return;
        }
        let mut under_way = self.queue.iter().filter(|outbound| outbound.packet.is_some()).count();
        for outbound in &mut self.queue {
            if outbound.packet.is_some() {
                continue;
            }
            let packet = if outbound.message.qos == QoS::AtMostOnce {
                0
            } else if under_way < self.receive_maximum {
                under_way += 1;
                self.last_packet_out = self.last_packet_out.checked_add(1).unwrap_or(1);
                self.last_packet_out
            } else {
                break;
            };
            outbound.packet = Some(packet);
            self.steps.push_back(Step::Received { packet, message: outbound.message.clone() });
        }
        self.queue.retain(|outbound| outbound.packet != Some(0));
    }

    fn packet_in(&mut self) -> u16 {
        self.last_packet_in = self.last_packet_in.checked_add(1).unwrap_or(1);
        self.last_packet_in
    }

    pub(super) fn set_policy(&mut self, policy: PublishPolicy) {
        self.policy = policy;
    }

    pub(super) fn set_policy_of(&mut self, filter: &str, policy: PublishPolicy) {
        self.policies.retain(|(known, _)| known != filter);
        self.policies.push((filter.to_owned(), policy));
    }

    pub(super) const fn set_packet_limit(&mut self, limit: Option<(usize, OverLimit)>) {
        self.packet_limit = limit;
    }

    pub(super) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) const fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    pub(super) const fn set_deaf(&mut self, deaf: bool) {
        self.deaf = deaf;
    }

    /// What CONNACK says.
    pub(super) fn session(&self, session_present: bool) -> BrokerSession {
        BrokerSession {
            broker: "memory".to_owned(),
            client_id: "edge".to_owned(),
            protocol: self.protocol,
            session_present,
            max_packet_bytes: self.announced_limit(),
            ..BrokerSession::default()
        }
    }

    /// The limit that CONNACK tells.
    fn announced_limit(&self) -> Option<usize> {
        self.packet_limit.filter(|(_, over)| *over == OverLimit::Announced).map(|(limit, _)| limit)
    }

    /// Whether the connection is to be ended now.
    pub(super) const fn is_hanging_up(&self) -> bool {
        self.connected && self.hanging_up
    }

    pub(super) const fn set_receive_maximum(&mut self, count: usize) {
        self.receive_maximum = count;
    }

    pub(super) fn refuse_subscription(&mut self, filter: &str) {
        self.refused_filters.push(filter.to_owned());
    }

    pub(super) fn published(&self) -> Vec<OutgoingMessage> {
        self.published.clone()
    }

    pub(super) fn take_published(&mut self) -> Vec<OutgoingMessage> {
        std::mem::take(&mut self.published)
    }

    pub(super) fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        self.retained.get(topic).cloned()
    }

    pub(super) fn acknowledged(&self) -> Vec<DeliveryId> {
        self.acknowledged.clone()
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn subscriptions(&self) -> Vec<String> {
        self.subscriptions.clone()
    }
}
