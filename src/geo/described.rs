//! A CRS that a file describes by its parameters instead of by a code, as WKT and PROJJSON do, and its
//! translation into a definition that we transform. Reading the texts lives in `wkt_crs` and `projjson`.
//!
//! Only what has been compared with PROJ is translated (`tests/fixtures/make_crs_texts.py`); anything else is
//! refused by name. The numbers come from a file of unknown origin: each is checked before it is used.

use std::fmt::Write;

use super::crs::Crs;
use super::error::GeoError;
use super::told::Told;

/// A horizontal CRS by its parameters.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub name: String,
    pub datum: String,
    /// Semi-major axis in metres and inverse flattening (0 for a sphere).
    pub ellipsoid: Option<(f64, f64)>,
    /// Longitude of the prime meridian, in degrees.
    pub prime_meridian: f64,
    /// Parameters to WGS 84, position vector convention: 3 or 7 numbers as in `TOWGS84`.
    pub to_wgs84: Option<Vec<f64>>,
    /// `None` for longitude and latitude.
    pub projection: Option<Projection>,
}

/// A map projection by name and parameters.
#[derive(Debug)]
pub(super) struct Projection {
    pub method: String,
    /// Names as they stand in the text; degrees, metres or plain numbers.
    pub parameters: Vec<(String, f64)>,
    /// Metres in one unit of the coordinates.
    pub unit: f64,
}

/// Datums that PROJ takes as WGS 84 without a shift, as [`plain`] names.
const COINCIDING_DATUMS: &[&str] = &[
    "wgs1984",
    "wgs84",
    "worldgeodeticsystem1984",
    "worldgeodeticsystem1984ensemble",
    "etrs1989",
    "etrs89",
    "europeanterrestrialreferencesystem1989",
    "europeanterrestrialreferencesystem1989ensemble",
    "northamerican1983",
    "northamericandatum1983",
    "nad83",
    "nad19832011",
    "nad83nationalspatialreferencesystem2011",
    "china2000",
    "cgcs2000",
    "gda1994",
    "geocentricdatumofaustralia1994",
    "gda2020",
    "geocentricdatumofaustralia2020",
    "nzgd2000",
    "newzealandgeodeticdatum2000",
    "sirgas2000",
    "sistemadereferenciageocentricoparalasamericas2000",
    "jgd2000",
    "japanesegeodeticdatum2000",
    "jgd2011",
    "japanesegeodeticdatum2011",
    "korea2000",
    "geocentricdatumofkorea",
    "rgf1993",
    "reseaugeodesiquefrancais1993",
    "reseaugeodesiquefrancais1993v1",
    "sweref99",
    "unknown",
    "unknownbasedonwgs84ellipsoid",
    "unknownbasedongrs80ellipsoid",
    "unknownbasedongrs1980ellipsoid",
    "unnamed",
    "notspecified",
];

/// A name without case, spaces and punctuation: `Latitude_Of_Origin` and `latitude of origin` are the same.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn is_near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

impl Described {
    /// The CRS with the same parameters; that of the EPSG code where they are those of a well-known code.
    pub(super) fn into_crs(self) -> Result<Crs, GeoError> {
        let refuse = |why: String| GeoError::unknown_crs(&self.name, why);
        if self.prime_meridian != 0.0 {
            return Err(refuse("its prime meridian is not Greenwich".to_owned()));
        }
        let datum = self.datum_parameters().map_err(refuse)?;
        let proj4 = match &self.projection {
            None if self.datum_is_wgs84() && self.has_no_shift() => return Ok(Crs::wgs84().named(self.name)),
            None => format!("+proj=longlat {datum} +no_defs"),
            Some(projection)
                if self.datum_is_wgs84() && self.has_no_shift() && projection.is_web_mercator() =>
            {
                return Ok(Crs::from_epsg(3857)?.named(self.name));
            }
            Some(projection) => {
                let projected = projection.parameters_in_proj4().map_err(refuse)?;
                if let Some(code) = self.utm_code(projection) {
                    return Ok(Crs::from_epsg(code)?.named(self.name));
                }
                format!("{projected} {datum} +no_defs")
            }
        };
        Crs::from_proj4(proj4, None, self.name)
    }

    /// Ellipsoid and shift. Without a shift of its own the datum must be one that needs none: PROJ knows shifts for
    /// the others, which would be missed.
    fn datum_parameters(&self) -> Result<String, String> {
        let (a, inverse_flattening) = self.ellipsoid.ok_or("its ellipsoid is missing")?;
        if !(6.3e6..6.4e6).contains(&a)
            || !(inverse_flattening == 0.0 || (250.0..350.0).contains(&inverse_flattening))
        {
            return Err("its ellipsoid is not the Earth's".to_owned());
        }
        let grs80_like = a == 6_378_137.0 && is_near(inverse_flattening, 298.2572, 1e-4);
        let shape = match inverse_flattening {
            0.0 => format!("+R={a}"),
            _ if grs80_like && inverse_flattening < 298.257_222_5 => "+ellps=GRS80".to_owned(),
            _ if grs80_like => "+ellps=WGS84".to_owned(),
            _ => format!("+a={a} +rf={inverse_flattening}"),
        };
        match self.to_wgs84.as_deref() {
            Some(shift) if shift.iter().any(|&number| number != 0.0) => {
                let limits = [1e4, 1e4, 1e4, 60.0, 60.0, 60.0, 500.0];
                if !matches!(shift.len(), 3 | 7) || shift.iter().zip(limits).any(|(v, limit)| v.abs() > limit)
                {
                    return Err("its shift to WGS 84 is not 3 or 7 plausible numbers".to_owned());
                }
                let numbers: Vec<String> = shift.iter().map(f64::to_string).collect();
                Ok(format!("{shape} +towgs84={}", numbers.join(",")))
            }
            Some(_) if grs80_like => Ok(format!("{shape} +towgs84=0,0,0")),
            // PROJ takes latitudes on a sphere for those on the ellipsoid ("ballpark"), as for MODIS grids.
            None if inverse_flattening == 0.0 => Ok(shape),
            None if grs80_like && self.datum_coincides() => Ok(format!("{shape} +towgs84=0,0,0")),
            _ if self.datum.trim().is_empty() => Err("its datum has no name".to_owned()),
            _ => Err(format!("its datum \"{}\" is not in the tested list", self.datum)),
        }
    }

    /// The plain name of the datum without ESRI's prefix (`D_WGS_1984`).
    fn bare_datum(&self) -> String {
        let datum = plain(&self.datum);
        if self.datum.starts_with("D_") { datum[1..].to_owned() } else { datum }
    }

    fn datum_coincides(&self) -> bool {
        COINCIDING_DATUMS.contains(&self.bare_datum().as_str())
    }

    fn datum_is_wgs84(&self) -> bool {
        const NAMES: [&str; 4] =
            ["wgs1984", "wgs84", "worldgeodeticsystem1984", "worldgeodeticsystem1984ensemble"];
        NAMES.contains(&self.bare_datum().as_str())
    }

    fn has_no_shift(&self) -> bool {
        self.to_wgs84.as_ref().is_none_or(|shift| shift.iter().all(|&number| number == 0.0))
    }

    /// The EPSG code, where this is a UTM zone of WGS 84, ETRS89 or NAD83.
    fn utm_code(&self, projection: &Projection) -> Option<u32> {
        let near = |role, value| is_near(projection.value(role).ok().flatten().unwrap_or(0.0), value, 1e-9);
        let zone = (projection.value(Role::Longitude).ok()?? + 183.0) / 6.0;
        let is_utm = method_of(&projection.method) == Some(Method::TransverseMercator)
            && projection.unit == 1.0
            && self.has_no_shift()
            && zone.fract() == 0.0
            && near(Role::Latitude, 0.0)
            && near(Role::Scale, 0.9996)
            && near(Role::FalseEasting, 500_000.0);
        if !is_utm {
            return None;
        }
        let south = near(Role::FalseNorthing, 10_000_000.0);
        if !south && !near(Role::FalseNorthing, 0.0) {
            return None;
        }
        let zone = zone as u32;
        let datum = self.bare_datum();
        match (datum.as_str(), south) {
            (_, _) if !(1..=60).contains(&zone) => None,
            _ if self.datum_is_wgs84() => Some(if south { 32_700 } else { 32_600 } + zone),
            _ if datum.starts_with("etrs1989")
                || datum.starts_with("europeanterrestrialreferencesystem1989") =>
            {
                (!south && (28..=38).contains(&zone)).then_some(25_800 + zone)
            }
            ("northamerican1983" | "northamericandatum1983" | "nad83", false) => {
                (zone <= 23).then_some(26_900 + zone)
            }
            _ => None,
        }
    }
}

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Latitude,
    Longitude,
    Scale,
    Parallel1,
    Parallel2,
    FalseEasting,
    FalseNorthing,
}

/// The role of a parameter in WKT 1, ESRI's dialect, WKT 2 or PROJJSON.
fn role_of(name: &str) -> Option<Role> {
    Some(match plain(name).as_str() {
        "latitudeoforigin"
        | "latitudeofcenter"
        | "latitudeofcentre"
        | "latitudeofnaturalorigin"
        | "latitudeoffalseorigin" => Role::Latitude,
        "centralmeridian"
        | "longitudeoforigin"
        | "longitudeofcenter"
        | "longitudeofcentre"
        | "longitudeofnaturalorigin"
        | "longitudeoffalseorigin" => Role::Longitude,
        "scalefactor" | "scalefactoratnaturalorigin" => Role::Scale,
        "standardparallel1" | "latitudeof1ststandardparallel" | "latitudeofstandardparallel" => {
            Role::Parallel1
        }
        "standardparallel2" | "latitudeof2ndstandardparallel" => Role::Parallel2,
        "falseeasting" | "eastingatfalseorigin" => Role::FalseEasting,
        "falsenorthing" | "northingatfalseorigin" => Role::FalseNorthing,
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    TransverseMercator,
    Lambert1,
    Lambert2,
    Albers,
    Azimuthal,
    PolarByScale,
    PolarByParallel,
    ObliqueStereographic,
    MercatorByScale,
    MercatorByParallel,
    Sinusoidal,
    WebMercator,
}

/// The method of a name in WKT 1, ESRI's dialect, WKT 2 or PROJJSON. ESRI's names that stand for two methods are
/// told apart by their parameters later.
fn method_of(name: &str) -> Option<Method> {
    Some(match plain(name).as_str() {
        "transversemercator" | "gausskruger" => Method::TransverseMercator,
        "lambertconformalconic1sp" | "lambertconicconformal1sp" => Method::Lambert1,
        "lambertconformalconic2sp" | "lambertconicconformal2sp" | "lambertconformalconic" => Method::Lambert2,
        "albersconicequalarea" | "albersequalarea" | "albers" => Method::Albers,
        "lambertazimuthalequalarea" => Method::Azimuthal,
        "polarstereographicvarianta" => Method::PolarByScale,
        "polarstereographic"
        | "polarstereographicvariantb"
        | "stereographicnorthpole"
        | "stereographicsouthpole" => Method::PolarByParallel,
        "obliquestereographic" | "doublestereographic" => Method::ObliqueStereographic,
        "mercator1sp" | "mercatorvarianta" => Method::MercatorByScale,
        "mercator2sp" | "mercatorvariantb" | "mercator" => Method::MercatorByParallel,
        "sinusoidal" => Method::Sinusoidal,
        "popularvisualisationpseudomercator" | "mercatorauxiliarysphere" => Method::WebMercator,
        _ => return None,
    })
}

impl Projection {
    /// The value of a role, `None` where no parameter has it.
    fn value(&self, role: Role) -> Result<Option<f64>, String> {
        let found = self.parameters.iter().find(|(name, _)| role_of(name) == Some(role));
        let Some((name, value)) = found else { return Ok(None) };
        let plausible = match role {
            Role::Latitude | Role::Parallel1 | Role::Parallel2 => value.abs() <= 90.0,
            Role::Longitude => value.abs() <= 360.0,
            Role::Scale => (0.5..=2.0).contains(value),
            Role::FalseEasting | Role::FalseNorthing => value.abs() <= 1e9,
        };
        match plausible {
            true => Ok(Some(*value)),
            false => Err(format!("its parameter {name} = {} is out of range", Told(*value))),
        }
    }

    fn is_web_mercator(&self) -> bool {
        let unshifted = self.parameters.iter().all(|(_, value)| *value == 0.0);
        method_of(&self.method) == Some(Method::WebMercator) && unshifted && self.unit == 1.0
    }

    fn parameters_in_proj4(&self) -> Result<String, String> {
        let unknown = || match self.method.trim() {
            "" => "its projection method has no name".to_owned(),
            method => format!("the projection method {method} is not in the tested list"),
        };
        let mut method = method_of(&self.method).ok_or_else(unknown)?;
        let (lat, lon) = (self.value(Role::Latitude)?, self.value(Role::Longitude)?.unwrap_or(0.0));
        let (first, second) = (self.value(Role::Parallel1)?, self.value(Role::Parallel2)?);
        let scale = self.value(Role::Scale)?;
        let used = |name: &str| role_of(name).is_some();
        if let Some((name, _)) = self.parameters.iter().find(|(name, value)| !used(name) && *value != 0.0) {
            return Err(format!("its parameter {name} is not understood"));
        }
        if !(1e-3..1e4).contains(&self.unit) {
            return Err(format!("its unit of {} m is out of range", Told(self.unit)));
        }
        if method == Method::Lambert2 && second.is_none() {
            method = Method::Lambert1;
        }
        let mut text = String::new();
        let lat0 = lat.unwrap_or(0.0);
        let k = scale.unwrap_or(1.0);
        // Writing to a String cannot fail.
        let _ = match method {
            Method::TransverseMercator => write!(text, "+proj=tmerc +lat_0={lat0} +k={k}"),
            Method::Lambert1 => {
                let parallel = first.unwrap_or(lat0);
                write!(text, "+proj=lcc +lat_1={parallel} +lat_0={} +k_0={k}", lat.unwrap_or(parallel))
            }
            Method::Lambert2 | Method::Albers => {
                let (Some(first), Some(second)) = (first, second) else {
                    return Err("its standard parallels are missing".to_owned());
                };
                if is_near(first, -second, 1e-9) || k != 1.0 {
                    return Err("its standard parallels or scale are out of range".to_owned());
                }
                let name = if method == Method::Albers { "aea" } else { "lcc" };
                write!(text, "+proj={name} +lat_1={first} +lat_2={second} +lat_0={lat0}")
            }
            Method::Azimuthal => write!(text, "+proj=laea +lat_0={lat0}"),
            Method::ObliqueStereographic => write!(text, "+proj=sterea +lat_0={lat0} +k={k}"),
            Method::PolarByScale | Method::PolarByParallel => return self.polar(first.or(lat), scale, lon),
            Method::MercatorByScale if lat0 == 0.0 => write!(text, "+proj=merc +k={k}"),
            Method::MercatorByParallel if k == 1.0 && lat0 == 0.0 => {
                write!(text, "+proj=merc +lat_ts={}", first.unwrap_or(0.0))
            }
            Method::Sinusoidal => write!(text, "+proj=sinu"),
            Method::MercatorByScale | Method::MercatorByParallel | Method::WebMercator => {
                return Err(unknown());
            }
        };
        self.finish(text, lon)
    }

    /// Polar stereographic: by the scale at the pole or by the parallel of true scale.
    fn polar(&self, parallel: Option<f64>, scale: Option<f64>, lon: f64) -> Result<String, String> {
        let parallel = match (parallel, plain(&self.method).as_str()) {
            (Some(parallel), _) => parallel,
            (None, "stereographicsouthpole") => -90.0,
            (None, _) => 90.0,
        };
        let (pole, k) = (90.0_f64.copysign(parallel), scale.unwrap_or(1.0));
        let at_pole = parallel.abs() == 90.0;
        if parallel.abs() < 1.0 || (k != 1.0 && !at_pole) {
            return Err("its parallel of true scale is out of range".to_owned());
        }
        let scale = if at_pole { format!("+k={k}") } else { format!("+lat_ts={parallel}") };
        self.finish(format!("+proj=stere +lat_0={pole} {scale}"), lon)
    }

    fn finish(&self, text: String, lon: f64) -> Result<String, String> {
        let x0 = self.value(Role::FalseEasting)?.unwrap_or(0.0);
        let y0 = self.value(Role::FalseNorthing)?.unwrap_or(0.0);
        let unit = if self.unit == 1.0 { "+units=m".to_owned() } else { format!("+to_meter={}", self.unit) };
        Ok(format!("{text} +lon_0={lon} +x_0={x0} +y_0={y0} {unit}"))
    }
}
