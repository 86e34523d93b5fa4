//! A CRS in PROJJSON, as GeoParquet's metadata holds it: its own EPSG code if it carries one, else its parameters.
//! Specification: <https://proj.org/specifications/projjson.html>.

use serde_json::Value;

use super::bound::{DEGREE, is_degree, shift_to_wgs84};
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
    let length = |value: &Value| number(value, length_unit);
    let shape = match (length(&ellipsoid["semi_major_axis"]), length(&ellipsoid["radius"])) {
        (Some(a), _) => ellipsoid["inverse_flattening"].as_f64().map(|flattening| (a, flattening)),
        (None, radius) => radius.map(|radius| (radius, 0.0)),
    };
    let described = Described {
        name: name.to_owned(),
        datum: datum["name"].as_str().unwrap_or_default().to_owned(),
        ellipsoid: shape,
        prime_meridian: match &datum["prime_meridian"]["longitude"] {
            Value::Null => 0.0,
            longitude => number(longitude, angle_unit).unwrap_or(f64::NAN),
        },
        to_wgs84: shift,
        projection: if projected { Some(projection(node).map_err(refuse)?) } else { None },
    };
    if !projected {
        check_degrees(node).map_err(refuse)?;
    }
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
            unit => factor_of(unit),
        };
        let name = parameter["name"].as_str().unwrap_or_default();
        (name, parameter["value"].as_f64().unwrap_or(f64::NAN), unit)
    });
    let target = node["target_crs"]["name"].as_str().unwrap_or_default();
    shift_to_wgs84(target, operation["method"]["name"].as_str().unwrap_or_default(), parameters)
}

/// A number in the base unit, or one with a unit of its own in the form `{"value": .., "unit": ..}`.
fn number(value: &Value, unit: fn(&Value) -> Option<f64>) -> Option<f64> {
    match value {
        Value::Object(_) => Some(value["value"].as_f64()? * unit(&value["unit"])?),
        _ => value.as_f64(),
    }
}

/// The first two axes of a CRS.
fn axes(node: &Value) -> &[Value] {
    let axes = node["coordinate_system"]["axis"].as_array().map_or(&[][..], Vec::as_slice);
    &axes[..axes.len().min(2)]
}

/// Refuses axes that do not run east and north, save around the poles.
fn check_directions(axes: &[Value], polar: bool) -> Result<(), String> {
    let mut directions: Vec<&str> = axes.iter().filter_map(|axis| axis["direction"].as_str()).collect();
    directions.sort_unstable();
    match directions.as_slice() {
        [] | ["east", "north"] => Ok(()),
        ["north", "north"] | ["south", "south"] if polar => Ok(()),
        other => Err(format!("its axes run {}", other.join(" and "))),
    }
}

/// Refuses a geographic CRS whose axes do not run east and north in degrees.
fn check_degrees(node: &Value) -> Result<(), String> {
    let axes = axes(node);
    check_directions(axes, false)?;
    let in_degrees = |unit: &Value| unit.is_null() || angle_unit(unit) == Some(1.0);
    match axes.iter().all(|axis| in_degrees(&axis["unit"])) {
        true => Ok(()),
        false => Err("its angles are not in degrees".to_owned()),
    }
}

fn projection(node: &Value) -> Result<Projection, String> {
    let mut unit = 1.0;
    let axes = axes(node);
    let method = node["conversion"]["method"]["name"].as_str().unwrap_or_default();
    check_directions(axes, method.contains("Stereographic") || method.contains("Azimuthal"))?;
    if let Some(axis) = axes.first() {
        unit = length_unit(&axis["unit"]).ok_or("the unit of its axes is not understood")?;
    }
    let parameters = node["conversion"]["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let parameters = parameters
        .iter()
        .map(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            let value = parameter["value"].as_f64();
            let unit = &parameter["unit"];
            let factor = angle_unit(unit).or_else(|| length_unit(unit)).or_else(|| scale_unit(unit));
            match value.zip(factor) {
                Some((value, factor)) => Ok((name, value * factor)),
                None => Err(format!("its parameter {name} is not understood")),
            }
        })
        .collect::<Result<_, String>>()?;
    Ok(Projection { method: method.to_owned(), parameters, unit })
}

/// The factor of a unit that is written as an object, to metres, radians or 1.
fn factor_of(unit: &Value) -> Option<f64> {
    unit["conversion_factor"].as_f64()
}

/// The factor of a unit to the base of its kind: that has a short name, which PROJ does not write for every CRS (not for
/// one that came from ESRI's WKT), and any unit of the kind may be an object.
fn unit_of(unit: &Value, base: &str, kind: &str) -> Option<f64> {
    match unit {
        Value::String(name) => (name == base).then_some(1.0),
        _ => factor_of(unit).filter(|_| unit["type"] == kind),
    }
}

/// Metres in a unit of length.
fn length_unit(unit: &Value) -> Option<f64> {
    unit_of(unit, "metre", "LinearUnit")
}

/// Degrees in a unit of angles.
fn angle_unit(unit: &Value) -> Option<f64> {
    match unit_of(unit, "degree", "AngularUnit")? {
        radians if unit.is_object() => Some(if is_degree(radians) { 1.0 } else { radians / DEGREE }),
        degrees => Some(degrees),
    }
}

fn scale_unit(unit: &Value) -> Option<f64> {
    unit_of(unit, "unity", "ScaleUnit")
}
