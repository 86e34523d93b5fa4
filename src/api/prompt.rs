//! The prompt of a request: points, labels, box.

use serde_json::{Map, Value};

use super::error::{Parsed, RequestError};
use super::limits::Limits;
use super::request::{CrsChoice, PromptSet};
use super::values::{given, numbers, whole, wrong_type};
use crate::geo::{Bounds, Told};

pub(super) fn prompt_from(
    object: &Map<String, Value>,
    path: &str,
    crs: CrsChoice,
    limits: &Limits,
) -> Parsed<PromptSet> {
    let points = match given(object, "points") {
        None => Vec::new(),
        Some(Value::Array(list)) => {
            check_point_count(list.len(), path, limits)?;
            let point = |(i, v)| numbers::<2>(v, &format!("{path}points[{i}]"), "[x, y]");
            list.iter().enumerate().map(point).collect::<Parsed<Vec<_>>>()?
        }
        Some(other) => return Err(wrong_type(path, "points", other, "an array of [x, y]")),
    };
    let foreground = match given(object, "labels") {
        None => vec![true; points.len()],
        Some(Value::Array(list)) => {
            let label = |(i, v)| label_from(v, &format!("{path}labels[{i}]"));
            list.iter().enumerate().map(label).collect::<Parsed<Vec<_>>>()?
        }
        Some(other) => return Err(wrong_type(path, "labels", other, "an array of 1 and 0")),
    };
    if foreground.len() != points.len() {
        let problem =
            format!("has {} entries for {} points; give one label a point", foreground.len(), points.len());
        return Err(RequestError::bad(format!("{path}labels"), problem));
    }
    let bbox =
        given(object, "bbox").map(|value| bounds_from(value, &format!("{path}bbox"), crs)).transpose()?;
    Ok(PromptSet { points, foreground, bbox })
}

pub(super) fn check_point_count(count: usize, path: &str, limits: &Limits) -> Parsed<()> {
    if count > limits.max_points {
        let problem = format!("has {count} points; at most {} are accepted", limits.max_points);
        return Err(RequestError::bad(format!("{path}points"), problem));
    }
    Ok(())
}

fn bounds_from(value: &Value, key: &str, crs: CrsChoice) -> Parsed<Bounds> {
    let sides = numbers::<4>(value, key, "[west, south, east, north]")?;
    checked_box(sides, crs).map_err(|problem| {
        RequestError::bad(key, format!("has {problem}; the order is [west, south, east, north]"))
    })
}

/// The box `[west, south, east, north]` of a prompt. In degrees, west may be greater than east: then it lies across the
/// antimeridian (RFC 7946, 5.2), and comes back with its east beyond 180.
///
/// # Errors
/// What is wrong with its sides.
pub fn checked_box([west, south, east, north]: [f64; 4], crs: CrsChoice) -> Result<Bounds, String> {
    if south >= north {
        return Err(format!("south {} not smaller than north {}", Told(south), Told(north)));
    }
    let bounds = Bounds::new(west, south, east, north);
    let geographic = crs.is_geographic();
    let across = if geographic == Some(true) { bounds.across_antimeridian() } else { Some(bounds) };
    match across {
        Some(bounds) if bounds.min_x < bounds.max_x => Ok(bounds),
        _ => {
            let advice = match geographic {
                Some(true) => " (a box across the antimeridian spans 180 degrees at the most)",
                Some(false) => "",
                None => {
                    " (a box across the antimeridian in the folder's own degrees needs 360 added to its east)"
                }
            };
            Err(format!("west {} not smaller than east {}{advice}", Told(west), Told(east)))
        }
    }
}

pub(super) fn label_from(value: &Value, key: &str) -> Parsed<bool> {
    match whole(value) {
        Some(1) => Ok(true),
        Some(0) => Ok(false),
        _ => Err(RequestError::bad(key, format!("is {value}; a label is 1 (foreground) or 0 (background)"))),
    }
}
