//! The datum shift of a CRS that a text binds to WGS 84: BOUNDCRS of WKT 2 and PROJJSON.

/// One degree in radians.
pub(super) const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// Whether a unit of so many radians is the degree, which texts write with more or fewer digits.
pub(super) fn is_degree(radians: f64) -> bool {
    (radians - DEGREE).abs() <= 1e-12
}

/// The shift of a CRS that is bound to another, as TOWGS84 has it: metres, arc-seconds, parts per million. Parameters
/// are name, value and, where one is given, the factor of their unit to metres, radians or 1.
pub(super) fn shift_to_wgs84<'a>(
    target: &str,
    method: &str,
    parameters: impl Iterator<Item = (&'a str, f64, Option<f64>)>,
) -> Result<Vec<f64>, String> {
    if target != "WGS 84" {
        return Err(format!("it is bound to \"{target}\", not to WGS 84"));
    }
    let sign = match method.split(" (").next().unwrap_or_default() {
        "Geocentric translations" | "Position Vector transformation" => 1.0,
        "Coordinate Frame rotation" => -1.0,
        _ => return Err(format!("it is bound by the method \"{method}\", which is not in the tested list")),
    };
    let mut numbers = Vec::new();
    for (name, value, unit) in parameters {
        numbers.push(match (name, numbers.len()) {
            ("X-axis translation", 0) | ("Y-axis translation", 1) | ("Z-axis translation", 2) => value,
            // Abridged, rotations are arc-seconds where no unit is given, a scale is parts per million; PROJ
            // writes the scale as the whole factor.
            ("X-axis rotation", 3) | ("Y-axis rotation", 4) | ("Z-axis rotation", 5) => {
                sign * value * unit.map_or(1.0, |radians| radians * 3600.0 / DEGREE)
            }
            ("Scale difference", 6) if (value - 1.0).abs() <= 0.001 => (value - 1.0) * 1e6,
            ("Scale difference", 6) => value * unit.map_or(1.0, |factor| factor * 1e6),
            _ => return Err(format!("it is bound by the parameter \"{name}\", which is not understood")),
        });
    }
    Ok(numbers)
}
