//! Signs of life of the threads that must not hang, and the watchdog that systemd watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When each thread last made progress. An idle thread makes progress by waiting in short steps; one
/// that waits for an unreachable broker does so too.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    bus: AtomicU64,
    clerk: AtomicU64,
    decoder: AtomicU64,
    /// When systemd was last asked for more time to start; `STARTED` once it needs none.
    asked: AtomicU64,
}

const STARTED: u64 = u64::MAX;

/// Whose sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Organ {
    /// The thread that takes events from the broker.
    Bus,
    /// The thread that makes them durable.
    Clerk,
    /// The workers; any of them.
    Decoder,
}

impl Organ {
    /// What `systemctl status` shows while it is still.
    const fn hanging(self) -> &'static str {
        match self {
            Self::Bus => "the connection to the broker hangs",
            Self::Clerk => "writing the state hangs",
            Self::Decoder => "decoding, or reading the card, hangs",
        }
    }
}

impl Pulse {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            bus: AtomicU64::new(0),
            clerk: AtomicU64::new(0),
            decoder: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }
    }

    /// The start goes on, and takes long: systemd is asked for another minute, every few seconds.
    pub fn extend_start(&self) {
        let (asked, now) = (self.asked.load(Ordering::Relaxed), self.elapsed_ms());
        if asked != STARTED && now.saturating_sub(asked) > 5_000 {
            self.asked.store(now, Ordering::Relaxed);
            tell_systemd(&[sd_notify::NotifyState::ExtendTimeoutUsec(60_000_000)]);
        }
    }

    /// The start is over.
    pub fn started(&self) {
        self.asked.store(STARTED, Ordering::Relaxed);
    }

    /// This thread makes progress.
    pub fn beat(&self, organ: Organ) {
        self.of(organ).store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// The organ that has been still for longer than this, if there is one.
    pub fn still_for(&self, limit: Duration) -> Option<Organ> {
        let now = self.elapsed_ms();
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        [Organ::Bus, Organ::Clerk, Organ::Decoder]
            .into_iter()
            .find(|&organ| now.saturating_sub(self.of(organ).load(Ordering::Relaxed)) > limit)
    }

    const fn of(&self, organ: Organ) -> &AtomicU64 {
        match organ {
            Organ::Bus => &self.bus,
            Organ::Clerk => &self.clerk,
            Organ::Decoder => &self.decoder,
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Tells systemd something; without systemd nothing happens.
pub(super) fn tell_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Sets what `systemctl status` shows.
pub(super) fn tell_status(status: &str) {
    tell_systemd(&[sd_notify::NotifyState::Status(status)]);
}

/// Feeds the watchdog while every organ makes progress; never returns.
///
/// A decode on a slow board takes a second or two and a commit on a slow card as long, so an organ that
/// has been still for half the watchdog's time (at least 10 s) hangs.
pub(super) fn feed_watchdog(pulse: &Pulse) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let patience = (limit / 2).max(Duration::from_secs(10));
    let mut hanging = false;
    loop {
        match pulse.still_for(patience) {
            None => {
                tell_systemd(&[sd_notify::NotifyState::Watchdog]);
                if std::mem::take(&mut hanging) {
                    tracing::info!("there is progress again");
                    tell_status("serving");
                }
            }
            Some(organ) if !hanging => {
                hanging = true;
                tracing::error!(
                    "there is no progress, and systemd's watchdog is not fed: {}",
                    organ.hanging()
                );
                tell_status(organ.hanging());
            }
            Some(_) => {}
        }
        std::thread::sleep(limit / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pulse since a minute ago, in which only these have beaten lately.
    fn pulse_of(beating: &[Organ]) -> Pulse {
        let minute = Duration::from_secs(60);
        let pulse = Pulse { start: Instant::now().checked_sub(minute).unwrap(), ..Pulse::new() };
        beating.iter().for_each(|organ| pulse.beat(*organ));
        pulse
    }

    #[test]
    fn each_thread_that_stops_beating_is_missed_and_none_that_goes_on() {
        let patience = Duration::from_secs(30);
        let all = [Organ::Bus, Organ::Clerk, Organ::Decoder];
        for still in all {
            let others: Vec<Organ> = all.into_iter().filter(|organ| *organ != still).collect();
            let pulse = pulse_of(&others);
            assert_eq!(pulse.still_for(patience), Some(still));
            pulse.beat(still);
            assert_eq!(pulse.still_for(patience), None);
        }
    }
}
