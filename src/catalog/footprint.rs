//! The footprints of all chips: which part of the map each one shows. Geometry of a single ring is in
//! `ring`, the tree over them in `index`.

use super::prompt::PromptGeometry;
use super::ring;
use crate::geo::Bounds;

/// The footprint of one chip, in the folder's CRS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint<'a> {
    /// The bounds; for most chips the footprint itself.
    pub bounds: Bounds,
    /// The ring, counter-clockwise and without its closing vertex, of a footprint that is not a box: the
    /// chip of a rotated raster.
    pub ring: Option<&'a [[f64; 2]]>,
}

impl Footprint<'_> {
    /// Whether the footprint covers the box and the convex hull of the points of a prompt; touching is
    /// covered (`covers` of OGC Simple Features).
    pub fn covers(&self, prompt: &PromptGeometry) -> bool {
        prompt.vertices().all(|(x, y)| self.bounds.covers_point(x, y))
            && self.ring.is_none_or(|ring| ring::covers_prompt(ring, prompt))
    }

    /// The same for a prompt that may lie so far outside, in CRS units, as rounding alone puts it.
    pub(super) fn covers_within(&self, prompt: &PromptGeometry, tolerance: f64) -> bool {
        let Bounds { min_x, min_y, max_x, max_y } = self.bounds;
        let bounds = Bounds::new(min_x - tolerance, min_y - tolerance, max_x + tolerance, max_y + tolerance);
        prompt.vertices().all(|(x, y)| bounds.covers_point(x, y))
            && self.ring.is_none_or(|ring| {
                ring::covers_prompt(ring, prompt)
                    // A convex ring that all but covers the corners all but covers what lies between.
                    || (ring::is_convex(ring)
                        && prompt.vertices().all(|(x, y)| ring::distance_to(ring, [x, y]) <= tolerance))
            })
    }

    /// Distance from a position to the footprint, in CRS units; zero inside.
    pub fn distance_to(&self, x: f64, y: f64) -> f64 {
        self.ring.map_or_else(|| self.bounds.distance_to(x, y), |ring| ring::distance_to(ring, [x, y]))
    }
}

/// All footprints of a folder, by chip.
#[derive(Debug, Default)]
pub(super) struct Footprints {
    bounds: Vec<Bounds>,
    /// Chips whose footprint is a ring, ascending, and where its vertices end.
    ringed: Vec<(u32, u32)>,
    vertices: Vec<[f64; 2]>,
}

/// The farthest coordinate of a footprint, in CRS units: the Earth's girth in millimetres is 4e10. Squares
/// of it, and sums of those, stay numbers.
const FARTHEST: f64 = 1e12;

/// Why a ring is no footprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoFootprint {
    /// It encloses no area.
    #[error("encloses no area")]
    NoArea,
    /// It is on no map.
    #[error("has a coordinate beyond 1e12")]
    TooFar,
}

impl Footprints {
    /// Adds the footprint of the next chip, a ring without its closing vertex.
    pub(super) fn push_ring(&mut self, ring: &mut [[f64; 2]]) -> Result<(), NoFootprint> {
        let bounds = Bounds::around(ring.iter().map(|&[x, y]| (x, y))).ok_or(NoFootprint::NoArea)?;
        check_extent(&bounds)?;
        if !is_box(ring, &bounds) {
            let area = ring::doubled_area(ring);
            if area == 0.0 {
                return Err(NoFootprint::NoArea);
            }
            if area < 0.0 {
                ring.reverse();
            }
            self.vertices.extend_from_slice(ring);
            // Chips are less than 2^23, and a ring has 4096 vertices at most; were it more than 2^32, the
            // manifest would have 64 GB of them.
            self.ringed.push((self.bounds.len() as u32, self.vertices.len() as u32));
        }
        self.bounds.push(bounds);
        Ok(())
    }

    /// Adds a box.
    pub(super) fn push_box(&mut self, bounds: Bounds) -> Result<(), NoFootprint> {
        check_extent(&bounds)?;
        self.bounds.push(bounds);
        Ok(())
    }

    /// Gives back memory kept for more chips.
    pub(super) fn shrink(&mut self) {
        self.bounds.shrink_to_fit();
        self.ringed.shrink_to_fit();
        self.vertices.shrink_to_fit();
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.bounds.capacity() * size_of::<Bounds>()
            + self.ringed.capacity() * size_of::<(u32, u32)>()
            + self.vertices.capacity() * size_of::<[f64; 2]>()
    }

    /// Bounds by chip.
    pub(super) fn bounds(&self) -> &[Bounds] {
        &self.bounds
    }

    /// One chip's footprint. Panics if there is no such chip.
    pub(super) fn get(&self, chip: usize) -> Footprint<'_> {
        let ring = self.ringed.binary_search_by_key(&(chip as u64), |&(c, _)| u64::from(c)).ok().map(|i| {
            let start = if i == 0 { 0 } else { self.ringed[i - 1].1 };
            &self.vertices[start as usize..self.ringed[i].1 as usize]
        });
        Footprint { bounds: self.bounds[chip], ring }
    }
}

/// Checks that bounds have an area, on a map.
fn check_extent(bounds: &Bounds) -> Result<(), NoFootprint> {
    let (width, height) = bounds.size();
    if !(width > 0.0 && height > 0.0) {
        return Err(NoFootprint::NoArea);
    }
    let is_near = <[f64; 4]>::from(*bounds).iter().all(|v| v.abs() <= FARTHEST);
    if is_near { Ok(()) } else { Err(NoFootprint::TooFar) }
}

/// Whether a ring is its own bounds: four corners, one after the other.
fn is_box(ring: &[[f64; 2]], bounds: &Bounds) -> bool {
    let [a, b, c, d] = ring else { return false };
    let is_corner = |v: &[f64; 2]| {
        (v[0] == bounds.min_x || v[0] == bounds.max_x) && (v[1] == bounds.min_y || v[1] == bounds.max_y)
    };
    let opposite = |v: &[f64; 2], w: &[f64; 2]| v[0] != w[0] && v[1] != w[1];
    [a, b, c, d].into_iter().all(is_corner) && opposite(a, c) && opposite(b, d) && a != b && b != c
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(ring: &[[f64; 2]]) -> Result<Footprints, NoFootprint> {
        let mut footprints = Footprints::default();
        footprints.push_ring(&mut ring.to_vec()).map(|()| footprints)
    }

    #[test]
    fn a_box_is_kept_as_bounds_whatever_its_first_corner_and_direction() {
        let mut ring = vec![[1.0, 2.0], [5.0, 2.0], [5.0, 9.0], [1.0, 9.0]];
        for _ in 0..2 {
            for _ in 0..4 {
                let footprints = one(&ring).unwrap();
                assert_eq!(footprints.get(0).ring, None, "{ring:?}");
                assert_eq!(footprints.get(0).bounds, Bounds::new(1.0, 2.0, 5.0, 9.0));
                ring.rotate_left(1);
            }
            ring.reverse();
        }
    }

    #[test]
    fn other_rings_are_kept_counter_clockwise() {
        let clockwise = [[0.0, 0.0], [0.0, 2.0], [2.0, 2.0], [3.0, 0.0]];
        let footprints = one(&clockwise).unwrap();
        let ring = footprints.get(0).ring.unwrap();
        assert!(ring::doubled_area(ring) > 0.0, "{ring:?}");
        // Corners of bounds in the wrong order are a bow tie.
        assert_eq!(one(&[[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]]).err(), Some(NoFootprint::NoArea));
    }

    #[test]
    fn rings_without_area_are_refused() {
        for ring in [
            &[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]][..],
            &[[0.0, 0.0]; 4],
            &[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]],
            &[],
        ] {
            assert_eq!(one(ring).err(), Some(NoFootprint::NoArea), "{ring:?}");
        }
    }

    #[test]
    fn footprints_beyond_every_map_are_refused() {
        for ring in
            [[[0.0, 0.0], [1e13, 0.0], [0.0, 1.0]], [[0.0, -f64::MAX], [1.0, f64::MAX], [0.0, f64::MAX]]]
        {
            assert_eq!(one(&ring).err(), Some(NoFootprint::TooFar));
        }
    }

    #[test]
    fn boxes_and_rings_live_side_by_side() {
        let mut footprints = Footprints::default();
        let diamond = vec![[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        footprints.push_box(Bounds::new(0.0, 0.0, 1.0, 1.0)).unwrap();
        footprints.push_ring(&mut diamond.clone()).unwrap();
        footprints.push_box(Bounds::new(5.0, 5.0, 6.0, 6.0)).unwrap();
        footprints.push_ring(&mut [[9.0, 9.0], [10.0, 9.0], [9.0, 10.0]]).unwrap();
        assert_eq!(footprints.get(0).ring, None);
        assert_eq!(footprints.get(1).ring, Some(&diamond[..]));
        assert_eq!(footprints.get(2).ring, None);
        assert_eq!(footprints.get(3).ring.map(<[_]>::len), Some(3));
    }
}
