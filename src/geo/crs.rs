//! A coordinate reference system that this program can transform: from an EPSG code of the tested list
//! or from a definition in WKT or PROJJSON. How texts are read lives in `crs_text`, `wkt` and `projjson`.

use std::fmt;
use std::sync::Arc;

use proj4rs::Proj;

use super::error::GeoError;
use super::tested_codes::is_tested;

/// What to do about a CRS outside the tested list.
const ADVICE: &str = "it is outside the tested list (docs/crs.md); reproject the raster to a supported CRS, \
                      for example its UTM zone, before encoding";

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
        if !is_tested(code) {
            return Err(GeoError::unknown_crs(&format!("EPSG:{code}"), ADVICE));
        }
        Self::untested(code)
    }

    /// Any code that `crs-definitions` knows, tested or not: for measuring only.
    pub(super) fn untested(code: u32) -> Result<Self, GeoError> {
        let name = format!("EPSG:{code}");
        let definition = u16::try_from(code).ok().and_then(crs_definitions::from_code);
        let Some(definition) = definition else {
            return Err(GeoError::unknown_crs(&name, ADVICE));
        };
        Self::from_proj4(definition.proj4.to_owned(), Some(code), name)
    }

    /// The CRS of a PROJ.4 text made by ourselves, never by a user.
    pub(super) fn from_proj4(proj4: String, epsg: Option<u32>, name: String) -> Result<Self, GeoError> {
        let proj = Proj::from_proj_string(&proj4)
            .map_err(|error| GeoError::unknown_crs(&name, format!("its parameters are refused ({error})")))?;
        Ok(Self(Arc::new(Definition { epsg, name, proj4, proj })))
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

    pub(super) fn proj(&self) -> &Proj {
        &self.0.proj
    }
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
