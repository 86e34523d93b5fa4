//! The one way to the card: all that the store and the layers write, and files that replace others.
//!
//! Here is how a change becomes durable and what can be counted and made to fail on the way ([`Disk`]). What is written,
//! and when it counts as done, is the affair of `store` and `layers`. Reading goes past this module: it changes nothing.

mod disk;
mod replacement;
#[cfg(test)]
pub(crate) mod simulated;

pub use disk::{Disk, DiskFile, sync_dir};
pub use replacement::{Replacement, is_leftover, unfinished_name};
