//! Which version of MQTT to speak where nobody says: 5, or 3.1.1 with a broker that does not take 5. Pure.

use super::message::Protocol;
use super::options::ProtocolChoice;
use super::refusal::VersionDoubt;

/// What is known of the versions that the broker speaks. It is kept for this run of the program.
#[derive(Debug)]
pub(super) struct Versions {
    choice: ProtocolChoice,
    current: Protocol,
    /// The broker has been seen to speak the present one, or not to speak the other.
    known: bool,
    guess: Guess,
}

/// How sure it is that a broker which does not answer MQTT 5 does not know it: it may have hung, as one that starts with the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// Nothing was guessed.
    None,
    /// It was once, and is to be tried again when the connection has ended.
    Once,
    /// It was again, and stays.
    Again,
}

impl Versions {
    pub(super) const fn new(choice: ProtocolChoice) -> Self {
        let current = match choice {
            ProtocolChoice::Auto => Protocol::V5,
            ProtocolChoice::Only(protocol) => protocol,
        };
        Self { choice, current, known: false, guess: Guess::None }
    }

    /// The version of the next attempt.
    pub(super) const fn current(&self) -> Protocol {
        self.current
    }

    /// There is a connection. Says whether that is news, and not what was tried first.
    pub(super) fn connected(&mut self) -> bool {
        let news = !self.known && self.choice == ProtocolChoice::Auto && self.current == Protocol::V311;
        self.known = true;
        news
    }

    /// A connection has ended. One of 3.1.1 to a broker that once did not answer MQTT 5 does not settle that it knows none: it is asked
    /// once more.
    pub(super) fn ended(&mut self) {
        if self.guess == Guess::Once && self.current == Protocol::V311 {
            (self.current, self.known, self.guess) = (Protocol::V5, false, Guess::Again);
        }
    }

    /// An attempt has failed before there was a connection. Says whether another version is to be tried at once.
    pub(super) fn failed(&mut self, doubt: VersionDoubt) -> bool {
        if self.choice != ProtocolChoice::Auto {
            return false;
        }
        match (self.current, doubt) {
            (_, VersionDoubt::None) => false,
            (_, VersionDoubt::Spoken) => {
                self.known = true;
                false
            }
            (Protocol::V5, VersionDoubt::Certain) => {
                (self.current, self.known, self.guess) = (Protocol::V311, true, Guess::None);
                true
            }
            (Protocol::V5, VersionDoubt::Possible) if !self.known => {
                self.current = Protocol::V311;
                if self.guess == Guess::None {
                    self.guess = Guess::Once;
                }
                true
            }
            // Neither is answered: the broker has other trouble. From the beginning, after a wait.
            (Protocol::V311, VersionDoubt::Possible) if !self.known => {
                self.current = Protocol::V5;
                false
            }
            // It is another broker than before.
            (Protocol::V311, VersionDoubt::Certain) => {
                (self.current, self.known, self.guess) = (Protocol::V5, false, Guess::None);
                false
            }
            (_, VersionDoubt::Possible) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_of_3_1_1_is_found_at_once_and_stays_so() {
        for doubt in [VersionDoubt::Certain, VersionDoubt::Possible] {
            let mut versions = Versions::new(ProtocolChoice::Auto);
            assert_eq!(versions.current(), Protocol::V5);
            assert!(versions.failed(doubt));
            assert_eq!(versions.current(), Protocol::V311);
            versions.connected();
            assert!(!versions.failed(VersionDoubt::Possible));
            assert_eq!(versions.current(), Protocol::V311);
        }
    }

    #[test]
    fn a_broker_that_once_did_not_answer_mqtt_5_is_asked_once_more_and_one_that_refused_it_is_not() {
        let mut versions = Versions::new(ProtocolChoice::Auto);
        versions.failed(VersionDoubt::Possible);
        versions.connected();
        versions.ended();
        assert_eq!(versions.current(), Protocol::V5);
        // It still does not: now it stays.
        assert!(versions.failed(VersionDoubt::Possible));
        versions.connected();
        versions.ended();
        assert_eq!(versions.current(), Protocol::V311);

        let mut versions = Versions::new(ProtocolChoice::Auto);
        versions.failed(VersionDoubt::Certain);
        versions.connected();
        versions.ended();
        assert_eq!(versions.current(), Protocol::V311);
    }

    #[test]
    fn a_broker_that_answers_neither_is_asked_in_turn_and_one_that_was_there_only_in_its_own() {
        let mut versions = Versions::new(ProtocolChoice::Auto);
        assert!(versions.failed(VersionDoubt::Possible));
        assert!(!versions.failed(VersionDoubt::Possible), "only after a wait");
        assert_eq!(versions.current(), Protocol::V5);
        assert!(!versions.connected());
        assert!(!versions.failed(VersionDoubt::Possible));
        assert_eq!(versions.current(), Protocol::V5);
    }

    #[test]
    fn a_refusal_in_3_1_1_shows_that_it_is_spoken() {
        let mut versions = Versions::new(ProtocolChoice::Auto);
        versions.failed(VersionDoubt::Possible);
        assert!(!versions.failed(VersionDoubt::Spoken));
        assert!(!versions.failed(VersionDoubt::Possible));
        assert_eq!(versions.current(), Protocol::V311);
    }

    #[test]
    fn what_was_asked_for_is_never_left() {
        let mut versions = Versions::new(ProtocolChoice::Only(Protocol::V5));
        assert!(!versions.failed(VersionDoubt::Certain));
        assert_eq!(versions.current(), Protocol::V5);
    }
}
