//! What the broker leaves unanswered: a broker, or what is between, can lose a single acknowledgement and keep the connection.
//! Then all that we send waits behind it for as long as that lasts. Pure: the clock, and what is owed, are told.
//!
//! The time of what is owed begins when it is the oldest, and anew whenever a slow line has carried something that it may be
//! waiting behind. Only the time in which somebody looked counts: a program, or a machine, that stood still meanwhile
//! finds the answers that came when it goes on.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Owed;

/// Looks in the time that an answer may take, and the longest time between two.
const LOOKS: u32 = 10;
const LONGEST: Duration = Duration::from_secs(3);

/// One thing that is owed, and for how long.
#[derive(Debug)]
struct Debt<T> {
    of: Option<T>,
    since: Duration,
}

impl<T: Copy + PartialEq> Debt<T> {
    const fn none() -> Self {
        Self { of: None, since: Duration::ZERO }
    }

    /// For how long this has been owed now.
    fn grown(&mut self, of: Option<T>, by: Duration, excused: bool) -> Duration {
        self.since = if of.is_none() || of != self.of || excused { Duration::ZERO } else { self.since + by };
        self.of = of;
        self.since
    }
}

/// Looks after one connection's debts.
#[derive(Debug)]
pub(super) struct Overdue<P, A> {
    bound: Duration,
    looked: Instant,
    strain: u64,
    publish: Debt<P>,
    asked: Debt<A>,
}

impl Overdue<super::PublishToken, super::SubscribeToken> {
    pub const fn new(bound: Duration, now: Instant) -> Self {
        Self { bound, looked: now, strain: 0, publish: Debt::none(), asked: Debt::none() }
    }

    /// Time between two looks.
    fn step(&self) -> Duration {
        (self.bound / LOOKS).min(LONGEST)
    }

    /// When to look again.
    pub fn next_look(&self) -> Instant {
        self.looked + self.step()
    }

    /// Says why the connection is to be given up, if it is. `strain` grows while a slow line carries something.
    pub fn look(&mut self, now: Instant, owed: &Owed, strain: u64) -> Option<String> {
        let by = now.saturating_duration_since(self.looked).min(self.step() * 2);
        self.looked = now;
        let excused = std::mem::replace(&mut self.strain, strain) != strain;
        let publish = owed.publish.as_ref();
        let published = self.publish.grown(publish.map(|(token, _)| *token), by, excused);
        let asked = self.asked.grown(owed.asked, by, excused);
        let bound = self.bound;
        if asked >= bound {
            return Some(format!(
                "the broker has not answered a subscription for {bound:?}: connecting anew"
            ));
        }
        let (_, topic) = publish.filter(|_| published >= bound)?;
        Some(format!(
            "the broker has not acknowledged what was sent to {topic} for {bound:?}, and answers otherwise: connecting anew"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PublishToken, SubscribeToken};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn publish(token: u32) -> Owed {
        Owed { publish: Some((PublishToken(token), format!("t/{token}"))), asked: None }
    }

    /// The second of the first look that gives the connection up, of `seconds`; each is told what is owed and the strain.
    fn given_up(seconds: u64, at: impl Fn(u64) -> (Owed, u64)) -> Option<(u64, String)> {
        let start = Instant::now();
        let mut overdue = Overdue::new(30 * SECOND, start);
        (0..seconds).find_map(|second| {
            let (owed, strain) = at(second);
            let why = overdue.look(start + SECOND * u32::try_from(second).unwrap(), &owed, strain)?;
            Some((second, why))
        })
    }

    #[test]
    fn what_is_never_answered_is_given_up_once_with_its_topic() {
        let (second, why) = given_up(100, |second| (publish(u32::from(second >= 5)), 0)).unwrap();
        assert_eq!(second, 35);
        assert!(why.contains("t/1") && why.contains("30s"), "{why}");
        let asked = Owed { asked: Some(SubscribeToken(7)), publish: None };
        let (second, why) = given_up(100, |_| (asked.clone(), 0)).unwrap();
        assert!(second == 30 && why.contains("subscription"), "{second} {why}");
    }

    #[test]
    fn a_slow_broker_that_answers_one_after_the_other_is_left_alone() {
        assert_eq!(given_up(1000, |second| (publish(u32::try_from(second / 29).unwrap()), 0)), None);
        assert_eq!(given_up(1000, |_| (Owed::default(), 0)), None);
    }

    #[test]
    fn a_slow_line_that_carries_something_is_left_alone_until_it_does_not() {
        let (second, _) = given_up(1000, |second| (publish(1), (second / 20).min(10))).unwrap();
        assert_eq!(second, 230);
    }

    #[test]
    fn a_program_that_stood_still_looks_for_answers_first() {
        let start = Instant::now();
        let mut overdue = Overdue::new(30 * SECOND, start);
        assert_eq!(overdue.look(start, &publish(1), 0), None);
        assert_eq!(overdue.look(start + 3600 * SECOND, &publish(1), 0), None);
        assert_eq!(overdue.next_look(), start + 3603 * SECOND);
        assert_eq!(overdue.look(start + 3603 * SECOND, &publish(2), 0), None);
    }
}
