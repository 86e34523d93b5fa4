//! The ways a CRS is written: an authority's code in several spellings, WKT, PROJJSON.

use super::crs::Crs;
use super::error::GeoError;
use super::projjson::crs_from_projjson;
use super::wkt_crs::{crs_from_wkt, looks_like_wkt};

/// Codes of OGC and what they are in EPSG's list, with our axis order.
const OGC_CODES: &[(&str, u32)] = &[("CRS84", 4326), ("CRS83", 4269)];

impl Crs {
    /// The CRS of a text: `EPSG:32650`, `32650`, `urn:ogc:def:crs:EPSG::32650`, `OGC:CRS84`,
    /// `http://www.opengis.net/def/crs/EPSG/0/32650`, WKT (1 of GDAL and ESRI, 2) or PROJJSON.
    ///
    /// A WKT or PROJJSON that carries an EPSG code of its own goes by the code; without one it is translated where
    /// its projection, ellipsoid and datum are in the tested list (`docs/crs.md`).
    ///
    /// # Errors
    /// [`GeoError::NotACrs`] for a text that is none of these, [`GeoError::UnknownCrs`] for a CRS that is none of
    /// ours.
    pub fn parse(text: &str) -> Result<Self, GeoError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with('{') {
            return crs_from_projjson(text);
        }
        if looks_like_wkt(text) {
            return crs_from_wkt(text);
        }
        if let Ok(code) = text.parse() {
            return Self::from_epsg(code);
        }
        let (authority, code) =
            authority_and_code(text).ok_or_else(|| GeoError::not_a_crs(text, "no known way to write one"))?;
        match (authority.to_ascii_uppercase().as_str(), code.parse()) {
            ("EPSG", Ok(code)) => Self::from_epsg(code),
            ("EPSG", Err(_)) => Err(GeoError::not_a_crs(text, "an EPSG code is a whole number")),
            ("OGC", _) => match OGC_CODES.iter().find(|(name, _)| name.eq_ignore_ascii_case(code)) {
                Some(&(_, epsg)) => Self::from_epsg(epsg),
                None => Err(unknown_authority(text)),
            },
            _ => Err(unknown_authority(text)),
        }
    }
}

fn unknown_authority(text: &str) -> GeoError {
    let advice = "only EPSG codes and OGC:CRS84 are known by code; give the CRS as WKT, or reproject the raster \
                  before encoding";
    GeoError::unknown_crs(text, advice)
}

/// Authority and code of `A:C`, `urn:ogc:def:crs:A:version:C` or `http(s)://www.opengis.net/def/crs/A/version/C`.
fn authority_and_code(text: &str) -> Option<(&str, &str)> {
    let strip = |prefix: &str| {
        let head = text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
    };
    let (rest, separator) = if let Some(rest) = strip("urn:ogc:def:crs:") {
        (rest, ':')
    } else if let Some(rest) =
        strip("http://www.opengis.net/def/crs/").or_else(|| strip("https://www.opengis.net/def/crs/"))
    {
        (rest, '/')
    } else {
        let (authority, code) = text.split_once(':')?;
        return (is_token(authority) && is_token(code)).then_some((authority, code));
    };
    let (authority, rest) = rest.split_once(separator)?;
    let (_version, code) = rest.split_once(separator)?;
    (is_token(authority) && is_token(code)).then_some((authority, code))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
