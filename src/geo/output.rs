//! Rings of pixel corners to GeoJSON geometry as RFC 7946 wants it: projected, rounded, oriented, valid, cut at the
//! antimeridian (`cut`) or at the seam of a projected CRS (`seam`). The arithmetic on rounded coordinates lives in `lattice`.

use super::affine::Affine;
use super::bounds::Bounds;
use super::crs::Crs;
use super::cut::{align, cut, extremes, longitudes};
use super::error::GeoError;
use super::geometry::{Geometry, Ring};
use super::lattice::{Corner, LatticeRing, Origin, are_sound, doubled_area, enclosed, smallest_box};
use super::measure::{per_degree, turn};
use super::pixel_map::PixelMap;
use super::seam::Seam;
use super::transform::Transform;

/// Units of the lattice in a degree: seven decimals, a centimetre (RFC 7946, 11.2 advises six).
const PER_DEGREE: f64 = 1e7;
/// Units of the lattice in a unit of a projected CRS: three decimals, more where the unit is longer than ten metres.
const PER_METRE: f64 = 1e3;
/// Pixels smaller than this are taken as degrees where the CRS is not known.
const DEGREE_PIXEL: f64 = 0.01;
/// Coordinates beyond this many units of the lattice are none.
const LARGEST: f64 = 9e15;

/// Writes the rings of one chip in one CRS.
#[derive(Debug, Clone)]
pub struct Projector {
    pub(super) map: PixelMap,
    geographic: bool,
    /// Where a projected target is cut open.
    seam: Option<Seam>,
    crs: String,
}

/// A geometry ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Projected {
    /// The polygon, or its parts.
    pub geometry: Geometry,
    /// Bounds in the output CRS; west exceeds east where the geometry crosses the antimeridian (RFC 7946, 5.2).
    pub bounds: Bounds,
}

/// Units of the lattice in a unit of so many metres: a thousand, or where the unit is longer what comes nearest to millimetres.
fn per_unit(metres: f64) -> f64 {
    PER_METRE * 10.0_f64.powf(metres.log10().round().clamp(0.0, 6.0))
}

impl Projector {
    /// From pixel corners by the raster's affine grid to the source CRS and on to the target CRS.
    ///
    /// Coordinates get 7 decimals in a geographic target, else 3; 6 where its unit is the kilometre.
    ///
    /// # Errors
    /// [`GeoError::DegenerateGrid`] for a grid without area, and what [`Transform::new`] refuses.
    pub fn new(affine: Affine, source: &Crs, target: &Crs) -> Result<Self, GeoError> {
        if affine.inverse().is_none() {
            let Affine { a, b, c, d, e, f } = affine;
            return Err(GeoError::DegenerateGrid { grid: format!("{:?}", [a, b, c, d, e, f]) });
        }
        let transform = Transform::new(source, target)?;
        let transform = (!transform.is_identity()).then_some(transform);
        let plain = Self::untransformed(affine, Some(target));
        let seam = if transform.is_some() { Seam::of(affine, source, target) } else { None };
        Ok(Self { map: PixelMap::new(affine, transform, plain.map.scale()), seam, ..plain })
    }

    /// From pixel corners by the raster's affine grid to the source's own CRS, supported or not.
    ///
    /// Coordinates get 7 decimals where the CRS is geographic, else 3, or 6 where its unit is the kilometre; where it is not
    /// known, 7 if a pixel is smaller than 0.01 units, as degrees make it.
    pub fn untransformed(affine: Affine, source: Option<&Crs>) -> Self {
        let (width, height) = affine.pixel_size();
        let scale = match source {
            None if width.min(height) < DEGREE_PIXEL => PER_DEGREE,
            None => PER_METRE,
            Some(crs) => crs.metres_per_unit().map_or(PER_DEGREE, per_unit),
        };
        Self {
            map: PixelMap::new(affine, None, scale),
            geographic: source.is_some_and(Crs::is_geographic),
            seam: None,
            crs: source.map_or("the raster's CRS", Crs::name).to_owned(),
        }
    }

    /// Whether it writes degrees.
    pub const fn is_geographic(&self) -> bool {
        self.geographic
    }

    /// Blocks of the chip that it has learnt to project: half a kilobyte of memory each at the most.
    pub fn blocks(&self) -> usize {
        self.map.blocks()
    }

    /// Metres to the east and to the north a pixel along columns and along rows, `[[east per column, east per row], [north per
    /// column, north per row]]`, around a place in pixels: what a reach on either side of it comes to. `None` where it does not
    /// write longitude and latitude, or the place has none.
    pub fn metres_per_pixel(&self, [col, row]: [f64; 2], reach: f64) -> Option<[[f64; 2]; 2]> {
        if !self.geographic {
            return None;
        }
        let [_, latitude] = self.map.exact(col, row).ok()?;
        let [east, north] = per_degree(latitude);
        let way = |from: [f64; 2], to: [f64; 2]| {
            let (from, to) = (self.map.exact(from[0], from[1]).ok()?, self.map.exact(to[0], to[1]).ok()?);
            let degrees = [turn(to[0] - from[0]) * east, (to[1] - from[1]) * north];
            Some(degrees.map(|metres| metres / (2.0 * reach)))
        };
        let along_columns = way([col - reach, row], [col + reach, row])?;
        let along_rows = way([col, row - reach], [col, row + reach])?;
        Some([[along_columns[0], along_rows[0]], [along_columns[1], along_rows[1]]])
    }

    /// A polygon of pixel corners `[column, row]`: rings are closed and may run either way.
    ///
    /// The result is valid after rounding if the polygon was valid before. Where rounding makes rings meet (pixels
    /// not much larger than the last decimal, or simplified outlines that nearly touch), the even-odd area of the
    /// rounded rings is written instead, which may have another number of parts. A region that vanishes between
    /// two decimals is written as the smallest box of the lattice around it: a region is never empty.
    ///
    /// # Errors
    /// [`GeoError::DegenerateRing`] for an exterior of fewer than three distinct corners, and what
    /// [`Transform::point`] refuses.
    pub fn polygon<'a>(
        &mut self,
        exterior: &[[i32; 2]],
        holes: impl Iterator<Item = &'a [[i32; 2]]>,
    ) -> Result<Projected, GeoError> {
        let exterior = open(exterior);
        if exterior.len() < 3 {
            return Err(GeoError::DegenerateRing { corners: exterior.len() });
        }
        let mut pixels = vec![exterior];
        for hole in holes {
            if open(hole).len() >= 3 {
                pixels.push(open(hole));
            }
        }
        let mut positions = Flat::with_capacity(&pixels);
        for ring in &pixels {
            self.map.append(ring, &mut positions.items)?;
            positions.end_ring();
        }
        if let Some(seam) = &self.seam
            && let Some(parts) = seam.cut(&pixels, &positions.items, self.map.scale())?
        {
            let mut polygons: Vec<Vec<Ring>> = parts.iter().map(|rings| self.write(rings)).collect();
            if polygons.is_empty() {
                let corner = self.round(&positions.items[..1])?[0];
                polygons.push(self.write(&[smallest_box(corner, corner, None)]));
            }
            let bounds = self.bounds(&polygons, None, false);
            return Ok(Projected { geometry: geometry_of(polygons), bounds });
        }
        if self.stays_as_it_is(&positions.items) && self.is_rectilinear_and_coarse(&pixels) {
            // The way of nearly every outline along pixel edges: without a copy of each ring.
            let corners = self.round(&positions.items)?;
            let rings = positions.rings(&corners).enumerate();
            let polygon: Vec<Ring> = rings.filter_map(|(i, ring)| self.ring(ring, i == 0)).collect();
            let bounds = self.bounds(std::slice::from_ref(&polygon), None, false);
            return Ok(Projected { geometry: Geometry::Polygon(polygon), bounds });
        }
        let mut rings: Vec<Vec<[f64; 2]>> = positions.rings(&positions.items).map(<[_]>::to_vec).collect();
        // An affine grid makes no jumps, and its edges may be longer than half the globe.
        let around_pole = self.geographic && align(&mut rings, self.map.is_transformed());
        let rounded = rings.iter().map(|ring| self.round(ring)).collect::<Result<Vec<_>, _>>()?;

        let (min, max) = extremes(&rounded[0]);
        let half_turn = (180.0 * self.map.scale()) as i64;
        let crosses = self.geographic && max[0] > half_turn;
        let parts = if around_pole || crosses {
            cut(&rounded, half_turn, around_pole)
        } else {
            self.whole(&pixels, rounded)
        };
        let mut polygons: Vec<Vec<Ring>> = parts.iter().map(|rings| self.write(rings)).collect();
        if polygons.is_empty() {
            let (west, east) =
                if crosses { (min[0] - 2 * half_turn, max[0] - 2 * half_turn) } else { (min[0], max[0]) };
            polygons.push(self.write(&[smallest_box(
                [west, min[1]],
                [east, max[1]],
                self.geographic.then_some(half_turn),
            )]));
        }
        let bounds = self.bounds(&polygons, crosses.then_some((min[0], max[0])), around_pole);
        Ok(Projected { geometry: geometry_of(polygons), bounds })
    }

    /// Whether there is nothing to align: all positions lie in -180..180, nearer to each other than half the globe.
    fn stays_as_it_is(&self, positions: &[[f64; 2]]) -> bool {
        let (west, east) = longitudes(positions);
        !self.geographic || (west >= -180.0 && east < 180.0 && east - west < 180.0)
    }

    fn round(&self, positions: &[[f64; 2]]) -> Result<LatticeRing, GeoError> {
        let scale = self.map.scale();
        let mut corners = Vec::with_capacity(positions.len());
        for &[x, y] in positions {
            let [column, row] = [x, y].map(|v| v * scale);
            // Written so that a NaN fails it too.
            if !(column.abs() < LARGEST && row.abs() < LARGEST) {
                let problem = "the raster's grid leads to a coordinate that cannot be written";
                return Err(GeoError::BadPosition { x, y, crs: self.crs.clone(), problem });
            }
            corners.push([nearest(column), nearest(row)]);
        }
        Ok(corners)
    }

    /// A polygon that stays in one piece, unless rounding has broken it.
    fn whole(&self, pixels: &[&[[i32; 2]]], rounded: Vec<LatticeRing>) -> Vec<Vec<LatticeRing>> {
        if self.is_rectilinear_and_coarse(pixels) {
            return vec![rounded];
        }
        let mut rings: Vec<Vec<Origin>> = pixels.iter().zip(&rounded).map(|(p, r)| origins(p, r)).collect();
        // Holes that vanish between two decimals do not matter.
        let mut is_exterior = true;
        rings.retain(|ring| std::mem::take(&mut is_exterior) || ring.len() >= 3);
        // A small hole may also have come to lie beyond a long edge without meeting it.
        if are_sound(&rings) && (rings.len() == 1 || self.keeps_sides(pixels)) {
            vec![rings.into_iter().map(|ring| ring.into_iter().map(|corner| corner.at).collect()).collect()]
        } else {
            enclosed(&rounded, None)
        }
    }

    /// Units of the last decimal in a unit of the output CRS.
    pub(super) const fn scale(&self) -> f64 {
        self.map.scale()
    }

    pub(super) fn write(&self, rings: &[LatticeRing]) -> Vec<Ring> {
        rings.iter().enumerate().filter_map(|(index, ring)| self.ring(ring, index == 0)).collect()
    }

    /// A ring as it is written: closed, an exterior counter-clockwise, a hole clockwise; `None` for a hole without
    /// area. The first corner stays the first.
    fn ring(&self, ring: &[Corner], is_exterior: bool) -> Option<Ring> {
        let area = doubled_area(ring);
        if area == 0 && !is_exterior {
            return None;
        }
        let scale = self.map.scale();
        let position = |corner: &Corner| corner.map(|v| v as f64 / scale);
        let mut written = Vec::with_capacity(ring.len() + 1);
        if (area > 0) == is_exterior {
            written.extend(ring.iter().map(position));
        } else {
            written.extend(ring.first().map(position));
            written.extend(ring.iter().skip(1).rev().map(position));
        }
        written.extend(ring.first().map(position));
        Some(written)
    }

    fn bounds(&self, polygons: &[Vec<Ring>], crossing: Option<(i64, i64)>, around_pole: bool) -> Bounds {
        let exteriors = polygons.iter().filter_map(|rings| rings.first()).flatten();
        let found = Bounds::around(exteriors.map(|&[x, y]| (x, y)));
        let mut bounds = found.unwrap_or(Bounds::new(0.0, 0.0, 0.0, 0.0));
        let has_both_sides = polygons.len() > 1;
        if around_pole {
            (bounds.min_x, bounds.max_x) = (-180.0, 180.0);
        } else if let Some((west, east)) = crossing
            && has_both_sides
            && east - west < (360.0 * self.map.scale()) as i64
        {
            (bounds.min_x, bounds.max_x) =
                (west as f64 / self.map.scale(), (east as f64 - 360.0 * self.map.scale()) / self.map.scale());
        }
        bounds
    }
}

/// The polygon, or its parts.
pub(super) fn geometry_of(polygons: Vec<Vec<Ring>>) -> Geometry {
    match <[Vec<Ring>; 1]>::try_from(polygons) {
        Ok([polygon]) => Geometry::Polygon(polygon),
        Err(polygons) => Geometry::MultiPolygon(polygons),
    }
}

/// The positions of all rings of a polygon in one allocation.
struct Flat {
    items: Vec<[f64; 2]>,
    /// Where each ring ends.
    ends: Vec<usize>,
}

impl Flat {
    fn with_capacity(rings: &[&[[i32; 2]]]) -> Self {
        let items = Vec::with_capacity(rings.iter().map(|ring| ring.len()).sum());
        Self { items, ends: Vec::with_capacity(rings.len()) }
    }

    fn end_ring(&mut self) {
        self.ends.push(self.items.len());
    }

    /// The rings of the positions, or of anything that there is one a position of.
    fn rings<'a, T>(&self, items: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &items[start..end])
    }
}

/// The nearest integer, halves away from zero: `f64::round`, which is a call on processors without an instruction for it.
/// Exact below [`LARGEST`].
fn nearest(v: f64) -> i64 {
    let whole = v as i64;
    let rest = v - whole as f64;
    whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5)
}

/// A ring without the corner that closes it.
fn open(ring: &[[i32; 2]]) -> &[[i32; 2]] {
    match ring {
        [rest @ .., last] if rest.first() == Some(last) => rest,
        _ => ring,
    }
}

/// Corners with their origins, without those that rounding has put onto the one before.
fn origins(pixels: &[[i32; 2]], rounded: &[Corner]) -> Vec<Origin> {
    let mut corners: Vec<Origin> =
        pixels.iter().zip(rounded).map(|(&pixel, &at)| Origin { at, pixel }).collect();
    corners.dedup_by_key(|corner| corner.at);
    while corners.len() > 1 && corners.first().map(|c| c.at) == corners.last().map(|c| c.at) {
        corners.pop();
    }
    corners
}
