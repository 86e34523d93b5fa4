//! From the outbox to the broker: publishes in order, within a window, and remembers which place in the
//! outbox an acknowledgement belongs to. What is delivered is taken out of the store by the clerk, with
//! its next commit.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::bus::{BusClient, BusError, OutgoingMessage, Properties, PublishOutcome, PublishToken, QoS};
use crate::store::{OutboxEntry, OutboxMessage, Store, StoreError};

/// Messages sent and not acknowledged; the bus sends fewer at a time, the rest waits in its queue.
const WINDOW: usize = 64;
/// Bytes of them.
const WINDOW_BYTES: usize = 4 << 20;

/// How long a broker that cannot take a message is left alone.
const DEFERRAL: Duration = Duration::from_secs(5);

/// The state of delivery on one connection.
pub(super) struct Publisher<C> {
    client: C,
    connected: bool,
    /// Place of the last message taken from the outbox on this connection.
    cursor: u64,
    in_flight: HashMap<PublishToken, (u64, usize)>,
    bytes_in_flight: usize,
    /// Delivered, and not yet out of the store.
    acked: BTreeSet<u64>,
    /// Never to be delivered, and not yet out of the store.
    discarded: BTreeSet<u64>,
    /// Until when nothing is sent, where the broker could not take a message.
    deferred_until: Option<Instant>,
}

/// A message that no broker of ours takes, with its size and the limit.
#[derive(Debug)]
pub(super) struct Oversized {
    pub entry: OutboxEntry,
    pub bytes: usize,
    pub limit: usize,
}

impl<C: BusClient> Publisher<C> {
    pub fn new(client: C) -> Self {
        Self {
            client,
            connected: false,
            cursor: 0,
            in_flight: HashMap::new(),
            bytes_in_flight: 0,
            acked: BTreeSet::new(),
            discarded: BTreeSet::new(),
            deferred_until: None,
        }
    }

    pub const fn client(&self) -> &C {
        &self.client
    }

    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// There is a connection: whatever is not on its way on it is sent again. Events lag behind the bus, so
    /// messages may have been published on this connection already: they are not those that
    /// [`Publisher::disconnected`] was told of.
    pub fn connected(&mut self) {
        self.connected = true;
        self.cursor = 0;
        self.deferred_until = None;
    }

    /// A connection is gone, and with it what was published on it and not acknowledged.
    pub fn disconnected(&mut self, unacknowledged: &[PublishToken]) {
        self.connected = false;
        for token in unacknowledged {
            self.landed(*token);
        }
    }

    /// A message that is no longer on its way; its place in the outbox.
    fn landed(&mut self, token: PublishToken) -> Option<u64> {
        let (seq, bytes) = self.in_flight.remove(&token)?;
        self.bytes_in_flight -= bytes;
        Some(seq)
    }

    /// The broker has answered a publish.
    pub fn published(&mut self, token: PublishToken, outcome: &PublishOutcome) {
        let Some(seq) = self.landed(token) else { return };
        match outcome {
            PublishOutcome::Accepted => {
                self.acked.insert(seq);
            }
            PublishOutcome::Deferred { reason } => {
                tracing::warn!(seq, reason, "the broker cannot take a message now; it is sent again");
                self.cursor = self.cursor.min(seq.saturating_sub(1));
                self.deferred_until = Some(Instant::now() + DEFERRAL);
            }
            PublishOutcome::Refused { reason } => {
                tracing::warn!(seq, reason, "the broker refuses a message for good; it is discarded");
                self.discarded.insert(seq);
            }
        }
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

    /// Publishes what the window lets through; returns what is too large for the broker.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn pump(&mut self, store: &Store) -> Result<Vec<Oversized>, StoreError> {
        let mut oversized = Vec::new();
        // The clerk comes by at least once a second.
        if self.deferred_until.is_some_and(|until| until > Instant::now()) {
            return Ok(oversized);
        }
        while self.connected && self.in_flight.len() < WINDOW && self.bytes_in_flight < WINDOW_BYTES {
            let room = WINDOW - self.in_flight.len();
            let entries = store.outbox_after(self.cursor, room, WINDOW_BYTES - self.bytes_in_flight)?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let seq = entry.seq;
                let flies = self.in_flight.values().any(|(flying, _)| *flying == seq);
                if flies || self.acked.contains(&seq) || self.discarded.contains(&seq) {
                    self.cursor = seq;
                    continue;
                }
                let bytes = entry.message.payload.len();
                match self.client.publish_with(outgoing(&entry.message)) {
                    Ok(token) => {
                        self.in_flight.insert(token, (seq, bytes));
                        self.bytes_in_flight += bytes;
                    }
                    Err(BusError::TooLarge { bytes, limit, .. }) => {
                        self.discarded.insert(seq);
                        oversized.push(Oversized { entry, bytes, limit });
                    }
                    Err(BusError::BadTopic { topic, problem }) => {
                        tracing::warn!(topic, problem, "a message is discarded");
                        self.discarded.insert(seq);
                    }
                    Err(BusError::BadProperty { topic, problem }) => {
                        tracing::warn!(topic, problem, "a message is discarded");
                        self.discarded.insert(seq);
                    }
                    // Tried again with the next event, or on the next connection.
                    Err(error) => {
                        tracing::debug!(%error, "publishing waits");
                        return Ok(oversized);
                    }
                }
                self.cursor = seq;
            }
        }
        Ok(oversized)
    }

    /// Publishes a message that no store holds; it is lost without a connection.
    pub fn publish_now(&self, message: OutgoingMessage) {
        if let Err(error) = self.client.publish_with(message) {
            tracing::debug!(%error, "a message without a guarantee is lost");
        }
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
