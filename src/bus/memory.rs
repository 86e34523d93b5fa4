//! The bus without a network: a broker in memory, told by a script when to connect, to lose an
//! acknowledgement, to deliver twice, to go away. Everything happens in the thread that causes it, so a
//! test is the same each time.
//!
//! The core under it is the one that talks to real brokers. What it does not show is the wire: packets,
//! limits of a broker, timing; `tests/mqtt_bus` does that with mosquitto.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::BusError;
use super::events::EventLimits;
use super::handle::{BusEvents, BusHandle, Shared};
use super::message::{LossCause, OutgoingMessage, Protocol};
use super::wire::{QueueLimits, Step, Wire, WireCommand};
use state::{BrokerState, Closing};
pub use state::{Delivery, DeliveryId, OverLimit, PublishPolicy};

mod state;

/// A bus and the broker at its other end. There is no connection yet: [`MemoryBroker::connect`] makes it.
pub fn bus(will: Option<OutgoingMessage>) -> (BusHandle, BusEvents, MemoryBroker) {
    bus_with(will, QueueLimits::default())
}

/// As [`bus`], with bounds of one's own.
pub fn bus_with(will: Option<OutgoingMessage>, limits: QueueLimits) -> (BusHandle, BusEvents, MemoryBroker) {
    let shared = Shared::new(limits, EventLimits::default());
    let state = Mutex::new(BrokerState::new(will));
    let inner = Arc::new(Inner { shared: Arc::clone(&shared), state, turn: Mutex::new(()) });
    let weak = Arc::downgrade(&inner);
    let settle = move || {
        if let Some(inner) = weak.upgrade() {
            inner.settle();
        }
    };
    // The cell is new, so this sets it.
    let _ = shared.settle.set(Box::new(settle));
    (BusHandle { shared: Arc::clone(&shared) }, BusEvents { shared }, MemoryBroker { inner })
}

/// The script's hand on the broker. Clones are the same broker.
#[derive(Clone)]
pub struct MemoryBroker {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    state: Mutex<BrokerState>,
    /// Held while steps go from the broker to the bus, so that they arrive in order.
    turn: Mutex<()>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, BrokerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what the broker has to say, and what it says to the answers, until it is silent.
    fn settle(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let step = self.state().next_step();
            match step {
                None if self.state().is_hanging_up() => self.hang_up("the broker hung up", LossCause::HungUp),
                None if self.shared.takes_leave() => self.hang_up("given up", LossCause::Elsewhere),
                None => break,
                Some(Step::Departed) => self.shared.stopped(true),
                Some(step) => {
                    self.shared.apply(step);
                }
            }
        }
        if self.shared.is_stopping() && !self.state().is_connected() && self.state().end() {
            self.shared.stopped(false);
        }
    }

    fn disconnect(&self, reason: &str) {
        self.hang_up(reason, LossCause::HungUp);
        self.settle();
    }

    fn hang_up(&self, reason: &str, cause: LossCause) {
        if self.state().close(Closing::Lost) {
            let error = BusError::Lost { broker: "memory".to_owned(), reason: reason.to_owned() };
            self.shared.lost(error, cause, Duration::ZERO);
        }
    }
}

/// The sending side of one connection to the broker in memory.
struct MemoryWire {
    inner: Arc<Inner>,
    connection: u64,
}

impl Wire for MemoryWire {
    fn send(&mut self, command: WireCommand) {
        self.inner.state().command(self.connection, command);
    }
}

impl Drop for MemoryWire {
    fn drop(&mut self) {
        self.inner.state().abandoned(self.connection);
    }
}

impl MemoryBroker {
    /// Connects. With `resume` the session is as it was, and what waits in it is delivered; otherwise the
    /// broker has forgotten subscriptions and messages, as after losing its store.
    pub fn connect(&self, resume: bool) {
        self.disconnect("a new connection took over");
        let connection = self.inner.state().open(resume);
        let wire = MemoryWire { inner: Arc::clone(&self.inner), connection };
        let session = self.inner.state().session(resume);
        self.inner.shared.connected(Box::new(wire), session);
        self.inner.settle();
    }

    /// Cuts the line; the broker publishes the last will.
    pub fn disconnect(&self, reason: &str) {
        self.inner.disconnect(reason);
    }

    /// An attempt to connect fails.
    pub fn fail_connect(&self, reason: &str) {
        let error = BusError::Unreachable { broker: "memory".to_owned(), reason: reason.to_owned() };
        self.inner.shared.lost(error, LossCause::HungUp, Duration::ZERO);
    }

    /// What happens to publishes from now on.
    pub fn set_policy(&self, policy: PublishPolicy) {
        self.inner.state().set_policy(policy);
    }

    /// What happens to publishes to the topics of a filter, whatever happens to others.
    pub fn set_policy_of(&self, filter: &str, policy: PublishPolicy) {
        self.inner.state().set_policy_of(filter, policy);
    }

    /// Bytes of the largest packet that is taken, and what happens to one over it; announced from the next connection on.
    pub fn set_packet_limit(&self, limit: Option<(usize, OverLimit)>) {
        self.inner.state().set_packet_limit(limit);
    }

    /// The version of MQTT that it speaks.
    pub fn protocol(&self) -> Protocol {
        self.inner.state().protocol()
    }

    /// The version of MQTT from the next connection on.
    pub fn set_protocol(&self, protocol: Protocol) {
        self.inner.state().set_protocol(protocol);
    }

    /// Whether nothing comes for subscriptions, though they are granted.
    pub fn set_deaf(&self, deaf: bool) {
        self.inner.state().set_deaf(deaf);
    }

    /// Acknowledges up to `count` publishes that are being held, oldest first; says how many.
    pub fn release(&self, count: usize) -> usize {
        let released = self.inner.state().release(count);
        self.inner.settle();
        released
    }

    /// Messages that may be on their way to the bus before the first is acknowledged.
    pub fn set_receive_maximum(&self, count: usize) {
        self.inner.state().set_receive_maximum(count);
    }

    /// Another client publishes a message.
    pub fn publish(&self, message: OutgoingMessage) -> Delivery {
        let delivery = self.inner.state().route(&message);
        self.inner.settle();
        delivery
    }

    /// Sends a message a second time on the same connection, as a broker under MQTT 3.1.1 may, if it has
    /// not been acknowledged.
    pub fn duplicate(&self, id: DeliveryId) -> bool {
        let sent = self.inner.state().duplicate(id);
        self.inner.settle();
        sent
    }

    /// What the bus has published and the broker has got, in order.
    pub fn published(&self) -> Vec<OutgoingMessage> {
        self.inner.state().published()
    }

    /// As [`Self::published`], and forgets it.
    pub fn take_published(&self) -> Vec<OutgoingMessage> {
        self.inner.state().take_published()
    }

    /// The retained message of a topic.
    pub fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        self.inner.state().retained(topic)
    }

    /// Deliveries that the bus has acknowledged, in the order of its acknowledgements.
    pub fn acknowledged(&self) -> Vec<DeliveryId> {
        self.inner.state().acknowledged()
    }

    /// Messages for the bus that it has not acknowledged.
    pub fn waiting(&self) -> usize {
        self.inner.state().waiting()
    }

    /// Filters that are subscribed to.
    pub fn subscriptions(&self) -> Vec<String> {
        self.inner.state().subscriptions()
    }

    /// Refuses subscriptions to a filter from now on.
    pub fn refuse_subscription(&self, filter: &str) {
        self.inner.state().refuse_subscription(filter);
    }

    /// Whether the bus is connected.
    pub fn is_connected(&self) -> bool {
        self.inner.state().is_connected()
    }
}

#[cfg(test)]
mod tests;
