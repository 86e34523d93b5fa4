//! Messages that no store holds: what the service tells of itself, answers without a guarantee, pings. They are lost
//! without a connection.

use std::time::Instant;

use super::probe::Echoes;
use super::{Flight, Item, Publisher, TOO_LARGE, Undelivered, hopeless};
use crate::bus::{BusClient, OutgoingMessage, PublishOutcome, QoS};
use crate::service::suspects::CONNECTIONS;
use crate::service::undelivered::Cause;

/// Messages that wait for their turn where one goes at a time, and their bytes.
const PASSING: usize = 256;
const PASSING_BYTES: usize = 16 << 20;
/// Connections that end with nothing heard of before all is sent so that we hear of it.
const UNHEARD: u32 = 2;

impl<C: BusClient> Publisher<C> {
    /// Something retained, told as soon as it can be; a newer one on its topic takes its place.
    pub fn tell(&mut self, message: OutgoingMessage) {
        if self.connected && !self.silenced.contains(&message.topic) {
            self.passing.retain(|older| !older.retain || older.topic != message.topic);
            self.passing.push_back(message);
        }
    }

    /// A message that is not retained, sent as soon as it can be. Says whether it is; it is not where the broker ends
    /// connections on its topic.
    pub fn pass(&mut self, message: OutgoingMessage) -> bool {
        if self.silenced.contains(&message.topic) {
            return false;
        }
        self.queue_up(message);
        true
    }

    /// Puts a message behind those that wait, where there is room.
    fn queue_up(&mut self, message: OutgoingMessage) {
        let bytes: usize = self.passing.iter().map(|waiting| waiting.payload.len()).sum();
        let has_room = self.passing.len() < PASSING && bytes + message.payload.len() <= PASSING_BYTES;
        if self.connected && has_room {
            self.passing.push_back(message);
        } else {
            tracing::debug!(message.topic, "a message without a guarantee is lost");
        }
    }

    /// Whether pings of the board to itself come back, so that sizes can be tested.
    pub fn set_echoes(&mut self, echoes: Echoes) {
        self.prober.set_echoes(echoes);
    }

    /// A ping of this run, with the bytes of its payload, has come back.
    pub fn probe_came_back(&mut self, payload: usize) {
        self.prober.came_back(payload);
    }

    /// Sends a ping of the size that a message waits for.
    pub(super) fn probe(&mut self, now: Instant) {
        let Some(bytes) = self.prober.next().filter(|_| self.has_room()) else { return };
        if self.packets.told().is_some_and(|limit| bytes > limit) {
            // Held before the limit was known; the bus would not send the probe either.
            self.prober.release();
            return;
        }
        let text = format!("{}probe ", self.run);
        let ping = |filler: usize| OutgoingMessage::new(&self.ping_topic, text.clone() + &"x".repeat(filler));
        // A longer packet says its length in more bytes: what that is too much is taken back.
        let filler = bytes.saturating_sub(ping(0).packet_bytes(self.session.protocol));
        let over = ping(filler).packet_bytes(self.session.protocol).saturating_sub(bytes);
        let message = ping(filler.saturating_sub(over));
        let payload = message.payload.len();
        match self.send(message) {
            Ok(token) => {
                self.fly(token, Flight { item: Item::Probe, bytes: payload, packet: bytes });
                self.prober.sent(bytes, payload, now);
            }
            Err(error) => tracing::debug!(%error, "a probe waits"),
        }
    }

    /// The broker has answered a message of these; returns its topic where it refuses it.
    pub(super) fn passed(
        &mut self,
        topic: String,
        packet: usize,
        outcome: &PublishOutcome,
    ) -> Option<String> {
        match outcome {
            PublishOutcome::Accepted => {
                self.packets.taken(packet);
                self.unheard_losses = 0;
                None
            }
            PublishOutcome::Deferred { reason } => {
                tracing::warn!(topic, reason, "the broker cannot take a message now; it is lost");
                None
            }
            PublishOutcome::Refused { reason } => {
                tracing::warn!(topic, reason, "the broker refuses a message");
                if reason.starts_with(TOO_LARGE) {
                    self.packets.too_large(packet);
                }
                Some(topic)
            }
        }
    }

    pub(super) fn pump_passing(&mut self, undelivered: &mut Vec<Undelivered>) {
        while self.has_room() {
            let Some(message) = self.passing.front() else { break };
            let packet = message.packet_bytes(self.session.protocol);
            let (topic, bytes, qos) = (message.topic.clone(), message.payload.len(), message.qos);
            match self.send(message.clone()) {
                Ok(token) if qos != QoS::AtMostOnce => {
                    self.fly(token, Flight { item: Item::Passing(topic), bytes, packet });
                }
                Ok(_) => {}
                Err(error) => match hopeless(error) {
                    Ok(cause) => undelivered.push(Undelivered { entry: None, topic, cause }),
                    Err(error) => {
                        tracing::debug!(%error, "telling waits");
                        return;
                    }
                },
            }
            self.passing.pop_front();
        }
    }

    /// Publishes a message that no store holds; it is lost without a connection.
    ///
    /// # Errors
    /// Where it can never be delivered.
    pub fn publish_now(&mut self, message: OutgoingMessage) -> Result<(), Cause> {
        let packet = message.packet_bytes(self.session.protocol);
        if let Some(cause) = self.packets.found_out(packet) {
            return Err(cause);
        }
        if self.silenced.contains(&message.topic) {
            return Err(Cause::EndsConnections { connections: CONNECTIONS, bytes: packet });
        }
        // A packet larger than any before is sent so that we hear what becomes of it, and so is each while connections
        // end on something unknown.
        let alone = self.suspects.one_at_a_time();
        let heard = message.qos != QoS::AtMostOnce
            || alone
            || self.packets.is_unproven(packet)
            || self.unheard_losses >= UNHEARD;
        let qos = if heard { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let (topic, bytes) = (message.topic.clone(), message.payload.len());
        let message = OutgoingMessage { qos, ..message };
        if alone {
            self.queue_up(message);
            return Ok(());
        }
        match self.send(message) {
            Ok(token) if heard => self.fly(token, Flight { item: Item::Passing(topic), bytes, packet }),
            Ok(_) => {}
            Err(error) => match hopeless(error) {
                Ok(cause) => return Err(cause),
                Err(error) => tracing::debug!(%error, "a message without a guarantee is lost"),
            },
        }
        Ok(())
    }
}
