//! Longitudes of boxes and drawn areas that lie across the antimeridian: west may be greater than east (RFC 7946, 5.2), and
//! an area may be cut there into parts (3.1.9). Inside the program such a box goes on beyond 180 degrees. Cutting what is
//! written lives in `output`.

use super::bounds::Bounds;
use super::transform_bounds::unwrap_longitudes;

/// How near to 180 degrees a corner lies on it: what writers of six decimals leave of it.
const ON_SEAM: f64 = 1e-6;

impl Bounds {
    /// The box in degrees with its east beyond 180 where west was greater than east.
    ///
    /// `None` for one that would be wider than half the globe: its west and east were rather confused.
    #[must_use]
    pub fn across_antimeridian(mut self) -> Option<Self> {
        if self.min_x > self.max_x {
            self.max_x += 360.0;
            if self.max_x - self.min_x > 180.0 {
                return None;
            }
        }
        Some(self)
    }

    /// Bounds around the exteriors of an area's parts, given in degrees. Edges longer than half the globe run the other,
    /// shorter way round; parts that were cut apart at the antimeridian are joined there again. The box then goes on
    /// beyond 180. `None` without a corner.
    pub fn around_rings_in_degrees(rings: &[Vec<[f64; 2]>]) -> Option<Self> {
        let parts: Vec<Self> = rings.iter().filter_map(|ring| around_ring(ring)).collect();
        let plain = parts.iter().copied().reduce(|a, b| a.union(&b))?;
        let touches = |seam: f64| {
            parts.iter().any(|part| [part.min_x, part.max_x].iter().any(|x| (x - seam).abs() <= ON_SEAM))
        };
        if !(touches(180.0) && touches(-180.0)) {
            return Some(plain);
        }
        let eastward = |mut part: Self| {
            if part.center().0 < 0.0 {
                (part.min_x, part.max_x) = (part.min_x + 360.0, part.max_x + 360.0);
            }
            part
        };
        let joined = parts.iter().copied().map(eastward).reduce(|a, b| a.union(&b))?;
        Some(if joined.size().0 < plain.size().0 { joined } else { plain })
    }
}

/// Bounds of one ring; of one that runs around a pole the whole cap.
fn around_ring(ring: &[[f64; 2]]) -> Option<Bounds> {
    let mut ring = ring.to_vec();
    let turn = unwrap_longitudes(&mut ring);
    let mut bounds = Bounds::around(ring.iter().map(|&[x, y]| (x, y)))?;
    if turn != 0.0 {
        (bounds.min_x, bounds.max_x) = (-180.0, 180.0);
        if bounds.center().1 > 0.0 { bounds.max_y = 90.0 } else { bounds.min_y = -90.0 }
    } else if bounds.min_x < -180.0 {
        (bounds.min_x, bounds.max_x) = (bounds.min_x + 360.0, bounds.max_x + 360.0);
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(west: f64, east: f64) -> Vec<[f64; 2]> {
        vec![[west, 1.0], [east, 1.0], [east, 2.0], [west, 2.0], [west, 1.0]]
    }

    fn around(rings: &[Vec<[f64; 2]>]) -> [f64; 2] {
        let b = Bounds::around_rings_in_degrees(rings).unwrap();
        assert_eq!([b.min_y, b.max_y], [1.0, 2.0]);
        [b.min_x, b.max_x]
    }

    #[test]
    fn a_box_whose_west_is_greater_goes_on_beyond_180() {
        let across =
            |w: f64, e: f64| Bounds::new(w, 0.0, e, 1.0).across_antimeridian().map(|b| [b.min_x, b.max_x]);
        assert_eq!(across(179.5, -179.5), Some([179.5, 180.5]));
        assert_eq!(across(10.0, 20.0), Some([10.0, 20.0]));
        assert_eq!(across(179.5, 180.5), Some([179.5, 180.5]));
        assert_eq!(across(14.5, 14.4), None, "west and east confused");
    }

    #[test]
    fn parts_cut_at_the_antimeridian_are_joined_there() {
        assert_eq!(around(&[square(179.5, 180.0), square(-180.0, -179.25)]), [179.5, 180.75]);
        assert_eq!(around(&[square(-180.0, -179.25), square(179.5, 180.0)]), [179.5, 180.75]);
        let island = square(-179.0, -178.5);
        assert_eq!(around(&[square(179.5, 180.0), square(-180.0, -179.25), island]), [179.5, 181.5]);
        assert_eq!(
            around(&[square(178.0, 179.0), square(-179.0, -178.0)]),
            [-179.0, 179.0],
            "nothing says so"
        );
        assert_eq!(around(&[square(3.0, 4.0), square(8.0, 9.0)]), [3.0, 9.0]);
    }

    #[test]
    fn edges_longer_than_half_the_globe_run_the_shorter_way() {
        assert_eq!(around(&[square(179.5, -179.5)]), [179.5, 180.5]);
        assert_eq!(around(&[square(-179.5, 179.5)]), [179.5, 180.5]);
        assert_eq!(around(&[square(200.0, 210.0)]), [200.0, 210.0]);
    }

    #[test]
    fn a_ring_around_a_pole_bounds_its_cap() {
        let ring = vec![[0.0, 80.0], [120.0, 80.0], [-120.0, 81.0], [0.0, 80.0]];
        let cap = Bounds::around_rings_in_degrees(&[ring]);
        assert_eq!(cap, Some(Bounds::new(-180.0, 80.0, 180.0, 90.0)));
        assert_eq!(Bounds::around_rings_in_degrees(&[]), None);
    }
}
