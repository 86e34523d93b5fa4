//! A CRS in PROJJSON, as GeoParquet's metadata holds it: its own EPSG code if it carries one, else its parameters.
//! Specification: <https://proj.org/specifications/projjson.html>.

use serde_json::Value;

use super::bound::{DEGREE, shift_to_wgs84};
use super::crs::Crs;
use super::described::{Described, Projection};
use super::error::GeoError;

/// Longest text that is read.
const MAX_BYTES: usize = 256 * 1024;

/// The CRS of a PROJJSON text.
pub(super) fn crs_from_projjson(text: &str) -> Result<Crs, GeoError> {
    if text.len() > MAX_BYTES {
        return Err(GeoError::not_a_crs(text, format!("its PROJJSON is longer than {MAX_BYTES} bytes")));
    }
    // serde_json refuses nesting beyond 128 levels.
    let root: Value = serde_json::from_str(text)
        .map_err(|error| GeoError::not_a_crs(text, format!("it is not valid PROJJSON ({error})")))?;
    let mut node = &root;
    let mut bound = None;
    // A compound CRS counts by its horizontal part, a bound one by its source and its shift.
    for _ in 0..3 {
        node = match node["type"].as_str() {
            Some("CompoundCRS") => &node["components"][0],
            Some("BoundCRS") => {
                bound = Some(node);
                &node["source_crs"]
            }
            _ => break,
        };
    }
    let name = node["name"].as_str().unwrap_or_default();
    let projected = match node["type"].as_str() {
        Some("ProjectedCRS") => true,
        Some("GeographicCRS" | "GeodeticCRS") => false,
        Some(kind) => {
            return Err(GeoError::unknown_crs(name, format!("it is a {kind}")));
        }
        None => return Err(GeoError::not_a_crs(text, "its PROJJSON has no type")),
    };
    let refuse = |why: String| GeoError::unknown_crs(name, why);
    let shift = bound.map(bound_shift).transpose().map_err(refuse)?;
    if let Some(code) = epsg_code(node) {
        let crs = Crs::from_epsg(code)?;
        if shift.as_deref().is_none_or(|shift| crs.has_shift(shift)) {
            return Ok(crs.named(name.to_owned()));
        }
    }
    let geographic = if projected { &node["base_crs"] } else { node };
    let datum =
        if geographic["datum"].is_object() { &geographic["datum"] } else { &geographic["datum_ensemble"] };
    let ellipsoid = &datum["ellipsoid"];
    let shape = match (number(&ellipsoid["semi_major_axis"]), number(&ellipsoid["radius"])) {
        (Some(a), _) => number(&ellipsoid["inverse_flattening"]).map(|flattening| (a, flattening)),
        (None, radius) => radius.map(|radius| (radius, 0.0)),
    };
    let described = Described {
        name: name.to_owned(),
        datum: datum["name"].as_str().unwrap_or_default().to_owned(),
        ellipsoid: shape,
        prime_meridian: match &datum["prime_meridian"]["longitude"] {
            Value::Null => 0.0,
            longitude => number(longitude).unwrap_or(f64::NAN),
        },
        to_wgs84: shift,
        projection: if projected { Some(projection(node).map_err(refuse)?) } else { None },
    };
    described.into_crs()
}

/// The EPSG code of the CRS itself, from `id` or the first fitting of `ids`; OGC:CRS84 is 4326 with our axis order.
fn epsg_code(node: &Value) -> Option<u32> {
    let ids = node["ids"].as_array().map_or(&[][..], Vec::as_slice);
    std::iter::once(&node["id"]).chain(ids).find_map(|id| {
        let (authority, code) = (id["authority"].as_str()?, &id["code"]);
        if authority.eq_ignore_ascii_case("OGC") && code.as_str() == Some("CRS84") {
            return Some(4326);
        }
        let code = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
        authority.eq_ignore_ascii_case("EPSG").then(|| u32::try_from(code).ok())?
    })
}

fn bound_shift(node: &Value) -> Result<Vec<f64>, String> {
    let operation = &node["transformation"];
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let parameters = parameters.iter().map(|parameter| {
        let unit = match &parameter["unit"] {
            Value::String(name) if name == "degree" => Some(DEGREE),
            Value::String(name) if name == "unity" => Some(1.0),
            unit => unit["conversion_factor"].as_f64(),
        };
        let name = parameter["name"].as_str().unwrap_or_default();
        (name, parameter["value"].as_f64().unwrap_or(f64::NAN), unit)
    });
    let target = node["target_crs"]["name"].as_str().unwrap_or_default();
    shift_to_wgs84(target, operation["method"]["name"].as_str().unwrap_or_default(), parameters)
}

/// A number, or one with a unit of its own in the form `{"value": .., "unit": ..}`: only the base unit serves.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Object(_) => {
            let factor = match &value["unit"] {
                Value::String(_) => 1.0,
                unit => unit["conversion_factor"].as_f64()?,
            };
            Some(value["value"].as_f64()? * factor)
        }
        _ => value.as_f64(),
    }
}

fn projection(node: &Value) -> Result<Projection, String> {
    let mut unit = 1.0;
    let axes = node["coordinate_system"]["axis"].as_array().map_or(&[][..], Vec::as_slice);
    let mut directions: Vec<&str> =
        axes.iter().take(2).filter_map(|axis| axis["direction"].as_str()).collect();
    directions.sort_unstable();
    let method = node["conversion"]["method"]["name"].as_str().unwrap_or_default();
    let polar = method.contains("Stereographic") || method.contains("Azimuthal");
    match directions.as_slice() {
        [] | ["east", "north"] => {}
        ["north", "north"] | ["south", "south"] if polar => {}
        other => return Err(format!("its axes run {}", other.join(" and "))),
    }
    if let Some(axis) = axes.first() {
        unit = length_unit(&axis["unit"]).ok_or("the unit of its axes is not understood")?;
    }
    let parameters = node["conversion"]["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let parameters = parameters
        .iter()
        .map(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            let value = parameter["value"].as_f64();
            let factor = match parameter["unit"].as_str() {
                Some("degree" | "unity") => Some(1.0),
                Some(_) | None => length_unit(&parameter["unit"]),
            };
            match value.zip(factor) {
                Some((value, factor)) => Ok((name, value * factor)),
                None => Err(format!("its parameter {name} is not understood")),
            }
        })
        .collect::<Result<_, String>>()?;
    Ok(Projection { method: method.to_owned(), parameters, unit })
}

/// Metres in a unit of length.
fn length_unit(unit: &Value) -> Option<f64> {
    match unit {
        Value::String(name) => (name == "metre").then_some(1.0),
        _ => unit["conversion_factor"].as_f64().filter(|_| unit["type"] == "LinearUnit"),
    }
}
