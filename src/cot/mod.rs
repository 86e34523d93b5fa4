//! Cursor on Target, live: saved objects of layers as events on the maps of TAK, as they are saved, changed and deleted.
//!
//! ```text
//! service: a change is in its layer's file --> keeper: what receivers may show, what they must be told
//!                                                 |
//!                              target --> link --> udp://, tcp://, tls://, a topic of the broker
//!
//!          only with a layer for markers:  link --> heard --> markers --> a request on the broker, as a client's
//! ```
//!
//! One thread with a task for the keeper and one for each target; whatever becomes of them, the service goes on, and
//! nobody waits for them. Nothing in the protocol acknowledges an event, so the present state is sent again: all objects
//! after each connection is made, and at an interval. What must not be shown any more is known from a list of what was
//! sent (`known`), which outlives a restart.
//!
//! # Invariants
//!
//! 1. What is handed over by the service ([`CotLive::changed`]) takes a moment's lock and a bounded copy; where the copies would
//!    take too much memory they are dropped, and layer files are read instead.
//! 2. Memory: 10,000 objects (`known::MOST`) are known by id, layer and boxes; changes that wait have at most a few MiB; of a
//!    layer's file one line a target.
//! 3. A part that was sent and is gone is deleted at every target, in two steps, once each is reached, also after a restart.
//! 4. Nothing is sent before the clock is set.
//! 5. What a target sends changes nothing but by such a request. Of it a tag is held at a time, and of markers at most 256 that
//!    wait for an answer and the ids of 10,000; a stream that cannot be read does not keep events from being sent.
//!
//! What the text of a shape is stands in [`crate::layers::export`]; here is what is said around it.

mod asked;
mod heard;
mod keeper;
mod known;
mod ledger;
mod link;
mod markers;
mod options;
mod shared;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod thread;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use heard::markers_in;
pub(crate) use ledger::FILE_NAME as LEDGER_NAME;
pub use options::{CotOptions, CotTarget, TAKEN_LEVELS, check};
pub(crate) use thread::CotThread;
pub use thread::{CotLive, Outlet};
