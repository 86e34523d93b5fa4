//! What a CRS in well-known text means: its own EPSG code if it carries one, else its parameters. The dialects are
//! those that files carry: GDAL's WKT 1 (which geosam's manifests hold), ESRI's, and WKT 2 of 2015 and 2019.

use super::bound::{DEGREE, is_degree, shift_to_wgs84};
use super::crs::Crs;
use super::described::{Described, Projection};
use super::error::GeoError;
use super::wkt::{MAX_BYTES, Node};

const GEOGRAPHIC: &[&str] = &["GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEODCRS", "GEODETICCRS"];
const PROJECTED: &[&str] = &["PROJCS", "PROJCRS", "PROJECTEDCRS"];
const BASE: &[&str] = &["GEOGCS", "BASEGEOGCRS", "BASEGEODCRS"];
const COMPOUND: &[&str] = &["COMPD_CS", "COMPOUNDCRS"];
const UNITS: &[&str] = &["UNIT", "LENGTHUNIT", "ANGLEUNIT", "SCALEUNIT"];

/// The CRS of a WKT.
pub(super) fn crs_from_wkt(text: &str) -> Result<Crs, GeoError> {
    let root = Node::parse(text).map_err(|problem| GeoError::not_a_crs(text, problem))?;
    let mut node = &root;
    if node.is(COMPOUND) {
        node = node
            .children()
            .next()
            .ok_or_else(|| GeoError::not_a_crs(text, "its compound CRS has no parts"))?;
    }
    let mut shift = None;
    if node.is(&["BOUNDCRS"]) {
        let source = node.child(&["SOURCECRS"]).and_then(|source| source.children().next());
        shift =
            Some(bound_shift(node).map_err(|why| GeoError::unknown_crs(source.map_or("", Node::name), why))?);
        node = source.ok_or_else(|| GeoError::not_a_crs(text, "its BOUNDCRS has no SOURCECRS"))?;
    }
    let name = node.name();
    if !node.is(GEOGRAPHIC) && !node.is(PROJECTED) {
        return Err(match node.keyword().to_ascii_uppercase().as_str() {
            "LOCAL_CS" | "ENGCRS" | "ENGINEERINGCRS" | "GEOCCS" | "VERT_CS" | "VERTCRS" => {
                GeoError::unknown_crs(
                    name,
                    format!("it is a {} without longitude and latitude", node.keyword()),
                )
            }
            _ => GeoError::not_a_crs(text, "its WKT is not that of a geographic or projected CRS"),
        });
    }
    let shift = shift.or_else(|| datum_of(node).and_then(|datum| own_shift(datum)));
    let code =
        node.id().filter(|(authority, _)| authority.eq_ignore_ascii_case("EPSG")).map(|(_, code)| code);
    let code = code.or_else(|| is_web_mercator(node).then_some(3857));
    if let Some(code) = code {
        let crs = Crs::from_epsg(code)?;
        // A shift of its own beside a code: GDAL and PROJ go by the shift.
        if shift.as_deref().is_none_or(|shift| crs.has_shift(shift)) {
            return Ok(crs.named(name.to_owned()));
        }
    }
    let mut described = describe(node).map_err(|why| GeoError::unknown_crs(name, why))?;
    described.to_wgs84 = shift;
    described.into_crs()
}

/// Whether a text can be a WKT: cheap, to choose the reader.
pub(super) fn looks_like_wkt(text: &str) -> bool {
    text.len() <= MAX_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.contains(['[', '('])
}

fn datum_of<'a>(node: &'a Node<'a>) -> Option<&'a Node<'a>> {
    let geographic = if node.is(PROJECTED) { node.child(BASE)? } else { node };
    geographic.child(&["DATUM", "GEODETICDATUM", "TRF", "ENSEMBLE"])
}

/// The numbers of `TOWGS84[...]` in a datum.
fn own_shift(datum: &Node<'_>) -> Option<Vec<f64>> {
    Some(datum.child(&["TOWGS84"])?.numbers().collect())
}

/// The shift of a BOUNDCRS to WGS 84.
fn bound_shift(node: &Node<'_>) -> Result<Vec<f64>, String> {
    let target = node.child(&["TARGETCRS"]).and_then(|target| target.children().next());
    let operation = node.child(&["ABRIDGEDTRANSFORMATION"]).ok_or("it is bound without a transformation")?;
    let method = operation.child(&["METHOD"]).map_or("", Node::name);
    let parameters = operation.children().filter(|child| child.is(&["PARAMETER"])).map(|parameter| {
        (parameter.name(), parameter.numbers().next().unwrap_or(f64::NAN), unit_of(parameter))
    });
    shift_to_wgs84(target.map_or("", Node::name), method, parameters)
}

/// The factor of a unit that stands directly in a node, to metres, radians or 1.
fn unit_of(node: &Node<'_>) -> Option<f64> {
    node.child(UNITS)?.numbers().next()
}

/// Web Mercator projects WGS 84 as if it were a sphere, which its WKT 1 says in an extension only; ESRI has a name
/// of its own for it.
fn is_web_mercator(node: &Node<'_>) -> bool {
    node.child(&["EXTENSION"]).is_some_and(|extension| {
        let mut texts = extension.texts();
        let is_proj4 = texts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("PROJ4"));
        let mut parameters = texts.next().unwrap_or_default().split_ascii_whitespace();
        is_proj4 && parameters.clone().any(|p| p == "+proj=merc") && parameters.all(is_of_web_mercator)
    })
}

/// Whether a parameter in PROJ.4 syntax is one of Web Mercator's.
fn is_of_web_mercator(parameter: &str) -> bool {
    let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    match key {
        "+a" | "+b" => value.parse() == Ok(6_378_137.0),
        "+lat_ts" | "+lon_0" | "+x_0" | "+y_0" => value.parse() == Ok(0.0),
        "+k" => value.parse() == Ok(1.0),
        "+proj" => value == "merc",
        "+units" => value == "m",
        "+nadgrids" => value == "@null",
        _ => ["+wktext", "+no_defs", "+type"].contains(&key),
    }
}

fn method_name<'a>(node: &'a Node<'a>) -> &'a str {
    let conversion = node.child(&["CONVERSION"]).unwrap_or(node);
    conversion.child(&["METHOD", "PROJECTION"]).map_or("", Node::name)
}

fn describe(node: &Node<'_>) -> Result<Described, String> {
    let geographic = match node.is(PROJECTED) {
        true => node.child(BASE).ok_or("its geographic CRS is missing")?,
        false => node,
    };
    let datum = datum_of(node).ok_or("its datum is missing")?;
    let ellipsoid = datum.child(&["SPHEROID", "ELLIPSOID"]).ok_or("its ellipsoid is missing")?;
    let mut shape = ellipsoid.numbers();
    let (Some(a), Some(inverse_flattening)) = (shape.next(), shape.next()) else {
        return Err("its ellipsoid is incomplete".to_owned());
    };
    let meridian =
        geographic.child(&["PRIMEM", "PRIMEMERIDIAN"]).and_then(|meridian| meridian.numbers().next());
    let mut described = Described {
        name: node.name().to_owned(),
        datum: datum.name().to_owned(),
        ellipsoid: Some((a * unit_of(ellipsoid).unwrap_or(1.0), inverse_flattening)),
        prime_meridian: meridian.unwrap_or(0.0),
        to_wgs84: None,
        projection: None,
    };
    // The angles of WKT 1 are in the unit of the geographic CRS.
    let angle =
        unit_of(geographic).or_else(|| geographic.child(&["AXIS"]).and_then(unit_of)).unwrap_or(DEGREE);
    if !is_degree(angle) {
        return Err("its angles are not in degrees".to_owned());
    }
    if let Some(extension) = node.child(&["EXTENSION"]) {
        return Err(format!("it depends on an extension ({})", extension.name()));
    }
    if node.is(PROJECTED) {
        described.projection = Some(projection(node)?);
    } else {
        check_directions(&axes(node), false)?;
    }
    Ok(described)
}

fn projection(node: &Node<'_>) -> Result<Projection, String> {
    let holder = node.child(&["CONVERSION"]).unwrap_or(node);
    let unit = unit_of_coordinates(node)?;
    let parameters = holder
        .children()
        .filter(|child| child.is(&["PARAMETER"]))
        .map(|parameter| {
            let name = parameter.name().to_owned();
            let value =
                parameter.numbers().next().ok_or_else(|| format!("its parameter {name} has no value"))?;
            let is_length = name.to_ascii_lowercase().starts_with("false")
                || name.starts_with("Easting")
                || name.starts_with("Northing");
            Ok(match parameter.child(UNITS) {
                Some(unit) if unit.is(&["ANGLEUNIT"]) => {
                    let factor = unit.numbers().next().unwrap_or(DEGREE);
                    let value = if is_degree(factor) { value } else { value * factor / DEGREE };
                    (name, value)
                }
                Some(unit) => (name, value * unit.numbers().next().unwrap_or(1.0)),
                None if is_length => (name, value * unit),
                None => (name, value),
            })
        })
        .collect::<Result<_, String>>()?;
    Ok(Projection { method: method_name(node).to_owned(), parameters, unit })
}

/// The first two axes of a CRS.
fn axes<'a>(node: &'a Node<'a>) -> Vec<&'a Node<'a>> {
    node.children().filter(|child| child.is(&["AXIS"])).take(2).collect()
}

/// Refuses axes that do not run east and north, save around the poles.
fn check_directions(axes: &[&Node<'_>], polar: bool) -> Result<(), String> {
    let mut directions: Vec<String> =
        axes.iter().filter_map(|axis| axis.words().next()).map(str::to_ascii_lowercase).collect();
    directions.sort();
    match directions.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["east", "north"] => Ok(()),
        ["north", "north"] | ["south", "south"] if polar => Ok(()),
        other => Err(format!("its axes run {}", other.join(" and "))),
    }
}

/// Metres in one unit of the coordinates.
fn unit_of_coordinates(node: &Node<'_>) -> Result<f64, String> {
    let axes = axes(node);
    let method = method_name(node).to_ascii_lowercase();
    check_directions(&axes, method.contains("stereographic") || method.contains("azimuthal"))?;
    let unit = unit_of(node).or_else(|| axes.first().copied().and_then(unit_of));
    Ok(unit.unwrap_or(1.0))
}
