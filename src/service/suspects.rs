//! Which message ends the connections. A broker that closes the connection on a message (a topic that a policy
//! forbids, a packet over a limit that it does not tell) gets the same message again on the next one, and closes that
//! too: nobody would ever be answered again. Pure bookkeeping; what is done with a message found so is `publisher`'s.
//!
//! After the first loss every message that was under way is suspected, and messages go one at a time until each has
//! been acknowledged: what is under way alone when the connection ends is known.

use std::collections::BTreeMap;

/// Connections that must have ended, each with the message under way, before it is taken out.
pub(super) const CONNECTIONS: u32 = 3;

/// Messages that were under way when connections ended, with how many.
#[derive(Debug)]
pub(super) struct Suspects<K> {
    ended: BTreeMap<K, u32>,
}

impl<K> Default for Suspects<K> {
    fn default() -> Self {
        Self { ended: BTreeMap::new() }
    }
}

impl<K: Ord> Suspects<K> {
    /// Whether messages must go one at a time.
    pub fn one_at_a_time(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The broker has answered this one, or it is gone: it ends nothing.
    pub fn cleared(&mut self, message: &K) {
        self.ended.remove(message);
    }

    /// Nothing is left to be sent.
    pub fn all_cleared(&mut self) {
        self.ended.clear();
    }

    /// How many connections have ended with this one under way.
    pub fn ended_with(&self, message: &K) -> u32 {
        self.ended.get(message).copied().unwrap_or(0)
    }

    /// The broker has ended a connection with these under way; returns those to be taken out.
    pub fn connection_ended(&mut self, under_way: impl IntoIterator<Item = K>) -> Vec<K> {
        let mut found = Vec::new();
        for message in under_way {
            let before = self.ended.remove(&message).unwrap_or(0);
            if before + 1 >= CONNECTIONS {
                found.push(message);
            } else {
                self.ended.insert(message, before + 1);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_one_that_ends_three_connections_is_found_and_nobody_else() {
        let mut suspects = Suspects::default();
        assert!(suspects.connection_ended([1, 2, 3]).is_empty());
        assert!(suspects.one_at_a_time());
        suspects.cleared(&1);
        assert!(suspects.connection_ended([2]).is_empty());
        assert_eq!(suspects.connection_ended([2]), [2]);
        suspects.cleared(&3);
        assert!(!suspects.one_at_a_time());
    }

    proptest! {
        /// A broker that hangs up on some messages, and a sender that does as told: all others arrive, and exactly
        /// those are taken out, at the cost of three connections each at most.
        #[test]
        fn whatever_ends_connections_is_taken_out_and_all_others_arrive(
            poison in proptest::collection::vec(any::<bool>(), 1..24),
            window in 1_usize..9,
        ) {
            let mut suspects = Suspects::default();
            let mut waiting: Vec<usize> = (0..poison.len()).collect();
            let (mut arrived, mut out, mut losses) = (Vec::new(), Vec::new(), 0);
            while !waiting.is_empty() {
                let most = if suspects.one_at_a_time() { 1 } else { window };
                let sent: Vec<usize> = waiting.iter().copied().take(most).collect();
                let ends = sent.iter().position(|message| poison[*message]);
                for message in &sent[..ends.unwrap_or(sent.len())] {
                    suspects.cleared(message);
                    arrived.push(*message);
                    waiting.retain(|other| other != message);
                }
                if let Some(ends) = ends {
                    losses += 1;
                    let found = suspects.connection_ended(sent[ends..].iter().copied());
                    waiting.retain(|message| !found.contains(message));
                    out.extend(found);
                }
            }
            prop_assert!(arrived.iter().all(|message| !poison[*message]));
            prop_assert!(out.iter().all(|message| poison[*message]));
            prop_assert_eq!(arrived.len() + out.len(), poison.len());
            prop_assert!(losses <= 3 * out.len());
        }
    }
}
