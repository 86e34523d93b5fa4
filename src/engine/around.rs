//! Bounds around several features of an answer.

use crate::geo::Bounds;

/// Bounds around both. In degrees the shorter way round, where either may cross the antimeridian or both together do: then
/// west is greater than east (RFC 7946, 5.2).
pub(super) fn around_both(a: &Bounds, b: &Bounds, geographic: bool) -> Bounds {
    let mut both = a.union(b);
    if !geographic {
        return both;
    }
    let width = |b: &Bounds| b.max_x - b.min_x + if b.min_x > b.max_x { 360.0 } else { 0.0 };
    // How far it is from the west of the first to the east of both, and these two.
    let from = |first: &Bounds, second: &Bounds| {
        let reach = (second.min_x - first.min_x).rem_euclid(360.0) + width(second);
        if reach > width(first) {
            (reach, first.min_x, second.max_x)
        } else {
            (width(first), first.min_x, first.max_x)
        }
    };
    let (one, other) = (from(a, b), from(b, a));
    let (span, west, east) = if one.0 <= other.0 { one } else { other };
    (both.min_x, both.max_x) = if span >= 360.0 { (-180.0, 180.0) } else { (west, east) };
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_on_both_sides_of_the_antimeridian_are_joined_across_it() {
        let around = |a: &Bounds, b: &Bounds| {
            let both = around_both(a, b, true);
            assert_eq!(both, around_both(b, a, true));
            both
        };
        let crossing = Bounds::new(179.9, -17.0, -179.8, -16.0);
        let east = Bounds::new(-179.7, -18.0, -179.6, -17.5);
        assert_eq!(around(&crossing, &east), Bounds::new(179.9, -18.0, -179.6, -16.0));
        // Neither crosses, both together do; a third within adds nothing.
        let (a, b) = (Bounds::new(179.5, 0.0, 179.9, 1.0), Bounds::new(-179.9, 0.0, -179.5, 1.0));
        let both = around(&a, &b);
        assert_eq!(both, Bounds::new(179.5, 0.0, -179.5, 1.0));
        assert_eq!(around(&both, &Bounds::new(179.8, 0.0, -179.8, 1.0)), both);
        // Around a pole there is no shorter way.
        let cap = Bounds::new(-180.0, 80.0, 180.0, 90.0);
        assert_eq!(
            around(&cap, &Bounds::new(170.0, 79.0, -170.0, 80.0)),
            Bounds::new(-180.0, 79.0, 180.0, 90.0)
        );
        let plain = Bounds::new(1.0, 2.0, 3.0, 4.0);
        assert_eq!(around(&plain, &Bounds::new(2.0, 1.0, 5.0, 3.0)), Bounds::new(1.0, 1.0, 5.0, 4.0));
    }

    #[test]
    fn eastings_have_no_seam() {
        let (a, b) = (Bounds::new(500.0, 0.0, 510.0, 1.0), Bounds::new(100.0, 0.0, 110.0, 1.0));
        assert_eq!(around_both(&a, &b, false), Bounds::new(100.0, 0.0, 510.0, 1.0));
    }
}
