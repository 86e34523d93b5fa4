//! From the outbox to the broker: publishes in order, within a window, and remembers which place in the
//! outbox an acknowledgement belongs to. What is delivered is taken out of the store by the clerk, with
//! its next commit; what cannot be delivered is handed back to it with the reason.
//!
//! What the service tells of itself (retained) goes the same way, before the outbox, and is held by nobody else: it is
//! told anew on each connection.

mod clock;
mod outcome;
mod passing;
mod probe;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::packets::Packets;
use super::suspects::Suspects;
use super::undelivered::{Cause, replacement};
use crate::bus::{
    BrokerSession, BusClient, BusError, OutgoingMessage, Properties, Protocol, PublishToken, QoS,
};
use crate::store::{OutboxEntry, OutboxMessage, Store, StoreError};
pub(super) use clock::Clock;
use outcome::DEFERRAL;
pub(super) use probe::Echoes;
use probe::Prober;

#[cfg(test)]
mod tests;

/// Messages sent and not acknowledged; the bus sends fewer at a time, the rest waits in its queue.
const WINDOW: usize = 64;
/// Bytes of them.
const WINDOW_BYTES: usize = 4 << 20;

/// Messages put off at a time; with more it is the broker's trouble, and one at a time is enough to see it end.
const DEFERRED: usize = 8;

/// How long a connection must have lasted before messages that earlier ones ended with are trusted again. What is told anew on
/// each connection comes a little after its begin: that there is nothing to be sent proves nothing before.
const CALM: Duration = Duration::from_secs(10);

/// How long nothing is sent to a topic that the broker ends connections on.
const FORBIDDEN: Duration = Duration::from_secs(600);
/// Topics that are remembered as forbidden.
const SILENCED: usize = 256;

/// A packet that no broker is known to find too large.
const HARMLESS: usize = 1024;

/// A message, as its publish is remembered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    /// In this place of the outbox.
    Outbox(u64),
    /// Held by no store: what is told of the service, answers without a guarantee. Known by its topic.
    Passing(String),
    /// A ping that tests a size.
    Probe,
}

#[derive(Debug)]
struct Flight {
    item: Item,
    /// Of the payload.
    bytes: usize,
    /// Of the whole packet.
    packet: usize,
}

/// A message that the broker could not take.
#[derive(Debug)]
struct Deferral {
    until: Instant,
    times: u32,
    /// How many others it had taken when it was first put off.
    accepted: u64,
}

/// The state of delivery on one connection.
pub(super) struct Publisher<C> {
    client: C,
    clock: Clock,
    connected: bool,
    /// When the present or last connection began.
    connected_at: Instant,
    session: BrokerSession,
    /// Place of the last message taken from the outbox on this connection.
    cursor: u64,
    in_flight: HashMap<PublishToken, Flight>,
    bytes_in_flight: usize,
    /// Messages that no store holds, to be sent on this connection.
    passing: VecDeque<OutgoingMessage>,
    /// Topics that the broker ends connections on.
    silenced: BTreeSet<String>,
    /// Of what stands in the outbox: until when nothing goes to these.
    forbidden: BTreeMap<String, Instant>,
    /// Connections in a row that ended with nothing under way that we would hear of.
    unheard_losses: u32,
    /// Delivered, and not yet out of the store.
    acked: BTreeSet<u64>,
    /// Never to be delivered, and not yet out of the store.
    discarded: BTreeSet<u64>,
    deferred: BTreeMap<u64, Deferral>,
    /// When the next message may go where many are put off.
    canary_at: Option<Instant>,
    suspects: Suspects<Item>,
    prober: Prober,
    ping_topic: String,
    /// What pings of this run begin with.
    run: String,
    packets: Packets,
    /// What cannot be delivered, to be handed back.
    doomed: Vec<(u64, Cause)>,
    tally: Deliveries,
}

/// Counters of this run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deliveries {
    /// Messages that the broker has taken.
    pub accepted: u64,
    /// Taken out because connections ended on them.
    pub quarantined: u64,
    /// Otherwise not to be delivered.
    pub refused: u64,
}

/// A message that cannot be delivered, and why.
#[derive(Debug)]
pub(super) struct Undelivered {
    /// `None` for what the service tells of itself.
    pub entry: Option<OutboxEntry>,
    pub topic: String,
    pub cause: Cause,
}

impl<C: BusClient> Publisher<C> {
    pub fn new(client: C, ping_topic: String, run: String) -> Self {
        Self {
            client,
            clock: Clock::default(),
            connected: false,
            connected_at: Instant::now(),
            session: BrokerSession::default(),
            cursor: 0,
            in_flight: HashMap::new(),
            bytes_in_flight: 0,
            passing: VecDeque::new(),
            silenced: BTreeSet::new(),
            forbidden: BTreeMap::new(),
            unheard_losses: 0,
            acked: BTreeSet::new(),
            discarded: BTreeSet::new(),
            deferred: BTreeMap::new(),
            canary_at: None,
            suspects: Suspects::default(),
            prober: Prober::default(),
            ping_topic,
            run,
            packets: Packets::default(),
            doomed: Vec::new(),
            tally: Deliveries::default(),
        }
    }

    pub const fn client(&self) -> &C {
        &self.client
    }

    pub const fn client_mut(&mut self) -> &mut C {
        &mut self.client
    }

    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// What the broker said of itself on the present or last connection.
    pub const fn session(&self) -> &BrokerSession {
        &self.session
    }

    /// What is known of the largest packet.
    pub const fn packets(&self) -> &Packets {
        &self.packets
    }

    pub const fn deliveries(&self) -> Deliveries {
        self.tally
    }

    /// Delivered messages that the store still holds.
    pub fn delivered(&self) -> usize {
        self.acked.len() + self.discarded.len()
    }

    /// What to take out of the store: delivered, and never to be delivered. They count as taken out once
    /// [`Publisher::taken_out`] says so.
    pub fn to_take_out(&self) -> (Vec<u64>, Vec<u64>) {
        (self.acked.iter().copied().collect(), self.discarded.iter().copied().collect())
    }

    /// The commit that takes these out is durable.
    pub fn taken_out(&mut self, (acked, discarded): &(Vec<u64>, Vec<u64>)) {
        for seq in acked {
            self.acked.remove(seq);
        }
        for seq in discarded {
            self.discarded.remove(seq);
        }
    }

    /// From now on time is what this clock says.
    #[cfg(test)]
    pub fn use_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// What it waits for, for messages of tests that wait in vain.
    #[cfg(test)]
    pub fn told(&self) -> String {
        let Self { connected, cursor, in_flight, passing, suspects, deferred, prober, packets, .. } = self;
        format!(
            "connected {connected}, cursor {cursor}, in flight {in_flight:?}, passing {}, {suspects:?}, {deferred:?}, \
             {prober:?}, {packets:?}",
            passing.len()
        )
    }

    fn window(&self) -> usize {
        if self.suspects.one_at_a_time() { 1 } else { WINDOW }
    }

    fn has_room(&self) -> bool {
        self.connected && self.in_flight.len() < self.window() && self.bytes_in_flight < WINDOW_BYTES
    }

    /// Publishes what the window lets through; returns what cannot be delivered. The clerk comes by at least once a
    /// second.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn pump(&mut self, store: &Store) -> Result<Vec<Undelivered>, StoreError> {
        let mut undelivered = self.doomed(store)?;
        self.pump_passing(&mut undelivered);
        let now = self.clock.now();
        let shown = self.prober.look(now);
        self.note(shown);
        let released = self.prober.take_released();
        self.cursor = released.map_or(self.cursor, |first| self.cursor.min(first.saturating_sub(1)));
        if let Some(first) =
            self.deferred.iter().find(|(_, deferral)| deferral.until <= now).map(|(seq, _)| *seq)
        {
            self.cursor = self.cursor.min(first.saturating_sub(1));
        }
        while self.has_room() {
            let room = self.window() - self.in_flight.len();
            let entries = store.outbox_after(self.cursor, room, WINDOW_BYTES - self.bytes_in_flight)?;
            if entries.is_empty() {
                if self.in_flight.is_empty()
                    && self.passing.is_empty()
                    && !self.prober.holds_any()
                    && now.saturating_duration_since(self.connected_at) >= CALM
                {
                    self.suspects.all_cleared();
                }
                break;
            }
            for entry in entries {
                let seq = entry.seq;
                if self.passes_over(seq, now) {
                    self.cursor = seq;
                    continue;
                }
                if !self.deferred.contains_key(&seq) && self.deferred.len() >= DEFERRED {
                    if self.canary_at.is_some_and(|at| at > now) {
                        return Ok(undelivered);
                    }
                    self.canary_at = Some(now + DEFERRAL);
                }
                if self.is_forbidden(&entry.message.topic, now) {
                    undelivered.push(self.give_up(entry, Cause::OnForbiddenTopic));
                    self.cursor = seq;
                    continue;
                }
                let message = outgoing(&entry.message);
                let packet = message.packet_bytes(self.session.protocol);
                if self.is_in_doubt(seq, packet) {
                    self.prober.hold(seq, packet);
                    self.cursor = seq;
                    continue;
                }
                let bytes = entry.message.payload.len();
                if let Some(cause) = self.packets.found_out(packet) {
                    undelivered.push(self.give_up(entry, cause));
                    self.cursor = seq;
                    continue;
                }
                match self.send(message) {
                    Ok(token) => self.fly(token, Flight { item: Item::Outbox(seq), bytes, packet }),
                    Err(error) => match hopeless(error) {
                        Ok(cause) => undelivered.push(self.give_up(entry, cause)),
                        // Tried again with the next event, or on the next connection.
                        Err(error) => {
                            tracing::debug!(%error, "publishing waits");
                            return Ok(undelivered);
                        }
                    },
                }
                self.cursor = seq;
            }
        }
        self.probe(now);
        Ok(undelivered)
    }

    /// Whether a message is of a size that may not arrive: none of it has come back, and the broker cannot tell its limit,
    /// or has ended a connection on it.
    fn is_in_doubt(&self, seq: u64, packet: usize) -> bool {
        let mute = self.session.protocol == Protocol::V311 && packet > HARMLESS;
        let suspected = self.packets.is_unproven(packet) && self.suspects.ended_with(&Item::Outbox(seq)) > 0;
        let known = self.packets.told().is_some_and(|limit| packet > limit);
        self.prober.doubts(packet) && !known && (mute || suspected)
    }

    /// What the broker's answers, or ends of connections, have shown to be hopeless.
    fn doomed(&mut self, store: &Store) -> Result<Vec<Undelivered>, StoreError> {
        let mut undelivered = Vec::new();
        while let Some((seq, cause)) = self.doomed.last().cloned() {
            let entries = store.outbox_after(seq.saturating_sub(1), 1, usize::MAX)?;
            self.doomed.pop();
            // It may have been dropped from a full outbox meanwhile.
            if let Some(entry) = entries.into_iter().find(|entry| entry.seq == seq) {
                self.forbid(&entry.message, &cause);
                undelivered.push(self.give_up(entry, cause));
            }
        }
        Ok(undelivered)
    }

    /// A topic on which the broker has ended connections, with a message of a size that it takes elsewhere, gets none for a while:
    /// each new one would cost as many connections again. An answer that is replaced by a small error on the same topic does not
    /// speak against that: the small one does.
    fn forbid(&mut self, message: &OutboxMessage, cause: &Cause) {
        let Cause::EndsConnections { bytes, .. } = cause else { return };
        let comes_again = replacement(message, cause).is_some_and(|small| small.topic == message.topic);
        if comes_again || self.packets.is_unproven(*bytes) {
            return;
        }
        let now = self.clock.now();
        self.forbidden.retain(|_, until| *until > now);
        if self.forbidden.len() < SILENCED {
            self.forbidden.insert(message.topic.clone(), now + FORBIDDEN);
        }
    }

    fn is_forbidden(&self, topic: &str, now: Instant) -> bool {
        self.forbidden.get(topic).is_some_and(|until| *until > now)
    }

    /// Publishes through the trait of `embedded_svc` what it can say, and the rest, which has MQTT 5 properties, through
    /// ours.
    fn send(&mut self, message: OutgoingMessage) -> Result<PublishToken, BusError> {
        if message.properties.is_empty() {
            let OutgoingMessage { topic, payload, qos, retain, .. } = message;
            return self.client.publish(&topic, qos, retain, &payload).map(PublishToken::from);
        }
        self.client.publish_with(message)
    }

    fn fly(&mut self, token: PublishToken, flight: Flight) {
        self.bytes_in_flight += flight.bytes;
        self.in_flight.insert(token, flight);
    }

    /// Whether a message is not to be sent now: it is under way, done with, or put off.
    fn passes_over(&self, seq: u64, now: Instant) -> bool {
        self.acked.contains(&seq)
            || self.discarded.contains(&seq)
            || self.deferred.get(&seq).is_some_and(|deferral| deferral.until > now)
            || self.prober.holds(seq)
            || self.in_flight.values().any(|flight| flight.item == Item::Outbox(seq))
    }

    fn give_up(&mut self, entry: OutboxEntry, cause: Cause) -> Undelivered {
        if !matches!(cause, Cause::EndsConnections { .. }) {
            self.tally.refused += 1;
        }
        self.deferred.remove(&entry.seq);
        self.suspects.cleared(&Item::Outbox(entry.seq));
        self.discarded.insert(entry.seq);
        Undelivered { topic: entry.message.topic.clone(), entry: Some(entry), cause }
    }
}

/// How the bus calls a refusal for size.
const TOO_LARGE: &str = "PacketTooLarge";

/// Why a publish is of no use at any time; or the error back, where it may be later.
fn hopeless(error: BusError) -> Result<Cause, BusError> {
    match error {
        BusError::TooLarge { bytes, limit, .. } => Ok(Cause::TooLarge { bytes, limit: Some(limit) }),
        BusError::BadTopic { topic, problem } => {
            Ok(Cause::Unsayable { problem: format!("the topic {topic:?} {problem}") })
        }
        BusError::BadProperty { problem, .. } => Ok(Cause::Unsayable { problem: problem.to_owned() }),
        other => Err(other),
    }
}

/// A message of the store as one of the bus.
pub(super) fn outgoing(message: &OutboxMessage) -> OutgoingMessage {
    OutgoingMessage {
        topic: message.topic.clone(),
        payload: message.payload.to_vec(),
        qos: if message.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
        retain: message.retain,
        properties: Properties {
            content_type: message.content_type.clone(),
            correlation_data: message.correlation.clone(),
            ..Properties::default()
        },
    }
}
