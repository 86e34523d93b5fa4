//! Boxes that lean out of the imagery only because they were drawn in another CRS.
//!
//! The box of an object in longitude and latitude, brought into a raster's CRS, has corners that the object does not reach: the CRSs are
//! turned against each other by some degrees, and each of the two boxes is drawn around the other. At the edge of the imagery no
//! chip covers such a box, although one covers the object. geosam refuses it.

use crate::geo::{Bounds, GeoError, Transform};

/// The least share of its width and height that a box must keep: CRSs turned by more than some 30 degrees tell nothing of where in
/// the box the object is.
const LEAST_KEPT: f64 = 0.25;
/// Share of a box that is taken off each side for the rounding of its coordinates.
const ROUNDED: f64 = 0.01;

/// What lies in the box for certain if it was drawn around an object that is upright in the raster; `None` where the CRSs are turned
/// too much for that.
///
/// The middles of its sides lie within the box around its corners by half of what each of both boxes has added. So twice as
/// much is taken off.
pub(super) fn upright(
    drawn: Bounds,
    outer: Bounds,
    transform: &Transform,
) -> Result<Option<Bounds>, GeoError> {
    let (x, y) = drawn.center();
    let sides = [(drawn.min_x, y), (drawn.max_x, y), (x, drawn.min_y), (x, drawn.max_y)];
    let middles = sides.iter().map(|&(x, y)| transform.point(x, y)).collect::<Result<Vec<_>, _>>()?;
    let Some(inner) = Bounds::around(middles) else { return Ok(None) };
    // Answers are written with so many decimals; what that moves is less than a hundredth of an object.
    let (width, height) = outer.size();
    let (across, up) = (width * ROUNDED, height * ROUNDED);
    let kept = Bounds::new(
        outer.min_x + across + 2.0 * (inner.min_x - outer.min_x).max(0.0),
        outer.min_y + up + 2.0 * (inner.min_y - outer.min_y).max(0.0),
        outer.max_x - across - 2.0 * (outer.max_x - inner.max_x).max(0.0),
        outer.max_y - up - 2.0 * (outer.max_y - inner.max_y).max(0.0),
    );
    let (kept_width, kept_height) = kept.size();
    let is_enough = kept_width >= LEAST_KEPT * width && kept_height >= LEAST_KEPT * height;
    Ok(is_enough.then_some(kept))
}

/// The part of a box that lies on a chip's bounds, which hold `kept` but for rounding.
pub(super) fn clipped(outer: Bounds, kept: Bounds, chip: Bounds) -> Bounds {
    Bounds::new(
        outer.min_x.max(chip.min_x).min(kept.min_x),
        outer.min_y.max(chip.min_y).min(kept.min_y),
        outer.max_x.min(chip.max_x).max(kept.max_x),
        outer.max_y.min(chip.max_y).max(kept.max_y),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::locate::EDGE_POINTS;
    use crate::geo::Crs;

    fn between(from: u32, to: u32) -> Transform {
        Transform::new(&Crs::from_epsg(from).unwrap(), &Crs::from_epsg(to).unwrap()).unwrap()
    }

    #[test]
    fn what_is_kept_of_an_answers_box_lies_in_the_object_and_holds_most_of_it() {
        // Far from the zone's middle, where north leans by two degrees; ETRS89-LAEA and Web Mercator beside degrees.
        let object = Bounds::new(700_000.0, 5_300_000.0, 700_120.0, 5_300_060.0);
        for crs in [4326, 3857, 3035] {
            let answer = between(32632, crs).bounds(object, EDGE_POINTS).unwrap();
            let back = between(crs, 32632);
            let outer = back.bounds(answer, EDGE_POINTS).unwrap();
            assert!(outer.min_x < object.min_x && outer.max_y > object.max_y, "{crs}: {outer:?}");
            let kept = upright(answer, outer, &back).unwrap().unwrap();
            assert!(kept.min_x > object.min_x && kept.max_x < object.max_x, "{crs}: {kept:?}");
            assert!(kept.min_y > object.min_y && kept.max_y < object.max_y, "{crs}: {kept:?}");
            assert!(kept.size().0 > 0.7 * 120.0 && kept.size().1 > 0.7 * 60.0, "{crs}: {kept:?}");
            let chip = Bounds::new(699_000.0, 5_299_000.0, 700_120.0, 5_300_060.0);
            let clipped = clipped(outer, kept, chip);
            assert_eq!((clipped.max_x, clipped.max_y), (chip.max_x, chip.max_y));
            assert_eq!((clipped.min_x, clipped.min_y), (outer.min_x, outer.min_y));
        }
    }

    #[test]
    fn of_crss_that_are_turned_far_against_each_other_nothing_is_known() {
        // New York's Lambert cone in Europe: half a right angle and more.
        let object = Bounds::new(512_000.0, 5_277_300.0, 512_100.0, 5_277_400.0);
        let answer = between(32632, 2263).bounds(object, EDGE_POINTS).unwrap();
        let back = between(2263, 32632);
        let outer = back.bounds(answer, EDGE_POINTS).unwrap();
        assert_eq!(upright(answer, outer, &back).unwrap(), None);
    }
}
