//! A coordinate reference system that this program can transform: from an EPSG code of the tested list
//! or from a definition in WKT or PROJJSON. How texts are read lives in `crs_text`, `wkt` and `projjson`.

use std::fmt;
use std::sync::Arc;

use proj4rs::Proj;

use super::error::{GeoError, NAMELESS};
use super::tested_codes::RANGES;

/// What stands in the way of a code outside the tested list.
const UNTESTED: &str = "it is outside the tested list (docs/crs.md)";

/// PROJ's own definitions, with its datum shifts, for codes where those in `crs-definitions` are missing or give
/// other positions than PROJ. A line is a code, a space and the definition. Written by `tests/fixtures/make_crs.py`.
const DEFINITIONS: &str = include_str!("definitions.txt");

/// A CRS with axes in the order easting, northing, or longitude, latitude in degrees, whatever order
/// its authority prescribes (as GDAL's traditional order and pyproj's `always_xy`).
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Crs(Arc<Definition>);

struct Definition {
    epsg: Option<u32>,
    name: String,
    /// Parameters in PROJ.4 syntax, the identity of a CRS without a code.
    proj4: String,
    proj: Proj,
}

impl Crs {
    /// WGS 84 longitude and latitude, EPSG:4326: the CRS of RFC 7946.
    pub fn wgs84() -> Self {
        match Self::from_epsg(4326) {
            Ok(crs) => crs,
            // The code stands first in the tested list, and a test constructs it.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// The CRS of an EPSG code.
    ///
    /// # Errors
    /// [`GeoError::UnknownCrs`] for a code outside the tested list: every code of the list has been compared with
    /// PROJ (`tests/fixtures/make_crs.py`), and the others are refused instead of risking metres of error.
    pub fn from_epsg(code: u32) -> Result<Self, GeoError> {
        let name = format!("EPSG:{code}");
        let Some(definition) = tested_definition(code) else {
            return Err(GeoError::unknown_crs(&name, UNTESTED));
        };
        Self::from_proj4(definition.to_owned(), Some(code), name)
    }

    /// Any code that `crs-definitions` knows, tested or not: for measuring only.
    #[cfg(test)]
    pub(super) fn untested(code: u32) -> Result<Self, GeoError> {
        let name = format!("EPSG:{code}");
        let Some(definition) = listed_definition(code) else {
            return Err(GeoError::unknown_crs(&name, UNTESTED));
        };
        Self::from_proj4(definition.to_owned(), Some(code), name)
    }

    /// The unit of a code's coordinates, as far as it is known: `degrees`, `m`, or EPSG's name of a foot. A code that is not
    /// supported has one, too.
    pub fn unit_of(code: u32) -> Option<&'static str> {
        let tested = tested_definition(code);
        let definition = tested.or_else(|| listed_definition(code))?;
        let value = |key| parameter_of(definition, key);
        match value("+units") {
            // Those on Greenwich count in degrees, others also in grads.
            _ if value("+proj") == Some("longlat") => value("+pm").is_none().then_some("degrees"),
            Some("m") => Some("m"),
            Some("us-ft") => Some("US survey foot"),
            Some("ft") => Some("foot"),
            // PROJ's own default; an untested definition may have lost its unit.
            None if tested.is_some() && value("+to_meter").is_none() => Some("m"),
            _ => None,
        }
    }

    /// The CRS of a PROJ.4 text made by ourselves, never by a user.
    pub(super) fn from_proj4(proj4: String, epsg: Option<u32>, name: String) -> Result<Self, GeoError> {
        let name = if name.trim().is_empty() { NAMELESS.to_owned() } else { name };
        let proj = Proj::from_proj_string(&proj4)
            .map_err(|error| GeoError::unknown_crs(&name, format!("its parameters are refused ({error})")))?;
        Ok(Self(Arc::new(Definition { epsg, name, proj4, proj })))
    }

    /// The same CRS under the name that a text gives it.
    pub(super) fn named(self, name: String) -> Self {
        let Definition { epsg, proj4, proj, .. } = &*self.0;
        let name = if name.is_empty() { self.0.name.clone() } else { name };
        Self(Arc::new(Definition { epsg: *epsg, name, proj4: proj4.clone(), proj: proj.clone() }))
    }

    /// Whether its shift to WGS 84 is exactly this one, of 3 or 7 numbers; no shift is one of zeros.
    pub(super) fn has_shift(&self, shift: &[f64]) -> bool {
        let own =
            self.0.proj4.split_ascii_whitespace().find_map(|parameter| parameter.strip_prefix("+towgs84="));
        let own =
            own.into_iter().flat_map(|own| own.split(',').map(|number| number.parse().unwrap_or(f64::NAN)));
        let zeros = || std::iter::repeat(0.0);
        own.chain(zeros()).take(7).eq(shift.iter().copied().chain(zeros()).take(7))
    }

    /// The EPSG code, where the CRS was given by one or carries one.
    pub fn epsg(&self) -> Option<u32> {
        self.0.epsg
    }

    /// The name: that of the definition if it was given as one, else `EPSG:n`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether coordinates are longitude and latitude in degrees.
    pub fn is_geographic(&self) -> bool {
        self.0.proj.is_latlong()
    }

    /// Metres in one unit of a projected CRS; `None` for a geographic one, whose unit is the degree.
    pub fn metres_per_unit(&self) -> Option<f64> {
        (!self.is_geographic()).then(|| self.0.proj.to_meter())
    }

    /// The name that GeoJSON's older specification of 2008 wants in its member `crs`
    /// (`urn:ogc:def:crs:EPSG::32650`), as QGIS reads it; `None` without a code.
    ///
    /// RFC 7946 dropped the member: write it only where the coordinates are not WGS 84.
    pub fn legacy_urn(&self) -> Option<String> {
        self.epsg().map(|code| format!("urn:ogc:def:crs:EPSG::{code}"))
    }

    /// The definition in PROJ.4 syntax.
    pub fn proj4(&self) -> &str {
        &self.0.proj4
    }

    /// The value of a parameter of the definition, `+proj`.
    pub(super) fn parameter(&self, key: &str) -> Option<&str> {
        parameter_of(self.proj4(), key)
    }

    pub(super) fn proj(&self) -> &Proj {
        &self.0.proj
    }
}

/// The definition of a code of the tested list, in PROJ.4 syntax.
fn tested_definition(code: u32) -> Option<&'static str> {
    let code = u16::try_from(code).ok()?;
    let after = RANGES.partition_point(|&(first, _)| first <= code);
    let listed =
        after.checked_sub(1).and_then(|index| RANGES.get(index)).is_some_and(|&(_, last)| code <= last);
    if listed {
        return listed_definition(u32::from(code));
    }
    DEFINITIONS.lines().find_map(|line| {
        let (number, definition) = line.split_once(' ')?;
        (number.parse() == Ok(code)).then_some(definition)
    })
}

/// What `crs-definitions` has for a code, tested or not.
fn listed_definition(code: u32) -> Option<&'static str> {
    let definition = crs_definitions::from_code(u16::try_from(code).ok()?)?;
    Some(definition.proj4)
}

fn parameter_of<'a>(proj4: &'a str, key: &str) -> Option<&'a str> {
    proj4.split_ascii_whitespace().find_map(|p| p.strip_prefix(key)?.strip_prefix('='))
}

/// Every code of the tested list, ascending within each of its two parts.
#[cfg(test)]
pub(super) fn tested_codes() -> impl Iterator<Item = u32> {
    let listed = RANGES.iter().flat_map(|&(first, last)| first..=last);
    let own = DEFINITIONS.lines().filter_map(|line| line.split_once(' ')?.0.parse().ok());
    listed.chain(own).map(u32::from)
}

impl PartialEq for Crs {
    /// Equal definitions: `EPSG:32650` equals the WKT of the same zone without a code.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.proj4 == other.0.proj4
    }
}

impl fmt::Debug for Crs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crs")
            .field("epsg", &self.0.epsg)
            .field("name", &self.0.name)
            .field("proj4", &self.0.proj4)
            .finish()
    }
}

impl fmt::Display for Crs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
