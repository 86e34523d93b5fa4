//! Whether a packet of this size arrives, found out with one that hurts nobody: a ping of that size to the board itself.
//!
//! A broker of MQTT 3.1.1 cannot tell its limit: one hangs up on a larger packet, another acknowledges it and throws it
//! away. And where connections end on a large message its topic may be to blame as well. So a message of a size that has
//! not come through before is held back until a ping of that size has. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a ping may take to come back after the broker has acknowledged it; and three times as long as that took.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take to be acknowledged.
const LONGEST: Duration = Duration::from_secs(120);
/// Connections that may end with it and others under way.
const LOSSES: u32 = 3;

#[derive(Debug)]
struct Probe {
    packet: usize,
    payload: usize,
    sent: Instant,
    acknowledged: Option<Instant>,
}

/// The probe under way, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Prober {
    /// Pings come back on this broker.
    pub works: bool,
    /// Packets up to this size have come back.
    proven: usize,
    held: BTreeMap<u64, usize>,
    under_way: Option<Probe>,
    losses: u32,
}

/// What a probe has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// A packet of so many bytes does not arrive.
    TooLarge(usize),
}

impl Prober {
    /// Whether a packet of this size is in doubt.
    pub const fn doubts(&self, packet: usize) -> bool {
        self.works && packet > self.proven
    }

    pub fn holds(&self, seq: u64) -> bool {
        self.held.contains_key(&seq)
    }

    /// A message waits until its size is proven.
    pub fn hold(&mut self, seq: u64, packet: usize) {
        self.held.insert(seq, packet);
    }

    /// The first message that waits.
    pub fn first_held(&self) -> Option<u64> {
        self.held.keys().next().copied()
    }

    /// The size of the next probe, if one is to be sent.
    pub fn next(&self) -> Option<usize> {
        if self.under_way.is_some() { None } else { self.held.values().min().copied() }
    }

    /// A probe has been sent, with the bytes of the whole packet and of its payload.
    pub fn sent(&mut self, packet: usize, payload: usize, now: Instant) {
        self.under_way = Some(Probe { packet, payload, sent: now, acknowledged: None });
    }

    /// The broker has acknowledged the probe.
    pub fn acknowledged(&mut self, now: Instant) {
        if let Some(probe) = &mut self.under_way {
            probe.acknowledged = Some(now);
        }
    }

    /// A ping of this run has come back.
    pub fn came_back(&mut self, payload: usize) {
        if let Some(probe) = self.under_way.take_if(|probe| probe.payload == payload) {
            self.proven = self.proven.max(probe.packet);
            self.losses = 0;
            self.release();
        }
    }

    /// The broker has refused the probe.
    pub fn refused(&mut self, for_its_size: bool) -> Shown {
        let Some(probe) = self.under_way.take() else { return Shown::Nothing };
        self.works &= for_its_size;
        self.release();
        if for_its_size { Shown::TooLarge(probe.packet) } else { Shown::Nothing }
    }

    /// The connection has ended, and the ping has not come back. `by_broker` says whether something under way may be why,
    /// `alone` whether that is the probe if it is anything. An acknowledgement clears nothing: mosquitto acknowledges what
    /// is over its `message_size_limit`, and closes.
    pub fn connection_ended(&mut self, by_broker: bool, alone: bool) -> Shown {
        let Some(probe) = self.under_way.take() else { return Shown::Nothing };
        if !by_broker {
            return Shown::Nothing;
        }
        self.losses += 1;
        if !alone && self.losses < LOSSES {
            return Shown::Nothing;
        }
        self.losses = 0;
        self.release();
        Shown::TooLarge(probe.packet)
    }

    /// What has become of a probe that does not come back.
    pub fn look(&mut self, now: Instant) -> Shown {
        let waited = |since: Instant| now.saturating_duration_since(since);
        match &self.under_way {
            Some(Probe { packet, sent, acknowledged: Some(at), .. })
                if waited(*at) >= PATIENCE + 3 * at.saturating_duration_since(*sent) =>
            {
                let packet = *packet;
                self.under_way = None;
                self.release();
                Shown::TooLarge(packet)
            }
            Some(probe) if waited(probe.sent) >= LONGEST => {
                self.under_way = None;
                self.works = false;
                self.release();
                Shown::Nothing
            }
            _ => Shown::Nothing,
        }
    }

    /// What waits is looked at anew.
    fn release(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prober() -> (Prober, Instant) {
        (Prober { works: true, ..Prober::default() }, Instant::now())
    }

    #[test]
    fn a_size_is_proven_when_a_ping_of_it_comes_back() {
        let (mut prober, now) = prober();
        assert!(prober.doubts(1000));
        prober.hold(7, 1000);
        assert_eq!(prober.next(), Some(1000));
        prober.sent(1001, 950, now);
        assert_eq!(prober.next(), None);
        prober.came_back(20);
        assert!(prober.holds(7));
        prober.came_back(950);
        assert!(!prober.holds(7) && !prober.doubts(1001) && prober.doubts(1002));
    }

    #[test]
    fn a_size_is_too_large_when_its_ping_is_swallowed_or_ends_the_connection_alone() {
        let (mut prober, now) = prober();
        prober.hold(7, 1000);
        prober.sent(1000, 950, now);
        prober.acknowledged(now);
        assert_eq!(prober.look(now + PATIENCE / 2), Shown::Nothing);
        assert_eq!(prober.look(now + PATIENCE), Shown::TooLarge(1000));
        prober.sent(900, 850, now);
        assert_eq!(prober.connection_ended(true, false), Shown::Nothing);
        prober.sent(900, 850, now);
        assert_eq!(prober.connection_ended(true, true), Shown::TooLarge(900));
        prober.sent(800, 750, now);
        prober.acknowledged(now);
        assert_eq!(prober.connection_ended(true, true), Shown::TooLarge(800));
        prober.sent(700, 650, now);
        assert_eq!(prober.connection_ended(false, true), Shown::Nothing);
    }
}
