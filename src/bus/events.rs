//! The queue of events between the connection's thread and the service. What bounds it is the acknowledgements that the service has
//! not given yet, and where a broker sends more than it was told to, that nothing more is read from it for a while.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedded_svc::mqtt::client::QoS;

use super::error::BusError;
use super::message::BusEvent;

/// Bounds of what the service has not taken yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventLimits {
    /// Messages over which those sent at most once are dropped.
    pub(super) soft: usize,
    /// Messages over which no more are read until half of them are taken: the broker keeps the rest.
    pub(super) hard: usize,
    /// Bytes of payloads that count like that many messages.
    pub(super) soft_bytes: usize,
    /// The same for reading no more.
    pub(super) hard_bytes: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { soft: 256, hard: 4096, soft_bytes: 16 << 20, hard_bytes: 64 << 20 }
    }
}

/// Topics of dropped messages that are remembered, and the bytes of one at the most.
const MOST_TOPICS: usize = 64;
const LONGEST_TOPIC: usize = 256;

#[derive(Default)]
struct Queue {
    events: VecDeque<BusEvent>,
    messages: usize,
    bytes: usize,
    dropped: u64,
    /// Of these, those since they were last asked for, by topic.
    dropped_on: BTreeMap<String, u64>,
    /// Nobody reads any more.
    abandoned: bool,
    /// No event follows.
    closed: bool,
}

impl Queue {
    fn drop_one(&mut self, topic: &str) {
        self.dropped += 1;
        if let Some(count) = self.dropped_on.get_mut(topic) {
            *count += 1;
        } else if self.dropped_on.len() < MOST_TOPICS && topic.len() <= LONGEST_TOPIC {
            self.dropped_on.insert(topic.to_owned(), 1);
        }
    }
}

/// The queue.
pub(super) struct EventQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
    limits: EventLimits,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// It is queued, and nothing more is to be read until there is room again.
    Full,
}

impl EventQueue {
    pub(super) fn new(limits: EventLimits) -> Self {
        Self { queue: Mutex::default(), filled: Condvar::new(), limits }
    }

    /// The state is consistent between any two statements that could panic, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: BusEvent) -> Pushed {
        let mut queue = self.lock();
        let mut pushed = Pushed::Queued;
        if let BusEvent::Message(message) = &event {
            let bytes = queue.bytes + message.payload.len();
            // A single message may be larger than the bounds; it is taken when nothing else waits.
            let over = |count, most| queue.messages > 0 && (queue.messages >= count || bytes > most);
            if message.qos == QoS::AtMostOnce && over(self.limits.soft, self.limits.soft_bytes) {
                queue.drop_one(&message.topic);
                return Pushed::Queued;
            }
            if over(self.limits.hard, self.limits.hard_bytes) {
                pushed = Pushed::Full;
            }
            queue.messages += 1;
            queue.bytes = bytes;
        }
        queue.closed |= matches!(event, BusEvent::Stopped { .. });
        if !queue.abandoned {
            queue.events.push_back(event);
        }
        self.filled.notify_all();
        pushed
    }

    /// Whether more may be read after [`Pushed::Full`].
    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.messages <= self.limits.hard / 2 && queue.bytes <= self.limits.hard_bytes / 2
    }

    /// Waits for an event; `None` when the time is up.
    pub(super) fn next(&self, timeout: Option<Duration>) -> Result<Option<BusEvent>, BusError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut queue = self.lock();
        loop {
            if let Some(event) = queue.events.pop_front() {
                if let BusEvent::Message(message) = &event {
                    queue.messages -= 1;
                    queue.bytes -= message.payload.len();
                }
                return Ok(Some(event));
            }
            if queue.closed {
                return Err(BusError::Stopped);
            }
            queue = match deadline {
                None => self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let waited = self.filled.wait_timeout(queue, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// How many were dropped on which topics since the last call, as far as they are remembered.
    pub(super) fn take_dropped_on(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.lock().dropped_on)
    }

    /// The reader is gone.
    pub(super) fn abandon(&self) {
        let mut queue = self.lock();
        queue.abandoned = true;
        queue.events.clear();
        (queue.messages, queue.bytes) = (0, 0);
    }

    /// Ends the queue without a further event.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{BrokerSession, IncomingMessage, Properties};
    use super::*;

    fn limits(soft: usize, hard: usize) -> EventLimits {
        EventLimits { soft, hard, ..EventLimits::default() }
    }

    fn message(qos: QoS) -> BusEvent {
        message_of(qos, 0)
    }

    fn message_of(qos: QoS, bytes: usize) -> BusEvent {
        BusEvent::Message(IncomingMessage {
            topic: "t".to_owned(),
            payload: vec![0; bytes],
            cut_from: None,
            qos,
            retain: false,
            dup: false,
            properties: Properties::default(),
            ack: None,
        })
    }

    #[test]
    fn a_slow_service_loses_only_what_was_sent_at_most_once() {
        let queue = EventQueue::new(limits(2, 4));
        for _ in 0..2 {
            queue.push(message(QoS::AtMostOnce));
        }
        assert_eq!(queue.push(message(QoS::AtMostOnce)), Pushed::Queued);
        assert_eq!((queue.dropped(), queue.take_dropped_on()), (1, BTreeMap::from([("t".to_owned(), 1)])));
        assert_eq!(queue.push(message(QoS::AtLeastOnce)), Pushed::Queued);
        assert_eq!(queue.push(message(QoS::AtLeastOnce)), Pushed::Queued);
        assert_eq!(queue.push(message(QoS::AtLeastOnce)), Pushed::Full);
        assert_eq!((queue.dropped(), queue.take_dropped_on().len()), (1, 0));
        for left in [4, 3, 2] {
            assert!(!queue.has_room());
            assert!(queue.next(None).unwrap().is_some(), "{left} are left");
        }
        assert!(queue.has_room());
        assert_eq!(queue.push(message(QoS::AtLeastOnce)), Pushed::Queued);
        for _ in 0..3 {
            assert!(queue.next(None).unwrap().is_some(), "none is lost");
        }
    }

    #[test]
    fn large_messages_count_by_their_bytes() {
        let queue = EventQueue::new(EventLimits { soft_bytes: 10, hard_bytes: 20, ..limits(99, 99) });
        assert_eq!(queue.push(message_of(QoS::AtMostOnce, 50)), Pushed::Queued);
        queue.push(message_of(QoS::AtMostOnce, 1));
        assert_eq!(queue.dropped(), 1);
        assert_eq!(queue.push(message_of(QoS::AtLeastOnce, 1)), Pushed::Full);
        assert!(!queue.has_room());
        assert!(queue.next(None).unwrap().is_some());
        assert!(queue.has_room());
        assert_eq!(queue.push(message_of(QoS::AtLeastOnce, 14)), Pushed::Queued);
        assert_eq!(queue.push(message_of(QoS::AtLeastOnce, 5)), Pushed::Queued);
        assert_eq!(queue.push(message_of(QoS::AtLeastOnce, 1)), Pushed::Full);
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn what_is_not_a_message_always_gets_through() {
        let queue = EventQueue::new(limits(0, 0));
        let connected = BusEvent::Connected(BrokerSession::default());
        queue.push(connected.clone());
        assert_eq!(queue.next(None), Ok(Some(connected)));
        assert_eq!(queue.next(Some(Duration::from_millis(1))), Ok(None));
    }

    #[test]
    fn nothing_follows_the_end() {
        let queue = EventQueue::new(limits(9, 9));
        queue.push(BusEvent::Stopped { complete: true });
        assert_eq!(queue.next(None), Ok(Some(BusEvent::Stopped { complete: true })));
        assert_eq!(queue.next(None), Err(BusError::Stopped));
    }
}
