//! Projected CRSs that are cut open along a meridian, as Web Mercator is at 180 degrees: what lies across that seam comes out
//! on both sides of the map. Such a polygon is cut in longitude and latitude, and its parts are projected.

use std::collections::HashMap;

use super::affine::Affine;
use super::crs::Crs;
use super::cut::{align, cut, extremes, longitudes};
use super::error::GeoError;
use super::joined::united;
use super::lattice::{Corner, LatticeRing, enclosed, smallest_box};
use super::transform::Transform;

/// Projections of the whole globe, or of all but a pole, whose map ends 180 degrees from the central meridian: cylinders,
/// pseudo-cylinders and cones. Azimuthal ones have no seam, those of a zone end long before.
const OPENED: &[&str] = &[
    "merc", "cea", "eqc", "mill", "moll", "sinu", "eqearth", "robin", "natearth", "eck4", "eck6", "lcc",
    "aea", "eqdc", "poly",
];
/// Parameters of a CRS that say which longitudes and latitudes its coordinates stand for.
const OF_DATUM: &[&str] =
    &["+datum", "+ellps", "+a", "+b", "+rf", "+f", "+R", "+towgs84", "+nadgrids", "+pm"];
/// How far from the seam its two sides are taken, in degrees: a hundredth of a millimetre.
const BESIDE: f64 = 1e-10;
/// Corners nearer to the seam than this may come out on either side of the map.
const ON_SEAM: f64 = 1e-8;
/// The finest lattice in units a degree, a tenth of a millimetre; and the most units that clipping takes.
const FINEST: f64 = 1e9;
const WIDEST: f64 = 1.3e9;

/// The seam of a projected target, and the ways across it.
#[derive(Debug, Clone)]
pub(super) struct Seam {
    affine: Affine,
    /// To longitude and latitude on the target's datum. `None` for a raster in degrees, whose edges may be longer than half
    /// the globe: its own are taken for the cut, which a datum shift moves by less than anybody draws at the seam.
    to_degrees: Option<Transform>,
    /// From there to the target.
    to_target: Transform,
    central: f64,
}

impl Seam {
    /// The seam of the target, where it has one.
    pub fn of(affine: Affine, source: &Crs, target: &Crs) -> Option<Self> {
        if !OPENED.contains(&target.parameter("+proj")?) {
            return None;
        }
        let central = target.parameter("+lon_0").map_or(Ok(0.0), str::parse).ok()?;
        let degrees = degrees_of(target).ok()?;
        let to_degrees = match source.is_geographic() {
            true => None,
            false => Some(Transform::new(source, &degrees).ok()?),
        };
        Some(Self { affine, to_degrees, to_target: Transform::new(&degrees, target).ok()?, central })
    }

    /// The parts of a polygon that lies across the seam, on the lattice of the output; `None` for one that does not.
    /// `targets` are the positions of the rings' corners in the output CRS, `scale` its lattice.
    ///
    /// # Errors
    /// As [`Transform::point`]; a polygon around a pole has no end in a CRS that cannot express the pole.
    pub fn cut(
        &self,
        pixels: &[&[[i32; 2]]],
        targets: &[[f64; 2]],
        scale: f64,
    ) -> Result<Option<Vec<Vec<LatticeRing>>>, GeoError> {
        if !pixels.first().is_some_and(|exterior| self.may_cross(exterior)) {
            return Ok(None);
        }
        let mut rings = pixels.iter().map(|ring| self.degrees(ring)).collect::<Result<Vec<_>, _>>()?;
        let around_pole = align(&mut rings, self.to_degrees.is_some());
        let (west, east) = longitudes(&rings[0]);
        // What ends on the seam without crossing it is cut, too: its corners there belong to its own side of the map.
        if !around_pole && west > ON_SEAM - 180.0 && east < 180.0 - ON_SEAM {
            return Ok(None);
        }
        let lattice = Lattice::around(&rings);
        let rounded: Vec<LatticeRing> = rings.iter().map(|ring| lattice.round(ring)).collect();
        // Corners that the cut leaves alone keep their exact positions. Those that close a ring over a pole have none.
        let mut known: HashMap<Corner, [f64; 2]> = HashMap::new();
        let mut targets = targets.iter();
        for (ring, corners) in pixels.iter().zip(&rounded) {
            known.extend(
                corners
                    .iter()
                    .take(ring.len())
                    .zip(targets.by_ref())
                    .map(|(&corner, &at)| (lattice.home(corner), at)),
            );
        }
        let mut parts = Vec::new();
        let mut vanished = Vec::new();
        for part in cut(&rounded, lattice.half_turn(), around_pole) {
            let mut written = Vec::with_capacity(part.len());
            for ring in &part {
                let positions = ring.iter().map(|&corner| self.target(corner, &lattice, &known));
                let positions = positions.collect::<Result<Vec<_>, _>>()?;
                let mut ring: LatticeRing =
                    positions.iter().map(|p| p.map(|v| (v * scale).round() as i64)).collect();
                ring.dedup();
                written.push(ring);
            }
            let found = enclosed(&written, None);
            if found.is_empty() {
                vanished.extend(written.first().map(|ring| extremes(ring)));
            }
            parts.extend(found);
        }
        if parts.is_empty() {
            // Around a pole a region between two decimals is as wide as the map.
            let widest = vanished.into_iter().max_by_key(|(min, max)| max[0] - min[0]);
            parts.extend(widest.map(|(min, max)| vec![smallest_box(min, max, None)]));
        }
        // Parts that only met in a corner may have come nearer by rounding.
        Ok(Some(united(parts)))
    }

    /// Whether a ring is so near to the seam that its corners have to be looked at.
    fn may_cross(&self, ring: &[[i32; 2]]) -> bool {
        let ends = |axis: usize| {
            let all = ring.iter().map(|corner| f64::from(corner[axis]));
            let (low, high) =
                all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
            [low, (low + high) / 2.0, high]
        };
        let (columns, rows) = (ends(0), ends(1));
        let Ok([middle, _]) = self.degrees_at(columns[1], rows[1]) else { return true };
        let wrapped = |degrees: f64| (degrees + 180.0).rem_euclid(360.0) - 180.0;
        let mut reach = 0.0_f64;
        for (column, row) in columns.iter().flat_map(|&column| rows.iter().map(move |&row| (column, row))) {
            match self.degrees_at(column, row) {
                // Near a pole longitudes run away between the places that were looked at.
                Ok([longitude, latitude]) if latitude.abs() < 75.0 => {
                    reach = reach.max(wrapped(longitude - middle).abs())
                }
                _ => return true,
            }
        }
        reach > 30.0 || wrapped(middle - self.central).abs() + 2.0 * reach > 179.999
    }

    fn degrees_at(&self, column: f64, row: f64) -> Result<[f64; 2], GeoError> {
        let (x, y) = self.affine.apply(column, row);
        match &self.to_degrees {
            Some(transform) => transform.point(x, y).map(Into::into),
            None => Ok([x, y]),
        }
    }

    /// A ring in degrees from the central meridian.
    fn degrees(&self, ring: &[[i32; 2]]) -> Result<Vec<[f64; 2]>, GeoError> {
        let at = |&[column, row]: &[i32; 2]| {
            let [longitude, latitude] = self.degrees_at(f64::from(column), f64::from(row))?;
            Ok([longitude - self.central, latitude])
        };
        ring.iter().map(at).collect()
    }

    /// The position of a corner of a part; on the seam, that on the part's side of the map.
    fn target(
        &self,
        corner: Corner,
        lattice: &Lattice,
        known: &HashMap<Corner, [f64; 2]>,
    ) -> Result<[f64; 2], GeoError> {
        let half_turn = lattice.half_turn();
        let [x, latitude] = corner.map(|v| v as f64 / lattice.per_degree);
        let x = match corner[0] {
            east if east >= half_turn => 180.0 - BESIDE,
            west if west <= -half_turn => BESIDE - 180.0,
            _ => match known.get(&lattice.home(corner)) {
                Some(&position) => return Ok(position),
                None => x,
            },
        };
        self.to_target.point(self.central + x, latitude.clamp(-90.0, 90.0)).map(Into::into)
    }
}

/// Longitude and latitude on the datum of a projected CRS.
pub(super) fn degrees_of(projected: &Crs) -> Result<Crs, GeoError> {
    let parameters = projected.proj4().split_ascii_whitespace();
    let is_of_datum = |p: &&str| OF_DATUM.contains(&p.split('=').next().unwrap_or_default());
    let datum = parameters.filter(is_of_datum).collect::<Vec<_>>().join(" ");
    Crs::from_proj4(format!("+proj=longlat {datum} +no_defs"), None, projected.name().to_owned())
}

/// Where degrees are rounded for the cut.
struct Lattice {
    per_degree: f64,
}

impl Lattice {
    /// The finest that clipping takes around rings.
    fn around(rings: &[Vec<[f64; 2]>]) -> Self {
        let all = || rings.iter().flatten();
        let span = |axis: usize| {
            let ends =
                all().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p[axis]), b.max(p[axis])));
            ends.1 - ends.0
        };
        let extent = span(0).max(span(1));
        let mut per_degree = FINEST;
        // Still whole: the seam lies on the lattice.
        while extent * per_degree > WIDEST && per_degree > 1.0 {
            per_degree /= 10.0;
        }
        Self { per_degree }
    }

    fn half_turn(&self) -> i64 {
        (180.0 * self.per_degree) as i64
    }

    fn round(&self, ring: &[[f64; 2]]) -> LatticeRing {
        ring.iter().map(|p| p.map(|v| (v * self.per_degree).round() as i64)).collect()
    }

    /// A corner with its longitude in -180..180.
    fn home(&self, [x, y]: Corner) -> Corner {
        let half_turn = self.half_turn();
        [(x + half_turn).rem_euclid(2 * half_turn) - half_turn, y]
    }
}
