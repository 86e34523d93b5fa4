//! Which chips the boards of a group are asked for, again and in which order what they answer is taken. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::engine::Candidate;

/// How often a chip is given out before it is asked here.
const TRIES: u32 = 3;
/// Chips whose answers may wait for an earlier one.
const AHEAD: usize = 64;
/// How long a board that has no room is left alone.
const LATER: Duration = Duration::from_secs(5);
/// Once boards have answered, a chip may take so many times the longest answer, and not less than this.
const SLACK: u32 = 4;
const LEAST: Duration = Duration::from_secs(5);

/// What became of a chip.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// A board has asked it.
    Masks(Vec<Candidate>),
    /// No board has; why the last one has not.
    Unasked(String),
}

#[derive(Debug)]
struct Waiting {
    tries: u32,
    /// When it was given out last.
    since: Instant,
    /// When it is given out again.
    until: Instant,
    problem: Option<String>,
}

/// The chips of a search, by their places in its order.
#[derive(Debug)]
pub(super) struct Handout {
    chips: usize,
    /// On their way at a time.
    most: usize,
    patience: Duration,
    longest: Option<Duration>,
    next: usize,
    waiting: BTreeMap<usize, Waiting>,
    done: BTreeMap<usize, Outcome>,
    taken: usize,
}

impl Handout {
    /// So many chips, `most` of them on their way at a time; one that is not answered within `patience` is given to another
    /// board as well.
    pub const fn new(chips: usize, most: usize, patience: Duration) -> Self {
        Self {
            chips,
            most,
            patience,
            longest: None,
            next: 0,
            waiting: BTreeMap::new(),
            done: BTreeMap::new(),
            taken: 0,
        }
    }

    /// How long an answer is waited for.
    pub fn patience(&self) -> Duration {
        self.longest
            .map_or(self.patience, |longest| (longest * SLACK).clamp(LEAST.min(self.patience), self.patience))
    }

    /// The next chip to be given out, and the number of the try, from 1 on.
    pub fn due(&mut self, now: Instant) -> Option<(usize, u32)> {
        let until = now + self.patience();
        let again = self.waiting.iter().find(|(_, waiting)| waiting.until <= now).map(|(&place, _)| place);
        if let Some(place) = again {
            let waiting = self.waiting.get_mut(&place)?;
            if waiting.tries >= TRIES {
                let problem = waiting.problem.take().unwrap_or_else(|| "no board has answered".to_owned());
                self.waiting.remove(&place);
                self.done.insert(place, Outcome::Unasked(problem));
                return self.due(now);
            }
            waiting.tries += 1;
            (waiting.since, waiting.until) = (now, until);
            return Some((place, waiting.tries));
        }
        if self.waiting.len() >= self.most || self.next >= self.chips.min(self.taken + AHEAD) {
            return None;
        }
        let place = self.next;
        self.next += 1;
        self.waiting.insert(place, Waiting { tries: 1, since: now, until, problem: None });
        Some((place, 1))
    }

    /// Chips whose requests may never have arrived are given out again at once.
    pub fn lost(&mut self, places: &BTreeSet<usize>, now: Instant) {
        for (_, waiting) in self.waiting.iter_mut().filter(|(place, _)| places.contains(place)) {
            // The connection's end, and no board's fault.
            waiting.tries = waiting.tries.saturating_sub(1);
            waiting.until = now;
        }
    }

    /// A board has answered; false where the chip has been answered already.
    pub fn answered(&mut self, place: usize, outcome: Outcome, now: Instant) -> bool {
        let Some(waiting) = self.waiting.remove(&place) else { return false };
        let took = now.saturating_duration_since(waiting.since);
        self.longest = Some(self.longest.map_or(took, |longest| longest.max(took)));
        self.done.insert(place, outcome);
        true
    }

    /// A board cannot ask a chip now.
    pub fn put_off(&mut self, place: usize, problem: String, now: Instant) {
        if let Some(waiting) = self.waiting.get_mut(&place) {
            waiting.until = now + LATER;
            waiting.problem = Some(problem);
        }
    }

    /// The outcome of the next chip in order, where it is there.
    pub fn take_next(&mut self) -> Option<Outcome> {
        let outcome = self.done.remove(&self.taken)?;
        self.taken += 1;
        Some(outcome)
    }

    /// When something is to be given out again.
    pub fn next_time(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn due(handout: &mut Handout, now: Instant) -> Vec<(usize, u32)> {
        std::iter::from_fn(|| handout.due(now)).collect()
    }

    fn masks() -> Outcome {
        Outcome::Masks(Vec::new())
    }

    #[test]
    fn chips_are_given_out_a_few_at_a_time_and_taken_in_order() {
        let (mut handout, now) = (Handout::new(4, 2, MINUTE), Instant::now());
        assert_eq!(due(&mut handout, now), [(0, 1), (1, 1)]);
        assert!(handout.answered(1, masks(), now));
        assert!(!handout.answered(1, masks(), now), "another board was asked as well");
        assert_eq!(due(&mut handout, now), [(2, 1)]);
        assert_eq!(handout.take_next(), None, "the first is not there");
        assert!(handout.answered(0, masks(), now));
        assert_eq!(due(&mut handout, now), [(3, 1)]);
        assert_eq!(
            [handout.take_next(), handout.take_next(), handout.take_next()],
            [Some(masks()), Some(masks()), None]
        );
    }

    #[test]
    fn what_a_board_does_not_answer_goes_to_another_and_in_the_end_to_nobody() {
        let (mut handout, mut now) = (Handout::new(1, 8, MINUTE), Instant::now());
        assert_eq!(due(&mut handout, now), [(0, 1)]);
        assert_eq!(due(&mut handout, now + MINUTE / 2), []);
        for tries in 2..=TRIES {
            now += MINUTE;
            assert_eq!(handout.next_time(), Some(now));
            assert_eq!(due(&mut handout, now), [(0, tries)]);
        }
        assert_eq!(due(&mut handout, now + MINUTE), []);
        assert_eq!(handout.take_next(), Some(Outcome::Unasked("no board has answered".to_owned())));
    }

    #[test]
    fn boards_without_room_are_asked_a_little_later_and_lost_requests_at_once() {
        let (mut handout, now) = (Handout::new(2, 8, MINUTE), Instant::now());
        assert_eq!(due(&mut handout, now).len(), 2);
        handout.put_off(0, "BUSY".to_owned(), now);
        assert_eq!(due(&mut handout, now + LATER), [(0, 2)]);
        handout.lost(&BTreeSet::from([1, 7]), now);
        assert_eq!(due(&mut handout, now), [(1, 1)]);
        handout.put_off(0, "BUSY".to_owned(), now);
        assert_eq!(due(&mut handout, now + LATER), [(0, 3)]);
        handout.put_off(0, "BUSY".to_owned(), now);
        assert_eq!(due(&mut handout, now + LATER), []);
        assert_eq!(handout.take_next(), Some(Outcome::Unasked("BUSY".to_owned())));
    }

    #[test]
    fn answers_teach_how_long_to_wait() {
        let (mut handout, now) = (Handout::new(9, 1, MINUTE), Instant::now());
        due(&mut handout, now);
        handout.answered(0, masks(), now + Duration::from_secs(3));
        assert_eq!(handout.patience(), Duration::from_secs(12));
        due(&mut handout, now);
        handout.answered(1, masks(), now + MINUTE);
        assert_eq!(handout.patience(), MINUTE, "never longer than was said");
    }

    #[test]
    fn answers_that_wait_for_an_earlier_one_are_bounded() {
        let (mut handout, now) = (Handout::new(1000, 8, MINUTE), Instant::now());
        let mut given = BTreeSet::new();
        while let Some((place, _)) = handout.due(now) {
            given.insert(place);
            if place > 0 {
                handout.answered(place, masks(), now);
            }
        }
        assert_eq!(given.len(), AHEAD);
    }
}
