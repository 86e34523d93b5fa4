//! What became of what was sent: connections that come and go, the broker's answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::probe::Shown;
use super::{Deferral, Flight, Item, Publisher, SILENCED, TOO_LARGE};
use crate::bus::{BrokerSession, BusClient, LossCause, PublishOutcome, PublishToken};
use crate::service::suspects::CONNECTIONS;
use crate::service::undelivered::Cause;

/// How long a message is left alone that the broker could not take.
pub(super) const DEFERRAL: Duration = Duration::from_secs(5);
/// How often a message may be put off while others are taken.
const DEFERRALS: u32 = 12;

impl<C: BusClient> Publisher<C> {
    /// There is a connection: whatever is not on its way on it is sent again. Events lag behind the bus, so
    /// messages may have been published on this connection already: they are not those that
    /// [`Publisher::disconnected`] was told of.
    pub fn connected(&mut self, session: BrokerSession) {
        self.connected = true;
        self.cursor = 0;
        let now = self.clock.now();
        for deferral in self.deferred.values_mut() {
            deferral.until = now;
        }
        self.canary_at = None;
        self.connected_at = now;
        self.prober.connected(self.connected_at);
        self.packets.connected(&session);
        self.session = session;
    }

    /// A connection is gone, and with it what was published on it and not acknowledged.
    pub fn disconnected(&mut self, unacknowledged: &[PublishToken], cause: LossCause) {
        self.connected = false;
        self.passing.clear();
        let mut under_way = Vec::new();
        for token in unacknowledged {
            under_way.extend(self.landed(*token));
        }
        let by_broker = cause != LossCause::Elsewhere;
        let alone = under_way.iter().all(|flight| flight.item == Item::Probe);
        let shown = self.prober.connection_ended(by_broker, alone);
        self.note(shown);
        if !by_broker {
            return;
        }
        let largest = under_way.iter().map(|flight| flight.packet).max().unwrap_or(0);
        if cause == LossCause::PacketTooLarge {
            self.packets.too_large(largest);
        }
        under_way.retain(|flight| flight.item != Item::Probe);
        let sizes: BTreeMap<Item, usize> =
            under_way.into_iter().map(|flight| (flight.item, flight.packet)).collect();
        self.unheard_losses = if largest == 0 { self.unheard_losses + 1 } else { 0 };
        for item in self.suspects.connection_ended(sizes.keys().cloned()) {
            let bytes = sizes.get(&item).copied().unwrap_or(0);
            self.quarantine(item, bytes);
        }
    }

    fn quarantine(&mut self, item: Item, bytes: usize) {
        self.tally.quarantined += 1;
        match item {
            Item::Outbox(seq) => {
                self.doomed.push((seq, Cause::EndsConnections { connections: CONNECTIONS, bytes }));
            }
            Item::Probe => {}
            Item::Passing(topic) => {
                tracing::error!(
                    topic,
                    "the broker ends connections on messages to this topic; none is sent there any more in this run. \
                     Let the board publish (and retain) on its own topics"
                );
                if self.silenced.len() < SILENCED {
                    self.silenced.insert(topic);
                }
            }
        }
    }

    /// A message that is no longer on its way.
    fn landed(&mut self, token: PublishToken) -> Option<Flight> {
        let flight = self.in_flight.remove(&token)?;
        self.bytes_in_flight -= flight.bytes;
        Some(flight)
    }

    pub(super) fn note(&mut self, shown: Shown) {
        if let Shown::TooLarge(bytes) = shown {
            self.packets.does_not_arrive(bytes);
        }
    }

    /// The broker has answered a publish. Returns the topic of a message that no store holds and that it refuses.
    pub fn published(&mut self, token: PublishToken, outcome: &PublishOutcome) -> Option<String> {
        let flight = self.landed(token)?;
        self.suspects.cleared(&flight.item);
        let seq = match flight.item {
            Item::Outbox(seq) => seq,
            Item::Probe => {
                let shown = match outcome {
                    PublishOutcome::Accepted => {
                        self.prober.acknowledged(self.clock.now());
                        Shown::Nothing
                    }
                    PublishOutcome::Deferred { reason } | PublishOutcome::Refused { reason } => {
                        self.prober.refused(reason.starts_with(TOO_LARGE))
                    }
                };
                self.note(shown);
                return None;
            }
            Item::Passing(topic) => return self.passed(topic, flight.packet, outcome),
        };
        match outcome {
            PublishOutcome::Accepted => {
                self.packets.taken(flight.packet);
                self.tally.accepted += 1;
                self.deferred.remove(&seq);
                self.canary_at = None;
                self.acked.insert(seq);
            }
            PublishOutcome::Deferred { reason } => self.put_off(seq, reason),
            PublishOutcome::Refused { reason } => {
                let cause = if reason.starts_with(TOO_LARGE) {
                    self.packets.too_large(flight.packet);
                    Cause::TooLarge { bytes: flight.packet, limit: None }
                } else {
                    Cause::Refused { reason: reason.clone() }
                };
                self.doomed.push((seq, cause));
            }
        }
        None
    }

    /// The broker cannot take a message now; the others go on.
    fn put_off(&mut self, seq: u64, reason: &str) {
        let until = self.clock.now() + DEFERRAL;
        let accepted = self.tally.accepted;
        let deferral = self.deferred.entry(seq).or_insert(Deferral { until, times: 0, accepted });
        (deferral.until, deferral.times) = (until, deferral.times + 1);
        if deferral.times >= DEFERRALS && accepted > deferral.accepted {
            let cause = Cause::Deferred { times: deferral.times, reason: reason.to_owned() };
            self.doomed.push((seq, cause));
        } else {
            tracing::warn!(seq, reason, "the broker cannot take a message now; it is sent again");
        }
    }
}
