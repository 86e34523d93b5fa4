//! Requests at most once that came faster than they could be looked at: told now and then, with how many since the last
//! time. They were dropped unread, so there is nobody to answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Clerk;
use crate::bus::{BusClient, Inbound};

/// Time between two times that it is told.
const INTERVAL: Duration = Duration::from_secs(60);

/// What was told.
#[derive(Debug, Default)]
pub(super) struct DropsTold {
    dropped: u64,
    next: Option<Instant>,
}

impl DropsTold {
    /// How many are to be told now, when so many were dropped in all.
    fn news(&mut self, dropped: u64, now: Instant) -> Option<u64> {
        let new = dropped.saturating_sub(self.dropped);
        if new == 0 || self.next.is_some_and(|next| now < next) {
            return None;
        }
        (self.dropped, self.next) = (dropped, Some(now + INTERVAL));
        Some(new)
    }
}

impl<C: BusClient> Clerk<C> {
    /// Tells of requests that were dropped unread, at first and then once a minute.
    pub(super) fn tell_drops(&mut self, now: Instant) {
        let Some(new) = self.drops_told.news(self.publisher.client().stats().dropped, now) else { return };
        let mut by_client: BTreeMap<String, u64> = BTreeMap::new();
        for (topic, count) in self.publisher.client().take_dropped_on() {
            if let Inbound::Request(address) = self.rules.topics.parse(&topic) {
                *by_client.entry(address.client).or_default() += count;
            }
        }
        let text = format!(
            "{new} requests of QoS 0 came faster than the board could look at them, and were dropped without an answer; \
             ask more slowly, or with QoS 1, which the broker keeps until the board has time"
        );
        tracing::warn!(clients = ?by_client, "{text}");
        self.event(self.announcer.requests_dropped(&by_client, &text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_told_at_once_and_then_once_a_minute_with_those_since() {
        let (mut told, start) = (DropsTold::default(), Instant::now());
        assert_eq!(told.news(0, start), None);
        assert_eq!(told.news(3, start), Some(3));
        assert_eq!(told.news(500, start + INTERVAL / 2), None);
        assert_eq!(told.news(700, start + INTERVAL), Some(697));
        assert_eq!(told.news(700, start + 3 * INTERVAL), None);
        assert_eq!(told.news(701, start + 3 * INTERVAL), Some(1));
    }
}
