//! The messages of the interface, version 1: requests in, responses out, as JSON.
//!
//! Parsing is strict and pure: no file, CRS or folder is touched here, so that the same code serves
//! the command line (`segment --request`) and the MQTT service. What a request means is the engine's
//! affair; which topic it came on is the bus's.

mod each;
mod error;
mod everything;
mod finish;
mod geojson_prompt;
mod json;
mod keys;
mod limits;
mod names;
mod not_utf8;
mod output;
mod parse;
mod prompt;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod tree;
mod values;

pub(crate) use each::{ObjectGroup, bare_feature, group_by_object, properties_of};
pub use error::RequestError;
pub use everything::{EverythingOptions, MOST_POINTS_PER_SIDE};
pub use finish::{FINISH_KEYS, Finish, MOST_SMOOTH};
pub(crate) use json::is_utf16;
pub(crate) use json::nesting;
pub use json::{JsonError, parse_bounded};
pub use keys::{ENTRY_KEYS, KEYS, Key, check_keys};
pub use limits::Limits;
pub(crate) use names::{MAX_NAME, first_digits, short_digest};
pub use names::{NameError, check_folder_name, check_name, escape_name};
pub use not_utf8::NotUtf8;
pub use output::{MOST_TOLERANCE, OUTPUT_KEYS};
pub use parse::{MAX_CHIPS, MAX_IDS, parse_request, parse_request_with};
pub use prompt::checked_box;
pub use request::{
    CrsChoice, Multimask, OnTooLarge, OutputOptions, PromptItem, PromptSet, Request, RequestId, Said,
    Vectorization,
};
pub use response::{
    ApiError, ChipSide, ErrorStatus, Feature, FeatureCollection, Incomplete, LegacyCrs, MaskProperties,
    MaskReport, NotRefined, OkStatus, Outcome, OutlineReport, RefineReport, Response, RightAngles,
    StitchReport, Timing,
};

/// The version of this interface, as told in `info`.
pub const API_VERSION: u32 = 1;
