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
/// How long the first ping of a run may take before messages are sent without a proof of their size.
const FIRST_PING: Duration = Duration::from_secs(5);

/// Whether pings of the board to itself come back on this broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::service) enum Echoes {
    /// None has come back in this run: the connection may be young.
    #[default]
    Unknown,
    /// They do.
    ComeBack,
    /// The broker does not let the board publish there.
    Forbidden,
}

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
    echoes: Echoes,
    /// When the first connection of this run began.
    since: Option<Instant>,
    /// Nothing is learned by probes here: they are refused, or no answer comes to them.
    useless: bool,
    /// Packets up to this size have come back.
    proven: usize,
    held: BTreeMap<u64, usize>,
    /// The first of those that waited and wait no more.
    released: Option<u64>,
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
    /// What is known of pings.
    pub fn set_echoes(&mut self, echoes: Echoes) {
        // The first that comes back after we have stopped waiting for it: probes help after all.
        if self.echoes == Echoes::Unknown && echoes == Echoes::ComeBack {
            self.useless = false;
        }
        self.echoes = echoes;
    }

    /// There is a connection.
    pub fn connected(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether a packet of this size is in doubt. At the begin of a run nothing is known yet, not even whether probes
    /// help: a large message waits for the first ping, which comes with the subscription.
    pub const fn doubts(&self, packet: usize) -> bool {
        !self.useless && packet > self.proven && !matches!(self.echoes, Echoes::Forbidden)
    }

    pub fn holds(&self, seq: u64) -> bool {
        self.held.contains_key(&seq)
    }

    /// A message waits until its size is proven.
    pub fn hold(&mut self, seq: u64, packet: usize) {
        self.held.insert(seq, packet);
    }

    /// Whether messages wait.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// The first of the messages that waited and are to be looked at anew.
    pub const fn take_released(&mut self) -> Option<u64> {
        self.released.take()
    }

    /// The size of the next probe, if one is to be sent.
    pub fn next(&self) -> Option<usize> {
        let may = self.under_way.is_none() && self.echoes == Echoes::ComeBack;
        if may { self.held.values().min().copied() } else { None }
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
        self.useless |= !for_its_size;
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
                self.useless = true;
                self.release();
                Shown::Nothing
            }
            None if self.echoes == Echoes::Forbidden => {
                self.release();
                Shown::Nothing
            }
            None if self.echoes == Echoes::Unknown
                && !self.useless
                && self.since.is_some_and(|since| waited(since) >= FIRST_PING) =>
            {
                self.useless = true;
                self.release();
                Shown::Nothing
            }
            _ => Shown::Nothing,
        }
    }

    /// What waits is looked at anew.
    pub fn release(&mut self) {
        let first = self.held.keys().next().copied();
        self.released = [self.released, first].into_iter().flatten().min();
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prober() -> (Prober, Instant) {
        (Prober { echoes: Echoes::ComeBack, ..Prober::default() }, Instant::now())
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
        assert_eq!((prober.take_released(), prober.take_released()), (Some(7), None));
    }

    #[test]
    fn before_the_first_ping_has_come_back_large_messages_wait_and_not_for_ever() {
        let now = Instant::now();
        let mut prober = Prober::default();
        prober.connected(now);
        assert!(prober.doubts(1000));
        prober.hold(7, 1000);
        assert_eq!(prober.next(), None, "whether probes help is not known");
        prober.look(now + FIRST_PING / 2);
        assert!(prober.holds(7));
        prober.look(now + FIRST_PING);
        assert!(!prober.holds(7) && !prober.doubts(1000));
        assert_eq!(prober.take_released(), Some(7));
        prober.set_echoes(Echoes::ComeBack);
        assert!(prober.doubts(1000));
    }

    #[test]
    fn a_broker_that_forbids_pings_gets_its_messages_at_once() {
        let now = Instant::now();
        let mut prober = Prober::default();
        prober.connected(now);
        prober.hold(7, 1000);
        prober.set_echoes(Echoes::Forbidden);
        prober.look(now);
        assert!(!prober.holds(7) && !prober.doubts(1000));
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
