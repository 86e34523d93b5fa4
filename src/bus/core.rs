//! What a connection has to remember, as a state machine without network, threads or clock: which
//! publish an acknowledgement belongs to, what may be sent now, and in which order messages that came in
//! may be acknowledged.
//!
//! One connection's memory ends with it. After a loss nothing is carried over: the owner of the messages
//! publishes again what was not acknowledged, and the broker delivers again what we did not acknowledge.

use std::collections::VecDeque;

use embedded_svc::mqtt::client::{MessageId, QoS};

use super::error::BusError;
use super::filter::check_filter;
use super::message::{
    AckToken, BrokerSession, BusEvent, OutgoingMessage, Protocol, PublishToken, SubscribeToken,
};
use super::wire::{BusStats, QueueLimits, Step, Subscription, Wire, WireCommand};

/// The oldest of what the broker has not answered. It answers in the order in which it was asked (MQTT 5, 4.6), so what is
/// newer waits for these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Owed {
    /// A publish, with its topic.
    pub(super) publish: Option<(PublishToken, String)>,
    /// A subscription, or the end of one.
    pub(super) asked: Option<SubscribeToken>,
}

struct InFlight {
    token: PublishToken,
    topic: String,
    packet: Option<u16>,
    acked: bool,
}

struct Asked {
    token: SubscribeToken,
    filters: Vec<String>,
    unsubscribe: bool,
    packet: Option<u16>,
}

struct Unacknowledged {
    sequence: u64,
    packet: u16,
    qos: QoS,
    done: bool,
}

/// Bytes of publishes at most once that the wire may have: it takes all that it is given, and a slow network does not.
const LEAVING: usize = 4 << 20;

struct Link {
    wire: Box<dyn Wire>,
    max_packet_bytes: usize,
    window: usize,
    waiting: VecDeque<(PublishToken, OutgoingMessage)>,
    waiting_bytes: usize,
    /// In the order sent. The window counts from the oldest without acknowledgement, so that a packet
    /// id never comes up for reuse while it is taken, in whatever order the broker acknowledges.
    in_flight: VecDeque<InFlight>,
    /// Bytes of each publish at most once that the wire has and has not let out, in order: nobody acknowledges them.
    leaving: VecDeque<usize>,
    leaving_bytes: usize,
    asked: VecDeque<Asked>,
    unacknowledged: VecDeque<Unacknowledged>,
    departing: bool,
}

/// The state of the bus.
pub(super) struct Core {
    protocol: Protocol,
    limits: QueueLimits,
    /// Counts connections; also tells tokens of an earlier one.
    connections: u64,
    last_token: MessageId,
    last_sequence: u64,
    link: Option<Link>,
    stopping: bool,
}

impl Core {
    pub(super) const fn new(limits: QueueLimits) -> Self {
        Self {
            protocol: Protocol::V5,
            limits,
            connections: 0,
            last_token: 0,
            last_sequence: 0,
            link: None,
            stopping: false,
        }
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub(super) fn stats(&self) -> BusStats {
        let link = self.link.as_ref();
        BusStats {
            connected: link.is_some(),
            connections: self.connections,
            waiting: link.map_or(0, |link| link.waiting.len()),
            in_flight: link.map_or(0, |link| link.in_flight.iter().filter(|sent| !sent.acked).count()),
            unacknowledged: link.map_or(0, |link| link.unacknowledged.len()),
            dropped: 0,
        }
    }

    pub(super) fn is_departing(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.departing)
    }

    pub(super) fn owed(&self) -> Owed {
        let Some(link) = &self.link else { return Owed::default() };
        Owed {
            publish: link.in_flight.front().map(|sent| (sent.token, sent.topic.clone())),
            asked: link.asked.front().map(|asked| asked.token),
        }
    }

    fn token(&mut self) -> MessageId {
        // Zero stands for "no message" in the traits.
        self.last_token = self.last_token.checked_add(1).unwrap_or(1);
        self.last_token
    }

    /// A connection is there. A broker that takes fewer messages in flight than we would send is heeded.
    pub(super) fn connected(&mut self, wire: Box<dyn Wire>, session: &BrokerSession) {
        self.connections += 1;
        self.protocol = session.protocol;
        let window = self.limits.in_flight.min(session.receive_maximum.unwrap_or(u16::MAX)).max(1);
        self.link = Some(Link {
            wire,
            max_packet_bytes: self
                .limits
                .max_packet_bytes
                .min(session.max_packet_bytes.unwrap_or(usize::MAX)),
            window: usize::from(window),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: VecDeque::new(),
            leaving: VecDeque::new(),
            leaving_bytes: 0,
            asked: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            departing: false,
        });
    }

    /// The connection is gone; returns what was published on it and not acknowledged, oldest first.
    pub(super) fn lost(&mut self) -> Vec<PublishToken> {
        let Some(link) = self.link.take() else { return Vec::new() };
        let sent = link.in_flight.iter().filter(|sent| !sent.acked).map(|sent| sent.token);
        let waiting = link.waiting.iter().filter(|(_, message)| message.is_acknowledged());
        sent.chain(waiting.map(|(token, _)| *token)).collect()
    }

    pub(super) fn publish(&mut self, message: OutgoingMessage) -> Result<PublishToken, BusError> {
        if self.stopping {
            return Err(BusError::Stopped);
        }
        self.enqueue(message)
    }

    fn enqueue(&mut self, message: OutgoingMessage) -> Result<PublishToken, BusError> {
        message.check()?;
        let bytes = message.packet_bytes(self.protocol);
        let Some(link) = &mut self.link else {
            return Err(BusError::NotConnected { topic: message.topic });
        };
        if bytes > link.max_packet_bytes {
            return Err(BusError::TooLarge { topic: message.topic, bytes, limit: link.max_packet_bytes });
        }
        let full = link.waiting.len() >= self.limits.waiting
            || (link.waiting_bytes > 0
                && link.waiting_bytes + message.payload.len() > self.limits.waiting_bytes);
        if full {
            return Err(BusError::QueueFull { topic: message.topic, waiting: link.waiting.len() });
        }
        link.waiting_bytes += message.payload.len();
        let token = PublishToken(self.token());
        if let Some(link) = &mut self.link {
            link.waiting.push_back((token, message));
        }
        self.pump();
        Ok(token)
    }

    pub(super) fn subscribe(&mut self, wanted: &[Subscription]) -> Result<SubscribeToken, BusError> {
        for subscription in wanted {
            check_filter(&subscription.filter).map_err(|problem| BusError::BadTopic {
                topic: subscription.filter.chars().take(120).collect(),
                problem,
            })?;
        }
        let filters: Vec<String> = wanted.iter().map(|s| s.filter.clone()).collect();
        let Some(first) = filters.first().cloned() else {
            return Err(BusError::BadTopic { topic: String::new(), problem: "is no filter" });
        };
        self.ask(first, filters, false, WireCommand::Subscribe(wanted.to_vec()))
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) -> Result<SubscribeToken, BusError> {
        check_filter(filter).map_err(|problem| BusError::BadTopic { topic: filter.to_owned(), problem })?;
        self.ask(filter.to_owned(), Vec::new(), true, WireCommand::Unsubscribe(filter.to_owned()))
    }

    fn ask(
        &mut self,
        topic: String,
        filters: Vec<String>,
        unsubscribe: bool,
        command: WireCommand,
    ) -> Result<SubscribeToken, BusError> {
        let token = SubscribeToken(self.token());
        match &mut self.link {
            _ if self.stopping => Err(BusError::Stopped),
            None => Err(BusError::NotConnected { topic }),
            Some(link) => {
                link.asked.push_back(Asked { token, filters, unsubscribe, packet: None });
                link.wire.send(command);
                Ok(token)
            }
        }
    }

    /// Says that a message is dealt with. The broker is told in the order in which the messages came
    /// (MQTT 5, 4.6), whatever the order of these calls. A token of an earlier connection is void, and a
    /// second call changes nothing.
    pub(super) fn acknowledge(&mut self, ack: AckToken) {
        let Some(link) = self.link.as_mut().filter(|_| ack.connection == self.connections) else { return };
        if let Some(message) = link.unacknowledged.iter_mut().find(|m| m.sequence == ack.sequence) {
            message.done = true;
        }
        while link.unacknowledged.front().is_some_and(|message| message.done) {
            if let Some(message) = link.unacknowledged.pop_front() {
                link.wire.send(WireCommand::Acknowledge { packet: message.packet, qos: message.qos });
            }
        }
    }

    /// No more publishes; once all have been acknowledged, the farewell last, leave is taken.
    pub(super) fn stop(&mut self, farewell: Option<OutgoingMessage>) {
        if self.stopping {
            return;
        }
        if let Some(message) = farewell
            && let Err(error) = self.enqueue(message)
        {
            tracing::debug!(%error, "the farewell is not sent");
        }
        self.stopping = true;
        self.pump();
    }

    /// What happened on the wire, and the event it gives.
    pub(super) fn apply(&mut self, step: Step) -> Option<BusEvent> {
        let connection = self.connections;
        let link = self.link.as_mut()?;
        match step {
            Step::Connected(_) | Step::Departed => None,
            Step::Received { packet, mut message } => {
                if message.qos != QoS::AtMostOnce {
                    let sequence = link.remember(packet, message.qos, &mut self.last_sequence);
                    message.ack = Some(AckToken { connection, sequence });
                }
                Some(BusEvent::Message(message))
            }
            Step::PublishSent { packet } => {
                if let Some(sent) = link.in_flight.iter_mut().find(|sent| sent.packet.is_none()) {
                    sent.packet = Some(packet);
                }
                None
            }
            Step::PublishLeft => {
                link.leaving_bytes -= link.leaving.pop_front().unwrap_or(0);
                self.pump();
                None
            }
            Step::PublishAcked { packet, outcome } => {
                let sent = link.in_flight.iter_mut().find(|s| s.packet == Some(packet) && !s.acked)?;
                sent.acked = true;
                let token = sent.token;
                while link.in_flight.front().is_some_and(|sent| sent.acked) {
                    link.in_flight.pop_front();
                }
                self.pump();
                Some(BusEvent::Published { token, outcome })
            }
            Step::SubscribeSent { packet } => {
                if let Some(asked) = link.asked.iter_mut().find(|asked| asked.packet.is_none()) {
                    asked.packet = Some(packet);
                }
                None
            }
            Step::SubscribeAcked { packet, refused } => {
                let position = link.asked.iter().position(|asked| asked.packet == Some(packet))?;
                let Asked { token, filters, unsubscribe, .. } = link.asked.remove(position)?;
                if unsubscribe {
                    return Some(BusEvent::Unsubscribed { token });
                }
                let pairs = filters.into_iter().zip(refused);
                let refused = pairs.filter_map(|(filter, reason)| Some((filter, reason?))).collect();
                Some(BusEvent::Subscribed { token, refused })
            }
        }
    }

    /// Sends what the window lets through.
    fn pump(&mut self) {
        let Some(link) = &mut self.link else { return };
        while let Some((_, next)) = link.waiting.front() {
            let acknowledged = next.is_acknowledged();
            let bytes = next.payload.len();
            let is_full = match acknowledged {
                true => link.in_flight.len() >= link.window,
                false => link.leaving_bytes > 0 && link.leaving_bytes + bytes > LEAVING,
            };
            if is_full {
                break;
            }
            let Some((token, message)) = link.waiting.pop_front() else { break };
            link.waiting_bytes -= bytes;
            if acknowledged {
                let topic = message.topic.clone();
                link.in_flight.push_back(InFlight { token, topic, packet: None, acked: false });
            } else {
                link.leaving.push_back(bytes);
                link.leaving_bytes += bytes;
            }
            link.wire.send(WireCommand::Publish(message));
        }
        if self.stopping && link.waiting.is_empty() && link.in_flight.is_empty() && !link.departing {
            link.departing = true;
            link.wire.send(WireCommand::Disconnect);
        }
    }
}

impl Link {
    /// Notes a message to acknowledge. A broker that repeats one on the same connection, as some do
    /// under MQTT 3.1.1, gets one acknowledgement: a second could hit the next message of that packet id.
    fn remember(&mut self, packet: u16, qos: QoS, last_sequence: &mut u64) -> u64 {
        if let Some(known) = self.unacknowledged.iter().find(|known| known.packet == packet) {
            return known.sequence;
        }
        *last_sequence += 1;
        self.unacknowledged.push_back(Unacknowledged { sequence: *last_sequence, packet, qos, done: false });
        *last_sequence
    }
}

#[cfg(test)]
mod tests;
