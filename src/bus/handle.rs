//! The two ends that the service holds: a handle to send with, which can be cloned and used from any
//! thread, and the stream of events. Both are the same for every implementation of the bus.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use embedded_svc::mqtt::client::{Client, Connection, Enqueue, ErrorType, MessageId, Publish, QoS};
use tokio::sync::Notify;

use super::core::{Core, Owed};
use super::error::BusError;
use super::events::{EventLimits, EventQueue, Pushed};
use super::message::{
    AckToken, BrokerSession, BusEvent, LossCause, OutgoingMessage, PublishToken, SubscribeToken,
};
use super::wire::{BusStats, QueueLimits, Step, Subscription, Wire};
use super::{BusClient, BusConnection};

/// What the two ends and the connection share.
pub(super) struct Shared {
    core: Mutex<Core>,
    events: EventQueue,
    /// Wakes the connection's thread when the bus is to be stopped.
    pub(super) stop: Notify,
    /// Wakes the connection's thread when the present connection is to be given up.
    pub(super) reconnect: Notify,
    give_up: AtomicBool,
    /// Run after every command, for a broker in memory that answers in the caller's thread.
    pub(super) settle: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    pub(super) fn new(limits: QueueLimits, events: EventLimits) -> Arc<Self> {
        Arc::new(Self {
            core: Mutex::new(Core::new(limits)),
            events: EventQueue::new(events),
            stop: Notify::new(),
            reconnect: Notify::new(),
            give_up: AtomicBool::new(false),
            settle: OnceLock::new(),
        })
    }

    /// A method of the core does not leave it half changed, so a poisoned lock is usable.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled<T>(&self, result: T) -> T {
        if let Some(settle) = self.settle.get() {
            settle();
        }
        result
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.core().is_stopping()
    }

    /// Whether there is a connection. While one is talked on there is, unless the stream of events has been dropped.
    pub(super) fn is_connected(&self) -> bool {
        self.core().stats().connected
    }

    /// Whether we are taking leave of the broker.
    pub(super) fn is_departing(&self) -> bool {
        self.core().is_departing()
    }

    /// What the broker has to answer next.
    pub(super) fn owed(&self) -> Owed {
        self.core().owed()
    }

    /// There is a connection, and this is its sending side.
    pub(super) fn connected(&self, wire: Box<dyn Wire>, session: BrokerSession) {
        // What was asked for without a connection has no effect on this one.
        self.takes_leave();
        self.core().connected(wire, &session);
        self.events.push(BusEvent::Connected(session));
    }

    /// Whether the present connection is to be given up; said once.
    pub(super) fn takes_leave(&self) -> bool {
        self.give_up.swap(false, Ordering::Relaxed)
    }

    /// Whether the service has taken enough of what came for more to be read.
    pub(super) fn has_room(&self) -> bool {
        self.events.has_room()
    }

    /// What happened on the wire goes to the core, and its event to the service.
    pub(super) fn apply(&self, step: Step) -> Pushed {
        let event = self.core().apply(step);
        event.map_or(Pushed::Queued, |event| self.events.push(event))
    }

    /// The connection is gone, and another attempt follows.
    pub(super) fn lost(&self, error: BusError, cause: LossCause, retry_in: Duration) {
        let mut core = self.core();
        let was_connected = core.stats().connected;
        let unacknowledged = core.lost();
        drop(core);
        self.events.push(if was_connected {
            BusEvent::Disconnected { error, cause, unacknowledged, retry_in }
        } else {
            BusEvent::ConnectFailed { error, retry_in }
        });
    }

    /// The bus has ended.
    pub(super) fn stopped(&self, departed: bool) {
        let unacknowledged = self.core().lost();
        self.events.push(BusEvent::Stopped { complete: departed && unacknowledged.is_empty() });
    }

    /// Ends the stream of events without a word, when the thread that fed it has failed.
    pub(super) fn close(&self) {
        self.core().lost();
        self.events.close();
    }
}

/// Sends. Clones share one connection; no method waits for the network.
#[derive(Clone)]
pub struct BusHandle {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for BusHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusHandle").field("stats", &self.stats()).finish()
    }
}

impl BusClient for BusHandle {
    fn publish_with(&self, message: OutgoingMessage) -> Result<PublishToken, BusError> {
        let token = self.shared.core().publish(message);
        self.shared.settled(token)
    }

    fn subscribe_with(&self, subscriptions: &[Subscription]) -> Result<SubscribeToken, BusError> {
        let token = self.shared.core().subscribe(subscriptions);
        self.shared.settled(token)
    }

    fn acknowledge(&self, ack: AckToken) {
        self.shared.core().acknowledge(ack);
        self.shared.settled(());
    }

    fn stop(&self, farewell: Option<OutgoingMessage>) {
        self.shared.core().stop(farewell);
        self.shared.stop.notify_one();
        self.shared.settled(());
    }

    fn reconnect(&self) {
        self.shared.give_up.store(true, Ordering::Relaxed);
        self.shared.reconnect.notify_one();
        self.shared.settled(());
    }

    fn stats(&self) -> BusStats {
        BusStats { dropped: self.shared.events.dropped(), ..self.shared.core().stats() }
    }

    fn take_dropped_on(&self) -> std::collections::BTreeMap<String, u64> {
        self.shared.events.take_dropped_on()
    }
}

impl ErrorType for BusHandle {
    type Error = BusError;
}

impl Client for BusHandle {
    fn subscribe<'a>(&'a mut self, topic: &'a str, qos: QoS) -> Result<MessageId, BusError> {
        let subscription = Subscription { qos, ..Subscription::new(topic) };
        self.subscribe_with(&[subscription]).map(MessageId::from)
    }

    fn unsubscribe<'a>(&'a mut self, topic: &'a str) -> Result<MessageId, BusError> {
        let token = self.shared.core().unsubscribe(topic);
        self.shared.settled(token).map(MessageId::from)
    }
}

impl Publish for BusHandle {
    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        qos: QoS,
        retain: bool,
        payload: &'a [u8],
    ) -> Result<MessageId, BusError> {
        let message = OutgoingMessage { qos, retain, ..OutgoingMessage::new(topic, payload) };
        self.publish_with(message).map(MessageId::from)
    }
}

impl Enqueue for BusHandle {
    fn enqueue<'a>(
        &'a mut self,
        topic: &'a str,
        qos: QoS,
        retain: bool,
        payload: &'a [u8],
    ) -> Result<MessageId, BusError> {
        self.publish(topic, qos, retain, payload)
    }
}

/// The stream of events. When it is dropped the bus ends without taking leave, so that the broker
/// publishes the last will.
pub struct BusEvents {
    pub(super) shared: Arc<Shared>,
}

impl BusConnection for BusEvents {
    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<BusEvent>, BusError> {
        self.shared.events.next(timeout)
    }
}

impl ErrorType for BusEvents {
    type Error = BusError;
}

impl Connection for BusEvents {
    type Event<'a> = BusEvent;

    fn next(&mut self) -> Result<BusEvent, BusError> {
        // Without a time limit there is always an event or the end.
        self.next_event(None)?.ok_or(BusError::Stopped)
    }
}

impl Drop for BusEvents {
    fn drop(&mut self) {
        self.shared.events.abandon();
        let mut core = self.shared.core();
        core.lost();
        core.stop(None);
        drop(core);
        self.shared.stop.notify_one();
    }
}
