//! Positions from one CRS to another. Bounds live in `transform_bounds`.

use proj4rs::errors::Result as ProjResult;
use proj4rs::transform::{Transform as ProjTransform, TransformClosure, transform};

use super::crs::Crs;
use super::error::GeoError;

/// A transformation between two CRSs, always in the order easting, northing or longitude, latitude,
/// degrees for geographic CRSs.
///
/// The operation is that of PROJ without grid files: projections exact to a fraction of a millimetre, datum
/// shifts by 3 or 7 parameters, and no shift between WGS 84 and the datums that coincide with it within a
/// metre or so (ETRS89, NAD83, GDA94, CGCS2000 ...), as PROJ, and so geosam, do by default.
#[derive(Debug, Clone)]
pub struct Transform {
    from: Crs,
    to: Crs,
    identity: bool,
}

impl Transform {
    /// The transformation from one CRS to another.
    ///
    /// # Errors
    /// [`GeoError::UnknownCrs`] when a projection of either cannot be used in the needed direction.
    pub fn new(from: &Crs, to: &Crs) -> Result<Self, GeoError> {
        for (crs, usable) in [(from, from.proj().has_inverse()), (to, to.proj().has_forward())] {
            if !usable {
                return Err(GeoError::unknown_crs(crs.name(), "its projection works in one direction only"));
            }
        }
        let identity = from == to || (coincides_with_wgs84(from) && coincides_with_wgs84(to));
        Ok(Self { from: from.clone(), to: to.clone(), identity })
    }

    /// The CRS that positions come in.
    pub fn from(&self) -> &Crs {
        &self.from
    }

    /// The CRS that positions go to.
    pub fn to(&self) -> &Crs {
        &self.to
    }

    /// Whether positions stay exactly as they are.
    pub fn is_identity(&self) -> bool {
        self.identity
    }

    /// The same two CRSs the other way round.
    pub fn inverse(&self) -> Result<Self, GeoError> {
        Self::new(&self.to, &self.from)
    }

    /// One position.
    ///
    /// # Errors
    /// [`GeoError::BadPosition`] for coordinates that are not finite or not on the globe, [`GeoError::OutOfDomain`]
    /// where the target CRS cannot express the position. Never returns a number that is not finite.
    pub fn point(&self, x: f64, y: f64) -> Result<(f64, f64), GeoError> {
        let mut point = [[x, y]];
        self.in_place(&mut point)?;
        Ok((point[0][0], point[0][1]))
    }

    /// Many positions, without allocating.
    ///
    /// # Errors
    /// As [`Transform::point`], for the first position that fails; some of the others may have been transformed.
    pub fn in_place(&self, points: &mut [[f64; 2]]) -> Result<(), GeoError> {
        let mut radians = [[0.0; 2]; CHUNK];
        for chunk in points.chunks_mut(CHUNK) {
            for &point in chunk.iter() {
                self.check(point)?;
            }
            if !self.identity {
                self.chunk(chunk, &mut radians[..chunk.len()])?;
            }
        }
        Ok(())
    }

    fn chunk(&self, points: &mut [[f64; 2]], work: &mut [[f64; 2]]) -> Result<(), GeoError> {
        work.copy_from_slice(points);
        if self.from.is_geographic() {
            work.iter_mut().flatten().for_each(|v| *v = v.to_radians());
        }
        let mut positions = Positions { points: work, at: 0 };
        let outcome = transform(self.from.proj(), self.to.proj(), &mut positions);
        let Positions { points: work, at } = positions;
        let failed = match outcome {
            Err(_) => Some(at),
            Ok(()) => work.iter().position(|[x, y]| !(x.is_finite() && y.is_finite())),
        };
        if let Some(&[x, y]) = failed.and_then(|index| points.get(index)) {
            let (from, to) = (self.from.name().to_owned(), self.to.name().to_owned());
            return Err(GeoError::OutOfDomain { x, y, from, to });
        }
        if self.to.is_geographic() {
            work.iter_mut().flatten().for_each(|v| *v = v.to_degrees());
        }
        points.copy_from_slice(work);
        Ok(())
    }

    fn check(&self, [x, y]: [f64; 2]) -> Result<(), GeoError> {
        let geographic = self.from.is_geographic();
        let problem = if !(x.is_finite() && y.is_finite()) {
            "not a finite number"
        } else if geographic && (x.abs() > 540.0 || y.abs() > 540.0) {
            // Not a swapped order either: eastings and northings, most of the time.
            "these are no degrees; name the CRS that they are in (\"crs\" in a request, --crs on the command line)"
        } else if geographic && y.abs() > 90.0 {
            "a latitude lies between -90 and 90, and the order is longitude, latitude"
        } else {
            return Ok(());
        };
        Err(GeoError::BadPosition { x, y, crs: self.from.name().to_owned(), problem })
    }
}

/// Positions in flight. proj4rs passes over them once per step of the operation, so a chunk should stay in
/// the nearest cache, and an error should leave the originals at hand for its message.
const CHUNK: usize = 128;

struct Positions<'a> {
    points: &'a mut [[f64; 2]],
    /// The position last worked on: the culprit after an error.
    at: usize,
}

impl ProjTransform for Positions<'_> {
    fn transform_coordinates<F: TransformClosure>(&mut self, f: &mut F) -> ProjResult<()> {
        for (index, point) in self.points.iter_mut().enumerate() {
            self.at = index;
            let (x, y, _) = f(point[0], point[1], 0.0)?;
            *point = [x, y];
        }
        Ok(())
    }
}

/// Whether a CRS is longitude and latitude on a datum that is taken as WGS 84 without any shift.
fn coincides_with_wgs84(crs: &Crs) -> bool {
    const COINCIDING: [&str; 10] = [
        "+proj=longlat",
        "+datum=WGS84",
        "+datum=NAD83",
        "+ellps=WGS84",
        "+ellps=GRS80",
        "+towgs84=0,0,0",
        "+towgs84=0,0,0,0,0,0,0",
        "+no_defs",
        "+type=crs",
        "+over",
    ];
    crs.proj4().split_ascii_whitespace().all(|parameter| COINCIDING.contains(&parameter))
}
