//! How long to wait before the next attempt to connect. Pure but for the dice.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::options::BackoffOptions;

/// Doubling waits with jitter: each is drawn from the upper half of its bound, so that a group of boards
/// whose broker restarts does not come back in step.
pub(super) struct Backoff {
    options: BackoffOptions,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(options: BackoffOptions) -> Self {
        Self { options, failures: 0 }
    }

    /// The wait after a failure. `lasted` is how long the connection had lasted, if there was one.
    pub(super) fn next(&mut self, lasted: Option<Duration>) -> Duration {
        self.next_with(lasted, dice())
    }

    /// As `next`, with a number of 0 to 1 in place of the dice.
    fn next_with(&mut self, lasted: Option<Duration>, fraction: f64) -> Duration {
        if lasted.is_some_and(|lasted| lasted >= self.options.stable) {
            self.failures = 0;
        }
        let bound = self.options.first.saturating_mul(1 << self.failures.min(16)).min(self.options.longest);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.5 + 0.5 * fraction)
    }
}

/// A random number of 0 to 1 from the standard library's hash keys, which the system seeds.
fn dice() -> f64 {
    let bits = RandomState::new().hash_one(std::time::Instant::now());
    // The upper 53 bits fill a double's mantissa.
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(BackoffOptions {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            stable: Duration::from_secs(3),
        })
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = backoff();
        let waits: Vec<u64> = (0..9).map(|_| backoff.next_with(None, 1.0).as_millis() as u64).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        for _ in 0..100 {
            assert!(backoff.next(None) <= Duration::from_secs(60));
        }
    }

    #[test]
    fn only_a_connection_that_lasted_starts_over() {
        let mut backoff = backoff();
        backoff.next_with(None, 1.0);
        let thrown_out = backoff.next_with(Some(Duration::from_secs(1)), 1.0);
        assert_eq!(thrown_out, Duration::from_secs(1));
        let stable = backoff.next_with(Some(Duration::from_secs(3)), 0.0);
        assert_eq!(stable, Duration::from_millis(250));
    }

    #[test]
    fn waits_differ_between_boards() {
        let drawn: Vec<Duration> = (0..8).map(|_| backoff().next(None)).collect();
        assert!(drawn.iter().any(|wait| *wait != drawn[0]));
        assert!(drawn.iter().all(|wait| (250..=500).contains(&wait.as_millis())));
    }
}
