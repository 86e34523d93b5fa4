//! The member `finish` of a request's `output`: outlines that people can use.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Parsed, RequestError};
use super::values::{boolean, given, kind_of, known_keys, wrong_type};

/// How outlines are finished; nothing is by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Finish {
    /// Holes with a smaller geodesic area are filled, in square metres.
    pub fill_holes_m2: f64,
    /// Staircases of pixels are smoothed over so many source pixels along the outline, which moves by no more than that.
    pub smooth: f64,
    /// Outlines get right angles where these fit the mask.
    pub right_angles: bool,
}

/// Staircases are smoothed over so many source pixels at the most.
pub const MOST_SMOOTH: f64 = 64.0;

/// The keys of `output.finish`, in the order of the documentation.
pub const FINISH_KEYS: &[&str] = &["fill_holes_m2", "smooth", "right_angles"];

pub(super) fn finish_from(value: &Value, inherited: Finish, path: &str) -> Parsed<Finish> {
    let Value::Object(object) = value else {
        return Err(RequestError::bad(
            format!("{path}finish"),
            format!("is {}; send an object", kind_of(value)),
        ));
    };
    let path = format!("{path}finish.");
    known_keys(object, FINISH_KEYS, &path)?;
    let mut finish = inherited;
    if let Some(value) = given(object, "fill_holes_m2") {
        let area = value.as_f64().filter(|n| n.is_finite() && *n >= 0.0);
        finish.fill_holes_m2 =
            area.ok_or_else(|| wrong_type(&path, "fill_holes_m2", value, "a number of 0 or more"))?;
    }
    if let Some(value) = given(object, "smooth") {
        let pixels = value.as_f64().filter(|n| (0.0..=MOST_SMOOTH).contains(n));
        finish.smooth = pixels.ok_or_else(|| wrong_type(&path, "smooth", value, "a number from 0 to 64"))?;
    }
    finish.right_angles = boolean(object, &path, "right_angles")?.unwrap_or(finish.right_angles);
    Ok(finish)
}
