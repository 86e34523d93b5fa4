//! Messages on their way out: what the outbox gives is published, and what cannot be delivered becomes a small error, a
//! line in the log and an event. Which message is to blame is `publisher`'s affair, what takes its place `undelivered`'s.

use std::sync::Arc;
use std::time::Instant;

use super::{Clerk, Then};
use crate::bus::{BusClient, QoS};
use crate::service::health::{Broker, Delivery};
use crate::service::job::ReplyTo;
use crate::service::publisher::outgoing;
use crate::service::undelivered::{Cause, replacement};
use crate::store::{Change, Class, OutboxMessage};

impl<C: BusClient> Clerk<C> {
    pub(super) fn publish(&mut self) {
        self.publisher.set_echoes(self.echo.echoes());
        let undelivered = match self.publisher.pump(&self.context.store) {
            Ok(undelivered) => undelivered,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                return;
            }
        };
        if self.announcer.set_packet_bytes(self.publisher.packets().told()) {
            self.publisher.tell(self.announcer.info(&self.context));
        }
        for message in undelivered {
            self.tell_undelivered(&message.topic, &message.cause);
            let Some(entry) = message.entry else { continue };
            if let Some(answer) = replacement(&entry.message, &message.cause) {
                self.staged.push((Change::Publish(answer), Then::Nothing));
            }
            // Told by an event, but never about events: that would feed itself.
            if matches!(message.cause, Cause::EndsConnections { .. }) && entry.message.class != Class::Event {
                let text = format!("the message to {} is taken out: {}", message.topic, message.cause);
                self.event(self.announcer.problem("message_quarantined", &text));
            }
        }
        if self.publisher.delivered() > 0 {
            self.deadlines.linger(Instant::now());
        }
    }

    /// The messages that carry an answer. One that is larger than what may wait for the broker is replaced at once.
    pub(super) fn answer(&self, reply: &ReplyTo, answer: &Arc<[u8]>) -> Vec<OutboxMessage> {
        if let Some(cot) = &self.context.cot {
            cot.answered(&reply.topic, answer);
        }
        let limit = usize::try_from(self.context.store.limits().outbox_bytes).unwrap_or(usize::MAX);
        let fitting = |message: OutboxMessage| {
            let bytes = message.payload.len() + MARGIN;
            if bytes <= limit {
                return Some(message);
            }
            let cause = Cause::LargerThanOutbox { bytes: message.payload.len(), limit };
            self.tell_undelivered(&message.topic, &cause);
            replacement(&message, &cause)
        };
        reply.messages(answer).into_iter().filter_map(fitting).collect()
    }

    /// Publishes an answer without a guarantee, or what takes its place where it cannot be delivered.
    pub(super) fn publish_now(&mut self, message: &OutboxMessage, at_most_once: bool) {
        let qos = if at_most_once { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let publish = |this: &mut Self, message: &OutboxMessage| {
            let mut sent = outgoing(message);
            sent.qos = qos;
            this.publisher.publish_now(sent)
        };
        let Err(cause) = publish(self, message) else { return };
        self.tell_undelivered(&message.topic, &cause);
        let Some(instead) = replacement(message, &cause) else { return };
        if let Err(cause) = publish(self, &instead) {
            self.tell_undelivered(&instead.topic, &cause);
        }
    }

    /// What `health` tells of the way out.
    pub(super) fn delivery_health(&self) -> (Delivery, Broker) {
        let (deliveries, stats) = (self.publisher.deliveries(), self.publisher.client().stats());
        let delivery = Delivery {
            quarantined: deliveries.quarantined,
            refused: deliveries.refused,
            requests_dropped: stats.dropped,
        };
        let broker = Broker {
            protocol: self.publisher.session().protocol.to_string(),
            connections: stats.connections,
            sessions_lost: self.sessions_lost,
            way_in: self.echo.way_in().as_str(),
            packet_bytes: self.publisher.packets().told(),
        };
        (delivery, broker)
    }

    fn tell_undelivered(&self, topic: &str, cause: &Cause) {
        let set = match cause {
            Cause::TooLarge { .. } | Cause::LargerThanRefused { .. } => {
                "; broker.max_packet_bytes and the broker's own limits bound it"
            }
            _ => "",
        };
        tracing::warn!(topic, "a message cannot be delivered: {cause}{set}");
    }
}

/// What a row of the outbox weighs beside its payload, at most: topic and correlation data.
const MARGIN: usize = 1024;
