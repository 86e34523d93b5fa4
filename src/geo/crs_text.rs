//! A CRS from the texts that manifests, requests and command lines hold: codes, WKT and PROJJSON. How a WKT is
//! split into a tree lives in `wkt`.

use serde_json::Value;

use super::crs::Crs;
use super::error::GeoError;
use super::wkt::{MAX_BYTES, Node};

/// What to do about a definition that carries no code.
const NO_CODE: &str = "its definition carries no EPSG code and is not one that we know by name; give the raster \
                       a CRS with a code (gdal_edit -a_srs EPSG:n) before encoding";

impl Crs {
    /// The CRS that a text names or defines:
    ///
    /// - a code: `EPSG:32650` in any case, `32650`, `urn:ogc:def:crs:EPSG::32650`, `OGC:CRS84`,
    ///   `http://www.opengis.net/def/crs/EPSG/0/32650`;
    /// - WKT of either generation, or PROJJSON, by the code of its outermost part. Of a compound CRS the
    ///   horizontal part counts, of a bound CRS its source;
    /// - WKT without a code where it is WGS 84, one of its UTM zones, or Web Mercator: under the names of
    ///   EPSG or ESRI, with parameters to match.
    ///
    /// # Errors
    /// [`GeoError::NotACrs`] for a text that cannot be read, [`GeoError::UnknownCrs`] for a CRS outside the
    /// tested list.
    pub fn parse(text: &str) -> Result<Self, GeoError> {
        let trimmed = text.trim();
        if trimmed.starts_with('{') {
            return projjson(trimmed);
        }
        if let Some(code) = code(trimmed)? {
            return Self::from_epsg(code);
        }
        if !trimmed.contains(['[', '(']) {
            return Err(GeoError::not_a_crs(trimmed, "no known authority and no WKT"));
        }
        let node = Node::parse(trimmed).map_err(|problem| GeoError::not_a_crs(trimmed, problem))?;
        wkt(&node)
    }
}

/// The code in a short text; `None` where it is not of that kind.
fn code(text: &str) -> Result<Option<u32>, GeoError> {
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "OGC:CRS84" | "CRS84" | "CRS:84" | "URN:OGC:DEF:CRS:OGC:1.3:CRS84")
        || upper.ends_with("://WWW.OPENGIS.NET/DEF/CRS/OGC/1.3/CRS84")
    {
        return Ok(Some(4326));
    }
    let urn = |rest: &str| rest.rsplit(':').next().map(str::to_owned);
    let digits = if let Some(rest) = upper.strip_prefix("EPSG:") {
        rest.trim_start_matches(':').trim().to_owned()
    } else if let Some(digits) = upper.strip_prefix("URN:OGC:DEF:CRS:EPSG:").and_then(urn) {
        digits
    } else if let Some((_, rest)) = upper.split_once("://WWW.OPENGIS.NET/DEF/CRS/EPSG/") {
        rest.rsplit('/').next().unwrap_or_default().to_owned()
    } else if !upper.is_empty() && upper.bytes().all(|byte| byte.is_ascii_digit()) {
        upper
    } else {
        return Ok(None);
    };
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(code) if valid => Ok(Some(code)),
        _ => Err(GeoError::not_a_crs(text, "its code is not a number")),
    }
}

const COMPOUND: [&str; 2] = ["COMPD_CS", "COMPOUNDCRS"];
const BOUND: [&str; 1] = ["BOUNDCRS"];
const PROJECTED: [&str; 3] = ["PROJCS", "PROJCRS", "PROJECTEDCRS"];
const GEOGRAPHIC: [&str; 4] = ["GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEODCRS"];

fn wkt(node: &Node<'_>) -> Result<Crs, GeoError> {
    if node.is(&BOUND) {
        let source = node.child(&["SOURCECRS"]).and_then(|source| source.children().next());
        return source.map_or_else(|| Err(no_code(node.name())), wkt);
    }
    if node.is(&COMPOUND) {
        let horizontal =
            node.children().find(|part| part.is(&PROJECTED) || part.is(&GEOGRAPHIC) || part.is(&BOUND));
        return horizontal.map_or_else(|| Err(no_code(node.name())), wkt);
    }
    if !node.is(&PROJECTED) && !node.is(&GEOGRAPHIC) {
        let problem = format!("{} is not a geographic or projected CRS", node.keyword());
        return Err(GeoError::not_a_crs(node.name(), problem));
    }
    match node.id() {
        Some((authority, code)) if authority.eq_ignore_ascii_case("EPSG") => Crs::from_epsg(code),
        _ => match known_by_name(node) {
            Some(code) => Crs::from_epsg(code),
            None => Err(no_code(node.name())),
        },
    }
}

fn no_code(name: &str) -> GeoError {
    GeoError::unknown_crs(if name.is_empty() { "without a name" } else { name }, NO_CODE)
}

/// The code of a definition without one, from its name, where datum and parameters agree with the name.
fn known_by_name(node: &Node<'_>) -> Option<u32> {
    let plain = |name: &str| name.to_ascii_uppercase().replace([' ', '_', '/', '-'], "");
    let base = if node.is(&GEOGRAPHIC) {
        node
    } else {
        node.child(&GEOGRAPHIC).or_else(|| node.child(&["BASEGEOGCRS", "BASEGEODCRS"]))?
    };
    let datum = base.child(&["DATUM", "GEODETICDATUM", "TRF", "ENSEMBLE"])?;
    let ellipsoid = datum.child(&["SPHEROID", "ELLIPSOID"])?;
    let wgs84 = matches!(
        plain(datum.name()).as_str(),
        "DWGS1984"
            | "WGS1984"
            | "WORLDGEODETICSYSTEM1984"
            | "WGS1984ENSEMBLE"
            | "WORLDGEODETICSYSTEM1984ENSEMBLE"
    ) && near(ellipsoid.numbers().next()?, 6_378_137.0)
        && near(ellipsoid.numbers().nth(1)?, 298.257_223_563);
    // Another prime meridian or unit is another CRS.
    let greenwich = base
        .child(&["PRIMEM", "PRIMEMERIDIAN"])
        .is_none_or(|meridian| meridian.numbers().next() == Some(0.0));
    if !wgs84 || !greenwich {
        return None;
    }
    let name = plain(node.name());
    if node.is(&GEOGRAPHIC) {
        return matches!(name.as_str(), "WGS84" | "GCSWGS1984" | "WGS84CRS84").then_some(4326);
    }
    let unit = node
        .children()
        .filter(|part| part.is(&["UNIT", "LENGTHUNIT"]))
        .find_map(|unit| unit.numbers().next());
    if unit.is_some_and(|metres| metres != 1.0) {
        return None;
    }
    let parameters = Parameters::of(node);
    if matches!(
        name.as_str(),
        "WGS84PSEUDOMERCATOR" | "WGS1984WEBMERCATORAUXILIARYSPHERE" | "WGS1984WEBMERCATOR(AUXILIARYSPHERE)"
    ) {
        return parameters.are(&["centralmeridian", "longitudeofnaturalorigin"], 0.0).then_some(3857);
    }
    let zone = name.strip_prefix("WGS84UTMZONE").or_else(|| name.strip_prefix("WGS1984UTMZONE"))?;
    let (digits, south) = match zone.strip_suffix('S') {
        Some(digits) => (digits, true),
        None => (zone.strip_suffix('N')?, false),
    };
    let zone: u32 = digits.parse().ok().filter(|zone| (1..=60).contains(zone))?;
    let agrees = parameters
        .are(&["centralmeridian", "longitudeofnaturalorigin"], f64::from(zone) * 6.0 - 183.0)
        && parameters.are(&["latitudeoforigin", "latitudeofnaturalorigin"], 0.0)
        && parameters.are(&["scalefactor", "scalefactoratnaturalorigin"], 0.9996)
        && parameters.are(&["falseeasting"], 500_000.0)
        && parameters.are(&["falsenorthing"], if south { 10_000_000.0 } else { 0.0 });
    agrees.then_some(if south { 32700 } else { 32600 } + zone)
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

/// The parameters of a projection, names in lower case without separators.
struct Parameters(Vec<(String, f64)>);

impl Parameters {
    fn of(node: &Node<'_>) -> Self {
        let nested = node.child(&["CONVERSION"]).into_iter().flat_map(Node::children);
        let parameters = node.children().chain(nested).filter(|child| child.is(&["PARAMETER"]));
        let plain = |name: &str| name.to_ascii_lowercase().replace([' ', '_'], "");
        Self(parameters.filter_map(|p| Some((plain(p.name()), p.numbers().next()?))).collect())
    }

    /// Whether a parameter stands there under one of its names with this value.
    fn are(&self, names: &[&str], expected: f64) -> bool {
        self.0.iter().any(|(name, value)| names.contains(&name.as_str()) && near(*value, expected))
    }
}

fn projjson(text: &str) -> Result<Crs, GeoError> {
    if text.len() > MAX_BYTES {
        return Err(GeoError::not_a_crs(text, format!("its PROJJSON is longer than {MAX_BYTES} bytes")));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| GeoError::not_a_crs(text, format!("its PROJJSON is broken ({error})")))?;
    let mut crs = &value;
    loop {
        let kind = crs.get("type").and_then(Value::as_str).unwrap_or_default();
        let part = match kind {
            "CompoundCRS" => crs.get("components").and_then(|parts| parts.get(0)),
            "BoundCRS" => crs.get("source_crs"),
            _ => break,
        };
        match part {
            Some(part) => crs = part,
            None => break,
        }
    }
    // Newer versions list several identifiers.
    let ids = crs.get("ids").and_then(Value::as_array).into_iter().flatten();
    for id in crs.get("id").into_iter().chain(ids) {
        let authority = id.get("authority").and_then(Value::as_str).unwrap_or_default();
        let number = id.get("code").and_then(|code| match code {
            Value::String(digits) => digits.parse::<u64>().ok(),
            other => other.as_u64(),
        });
        if authority.eq_ignore_ascii_case("EPSG")
            && let Some(code) = number.and_then(|code| u32::try_from(code).ok())
        {
            return Crs::from_epsg(code);
        }
        if authority == "OGC" && id.get("code").and_then(Value::as_str) == Some("CRS84") {
            return Ok(Crs::wgs84());
        }
    }
    match crs.get("name").and_then(Value::as_str) {
        Some(name) => Err(no_code(name)),
        None => Err(GeoError::not_a_crs(text, "it is JSON, but not the PROJJSON of a CRS")),
    }
}
