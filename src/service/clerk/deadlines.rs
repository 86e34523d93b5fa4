//! When the clerk has something to do although nobody tells it anything. Pure: the time is the caller's.

use std::time::{Duration, Instant};

/// How long a delivered message may stay in the outbox when no other change comes along.
pub(super) const LINGER: Duration = Duration::from_millis(500);
/// How long to wait before a failed commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(2);
/// How long to wait before a layer that could not be written is tried again. Each try reads the file from its
/// beginning, on the clerk's thread.
const LAYER_RETRY: Duration = Duration::from_secs(10);
/// The longest that the clerk waits for news, so that its pulse beats.
const LONGEST: Duration = Duration::from_secs(1);

/// The clerk's appointments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Health is told, and old sessions end.
    health: Instant,
    /// Something waits for the next commit only to be taken out, and may wait no longer.
    linger: Option<Instant>,
    /// A failed commit is tried again. Nothing is committed before.
    commit: Option<Instant>,
    /// Layers that could not be written are tried again.
    layers: Option<Instant>,
}

impl Deadlines {
    pub const fn new(now: Instant) -> Self {
        Self { health: now, linger: None, commit: None, layers: None }
    }

    /// How long to wait for news until the next appointment.
    pub fn next(&self, now: Instant) -> Duration {
        // While a failed commit waits nothing else can be done: to wake for it would be to spin.
        let work = self.commit.or_else(|| self.linger.into_iter().chain(self.layers).min());
        let first = work.into_iter().chain([self.health, now + LONGEST]).min();
        first.unwrap_or(now).saturating_duration_since(now)
    }

    /// Whether health is due; the next is so much later.
    pub fn take_health(&mut self, now: Instant, interval: Duration) -> bool {
        let is_due = now >= self.health;
        if is_due {
            self.health = now + interval;
        }
        is_due
    }

    /// Something waits to be taken out with the next commit.
    pub fn linger(&mut self, now: Instant) {
        self.linger.get_or_insert(now + LINGER);
    }

    /// Whether what waits to be taken out has waited long enough.
    pub fn is_lingering_over(&self, now: Instant) -> bool {
        self.linger.is_some_and(|at| at <= now)
    }

    /// A commit failed.
    pub fn commit_failed(&mut self, now: Instant) {
        self.commit = Some(now + COMMIT_RETRY);
    }

    /// A commit is about to be made, and takes out what waits for it.
    pub const fn commit_begins(&mut self) {
        (self.linger, self.commit) = (None, None);
    }

    /// Whether the last commit failed, and the next is not due yet.
    pub fn is_waiting_to_commit(&self, now: Instant) -> bool {
        self.commit.is_some_and(|at| at > now)
    }

    /// Whether the last commit failed.
    pub const fn is_failing(&self) -> bool {
        self.commit.is_some()
    }

    /// A layer could not be written.
    pub fn layers_failed(&mut self, now: Instant) {
        self.layers.get_or_insert(now + LAYER_RETRY);
    }

    /// Whether layers are to be tried again. Not while the state cannot be written either: what the journal holds is
    /// known only after the next commit.
    pub fn are_layers_due(&self, now: Instant) -> bool {
        self.commit.is_none() && self.layers.is_some_and(|at| at <= now)
    }

    /// All that waits for its time comes to it.
    #[cfg(test)]
    pub fn hurry(&mut self) {
        let now = Instant::now();
        for appointment in [&mut self.linger, &mut self.commit, &mut self.layers] {
            *appointment = appointment.map(|at| at.min(now));
        }
    }

    /// Layers are about to be tried.
    pub const fn layers_begin(&mut self) {
        self.layers = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clerk_wakes_for_the_first_of_its_appointments() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(now);
        assert!(deadlines.take_health(now, Duration::from_secs(60)));
        assert!(!deadlines.take_health(now, Duration::from_secs(60)));
        assert_eq!(deadlines.next(now), LONGEST);
        deadlines.layers_failed(now);
        deadlines.linger(now);
        assert_eq!(deadlines.next(now), LINGER);
        assert!(deadlines.is_lingering_over(now + LINGER));
        deadlines.commit_begins();
        assert_eq!(deadlines.next(now + LAYER_RETRY - LINGER), LINGER);
        deadlines.hurry();
        assert!(deadlines.are_layers_due(Instant::now()));
    }

    #[test]
    fn while_a_commit_waits_nothing_else_wakes_the_clerk_but_health() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(now);
        deadlines.linger(now);
        deadlines.layers_failed(now);
        deadlines.commit_failed(now);
        let later = now + LAYER_RETRY;
        deadlines.take_health(later, Duration::from_secs(60));
        deadlines.commit_failed(later);
        assert_eq!(deadlines.next(later), LONGEST);
        assert!(deadlines.is_waiting_to_commit(later) && !deadlines.are_layers_due(later));
        deadlines.commit_begins();
        assert!(!deadlines.is_failing() && deadlines.are_layers_due(later));
    }
}
