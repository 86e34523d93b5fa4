//! The ways a CRS is written: an authority's code in several spellings, WKT, PROJJSON.

use super::crs::Crs;
use super::error::GeoError;
use super::projjson::crs_from_projjson;
use super::wkt_crs::{crs_from_wkt, looks_like_wkt};

/// Codes of OGC and what they are in EPSG's list, with our axis order.
const OGC_CODES: &[(&str, u32)] = &[("CRS84", 4326), ("CRS83", 4269)];

/// What GDAL and PROJ take for WGS 84 in place of a code (OGRSpatialReference::SetFromUserInput, `proj_create`), with our axis order.
const NAMES_OF_WGS84: [&str; 3] = ["WGS84", "WGS 84", "CRS84"];

/// Codes of compound CRSs and of their horizontal parts, by EPSG's own table. Written by
/// `tests/fixtures/make_compound_codes.py`.
const COMPOUND_CODES: &str = include_str!("compound_codes.txt");

impl Crs {
    /// The CRS of a text: a code in any spelling of [`Crs::code_in`], WKT (1 of GDAL and ESRI, 2) or PROJJSON.
    ///
    /// A WKT or PROJJSON that carries an EPSG code of its own goes by the code; without one it is translated where
    /// its projection, ellipsoid and datum are in the tested list (`docs/crs.md`).
    ///
    /// # Errors
    /// [`GeoError::NotACrs`] for a text that is none of these, [`GeoError::UnknownCrs`] for a CRS that is none of
    /// ours.
    pub fn parse(text: &str) -> Result<Self, GeoError> {
        let text = trimmed(text);
        if text.starts_with('{') {
            return crs_from_projjson(text);
        }
        if looks_like_wkt(text) {
            return crs_from_wkt(text);
        }
        if let Some(code) = Self::code_in(text) {
            return Self::from_epsg(code);
        }
        match authority_and_code(text) {
            None => Err(GeoError::not_a_crs(text, "no known way to write one")),
            Some((authority, _)) if authority.eq_ignore_ascii_case("EPSG") => {
                Err(GeoError::not_a_crs(text, "an EPSG code is a whole number"))
            }
            Some(_) => {
                let problem = "only EPSG codes and OGC:CRS84 are known by code (a WKT of it may be)";
                Err(GeoError::unknown_crs(text, problem))
            }
        }
    }

    /// The EPSG code that a text gives in one of the spellings of a code, supported or not: `EPSG:32650` in any case,
    /// `32650`, `urn:ogc:def:crs:EPSG::32650`, `http://www.opengis.net/def/crs/EPSG/0/32650`, `OGC:CRS84`, `WGS84`. Of a
    /// compound of two codes (`EPSG:32632+5773`, `urn:ogc:def:crs,crs:EPSG::32632,crs:EPSG::5773`) the first, horizontal one.
    ///
    /// The code of a compound CRS (`EPSG:7415`) is that of its horizontal part (28992), whose x and y are the same.
    ///
    /// `None` for WKT, PROJJSON, codes of other authorities and anything else.
    pub fn code_in(text: &str) -> Option<u32> {
        written_code(text).map(horizontal)
    }
}

/// The horizontal part of a compound code; any other code as it is.
pub(super) fn horizontal(code: u32) -> u32 {
    let mut pairs = COMPOUND_CODES.lines().filter_map(|line| line.split_once(' '));
    let part =
        pairs.find_map(|(compound, part)| (compound.parse() == Ok(code)).then(|| part.parse().ok())?);
    part.unwrap_or(code)
}

/// The EPSG code as it stands in a text.
fn written_code(text: &str) -> Option<u32> {
    let text = trimmed(text);
    if let Some(code) = whole_number(text) {
        return Some(code);
    }
    if NAMES_OF_WGS84.iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return Some(4326);
    }
    let (authority, code) = authority_and_code(text)?;
    if authority.eq_ignore_ascii_case("EPSG") {
        return whole_number(code);
    }
    let of_ogc = authority.eq_ignore_ascii_case("OGC");
    let known = OGC_CODES.iter().find(|(name, _)| of_ogc && name.eq_ignore_ascii_case(code));
    known.map(|&(_, epsg)| epsg)
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

/// Digits alone: `parse` would take a sign as well.
fn whole_number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Authority and code of `A:C`, `urn:ogc:def:crs:A:version:C` or `http(s)://www.opengis.net/def/crs/A/version/C`, of a
/// compound those of its first part.
fn authority_and_code(text: &str) -> Option<(&str, &str)> {
    let strip = |prefix: &str| {
        let head = text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
    };
    let (rest, separator) = if let Some(rest) = strip("urn:ogc:def:crs:") {
        (rest, ':')
    } else if let Some(parts) = strip("urn:ogc:def:crs,crs:") {
        (parts.split(',').next()?, ':')
    } else if let Some(rest) =
        strip("http://www.opengis.net/def/crs/").or_else(|| strip("https://www.opengis.net/def/crs/"))
    {
        (rest, '/')
    } else {
        let (authority, code) = text.split_once(':')?;
        // As PROJ writes a compound: the vertical part is a code of the same authority, or has its own.
        let code = match code.split_once('+') {
            Some((code, vertical)) if vertical.split(':').all(is_token) => code,
            Some(_) => return None,
            None => code,
        };
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
