//! What time it is for the publisher: the system's, or one that tests hold. How long something has waited on a machine with more
//! work than processors says nothing about the broker.

use std::time::Instant;

/// Where the time comes from.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::service) enum Clock {
    #[default]
    System,
    /// It stands still.
    #[cfg(test)]
    Stopped(Instant),
}

impl Clock {
    pub fn now(self) -> Instant {
        match self {
            Self::System => Instant::now(),
            #[cfg(test)]
            Self::Stopped(at) => at,
        }
    }
}
