//! The appliance: requests from the bus, through the store and the engine, back to the bus.
//!
//! ```text
//! broker <-> bus thread -> clerk --queue--> workers (engine)
//!                            | ^---------------+
//!                            +-> store, layers, publisher -> broker
//!            watcher --------^
//! ```
//!
//! - The *bus thread* hands events on, a few ahead of the clerk. The rest waits in the bus's bounded queue, so the
//!   connection itself never waits for the card or the decoder.
//! - The *clerk* is the only one that changes the store. It commits what has gathered, then acknowledges, runs,
//!   publishes. A request is acknowledged when it is durable; an answer leaves the outbox on the broker's PUBACK.
//! - *Workers* take requests from the queue (clients by turns, real ones before previews) and give their outcome to the
//!   clerk.
//! - The *watcher* looks after folders and cards, each root's by a thread of its own, since a card may hang.
//!
//! Nothing here knows which broker library is used, nor how the command line looks.

mod admission;
mod announce;
mod aside;
mod attempts;
mod bus_thread;
mod clerk;
mod context;
mod echo;
mod error;
mod folders;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
mod health;
mod job;
mod masks;
mod office;
mod options;
mod packets;
mod performed;
mod publisher;
mod pulse;
mod queue;
mod roots;
mod run;
mod saved_feature;
mod schedule;
mod shown;
#[cfg(test)]
#[path = "../../tests/support/stuck.rs"]
mod stuck;
mod suspects;
#[cfg(test)]
mod tests;
mod unanswered;
mod undelivered;
mod under_way;
mod verbs;
mod watcher;
mod worker;

pub(crate) use attempts::FILE_NAME as ATTEMPTS_NAME;
pub use error::ServiceError;
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzzing::{Judged, judged};
pub use masks::MaskLimits;
pub use options::ServiceOptions;
pub use run::{Service, Stopper};
pub use shown::{FoldersShown, ShownFolder};
