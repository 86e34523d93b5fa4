//! The `output` member of a request: what the answer should look like.

use serde_json::Value;

use super::error::{Parsed, RequestError};
use super::finish::finish_from;
use super::request::{Multimask, OnTooLarge, OutputOptions, Vectorization};
use super::values::{boolean, crs_from, given, kind_of, known_keys, whole, wrong_type};

/// The keys of `output`, in the order of the documentation.
pub const OUTPUT_KEYS: &[&str] = &[
    "crs",
    "vectorization",
    "tolerance",
    "largest_only",
    "min_area_m2",
    "finish",
    "measures",
    "multimask",
    "max_bytes",
    "on_too_large",
];

/// The greatest tolerance of simplification, in source pixels: of an outline on one chip nothing is left by then.
pub const MOST_TOLERANCE: f64 = 1024.0;

pub(super) fn output_from(value: &Value, inherited: OutputOptions, path: &str) -> Parsed<OutputOptions> {
    let path = format!("{path}output.");
    let Value::Object(object) = value else {
        let key = path.trim_end_matches('.');
        return Err(RequestError::bad(key, format!("is {}; send an object", kind_of(value))));
    };
    known_keys(object, OUTPUT_KEYS, &path)?;
    let mut output = inherited;
    if let Some(value) = given(object, "crs") {
        output.crs = crs_from(value, &format!("{path}crs"))?;
    }
    if let Some(value) = given(object, "vectorization") {
        output.vectorization = match value.as_str() {
            Some("pixel") => Vectorization::Pixel,
            Some("simplified") => Vectorization::Simplified,
            _ => return Err(wrong_type(&path, "vectorization", value, "\"pixel\" or \"simplified\"")),
        };
    }
    if let Some(value) = given(object, "on_too_large") {
        output.on_too_large = match value.as_str() {
            Some("simplify") => OnTooLarge::Simplify,
            Some("error") => OnTooLarge::Error,
            _ => return Err(wrong_type(&path, "on_too_large", value, "\"simplify\" or \"error\"")),
        };
    }
    if let Some(value) = given(object, "tolerance") {
        let pixels = value.as_f64().filter(|n| (0.0..=MOST_TOLERANCE).contains(n));
        output.tolerance = pixels.ok_or_else(|| {
            wrong_type(&path, "tolerance", value, "a number of source pixels from 0 to 1024")
        })?;
    }
    if let Some(value) = given(object, "min_area_m2") {
        let area = value.as_f64().filter(|n| n.is_finite() && *n >= 0.0);
        output.min_area_m2 =
            area.ok_or_else(|| wrong_type(&path, "min_area_m2", value, "a number of 0 or more"))?;
    }
    output.largest_only = boolean(object, &path, "largest_only")?.unwrap_or(output.largest_only);
    if let Some(value) = given(object, "finish") {
        output.finish = finish_from(value, output.finish, &path)?;
    }
    output.measures = boolean(object, &path, "measures")?.unwrap_or(output.measures);
    if let Some(value) = given(object, "multimask") {
        output.multimask = match value {
            Value::Bool(false) => Multimask::Off,
            Value::Bool(true) => Multimask::All,
            Value::String(word) if word == "best" => Multimask::Best,
            _ => return Err(wrong_type(&path, "multimask", value, "true, false or \"best\"")),
        };
    }
    if let Some(value) = given(object, "max_bytes") {
        let bytes = whole(value).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let bytes = bytes.ok_or_else(|| wrong_type(&path, "max_bytes", value, "a whole number above 0"))?;
        output.max_bytes = Some(bytes);
    }
    Ok(output)
}
