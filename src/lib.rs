//! Promptable segmentation of pre-encoded Geo-SAM folders, offline, on small boards.
//!
//! The way of a prompt, from top to bottom; dependencies run downward only:
//!
//! ```text
//! request (MQTT or command line)  api, bus, service, web, cli
//!   -> prompt set in, feature out engine
//!   -> chip chosen                catalog
//!   -> features read              features
//!   -> prepared once, decoded     decoder   (weights from models)
//!   -> logits to mask to rings    mask
//!   -> smoothed, squared          outline
//!   -> reprojected, GeoJSON       geo
//! ```
//!
//! `engine` knows nothing of MQTT, `decoder` nothing of geography, `session` nothing of threads.

pub mod accelerator;
pub mod api;
pub mod broker_check;
pub mod bus;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod cot;
pub mod decoder;
#[cfg(feature = "demo")]
pub mod demo;
pub mod durable;
pub mod engine;
pub mod error_code;
pub mod family;
pub mod features;
mod free_name;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod geo;
pub mod huge_pages;
pub mod layers;
pub mod machine;
pub mod mask;
pub mod models;
pub mod outline;
pub mod picture;
pub mod program;
mod regular_file;
mod rfc3339;
pub mod service;
pub mod session;
mod stand_in;
pub mod store;
#[cfg(feature = "web")]
pub mod web;

pub use error_code::ErrorCode;
pub use family::Family;
