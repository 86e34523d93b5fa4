//! The prompt of a request: points, labels, box.

use serde_json::{Map, Value};

use super::error::{Parsed, RequestError};
use super::limits::Limits;
use super::request::PromptSet;
use super::values::{given, numbers, wrong_type};
use crate::geo::Bounds;

pub(super) fn prompt_from(object: &Map<String, Value>, path: &str, limits: &Limits) -> Parsed<PromptSet> {
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
    let bbox = given(object, "bbox").map(|value| bounds_from(value, &format!("{path}bbox"))).transpose()?;
    Ok(PromptSet { points, foreground, bbox })
}

pub(super) fn check_point_count(count: usize, path: &str, limits: &Limits) -> Parsed<()> {
    if count > limits.max_points {
        let problem = format!("has {count} points; at most {} are accepted", limits.max_points);
        return Err(RequestError::bad(format!("{path}points"), problem));
    }
    Ok(())
}

fn bounds_from(value: &Value, key: &str) -> Parsed<Bounds> {
    let [west, south, east, north] = numbers::<4>(value, key, "[west, south, east, north]")?;
    if west >= east {
        let problem = format!(
            "has west {west} not smaller than east {east}; the order is [west, south, east, north], and a \
             box across the antimeridian must be sent as two"
        );
        return Err(RequestError::bad(key, problem));
    }
    if south >= north {
        let problem = format!(
            "has south {south} not smaller than north {north}; the order is [west, south, east, north]"
        );
        return Err(RequestError::bad(key, problem));
    }
    Ok(Bounds::new(west, south, east, north))
}

pub(super) fn label_from(value: &Value, key: &str) -> Parsed<bool> {
    match value.as_u64() {
        Some(1) => Ok(true),
        Some(0) => Ok(false),
        _ => Err(RequestError::bad(key, format!("is {value}; a label is 1 (foreground) or 0 (background)"))),
    }
}
