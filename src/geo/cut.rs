//! Rings in degrees across the antimeridian and around the poles: made continuous, and cut at 180 degrees.

use i_overlay::core::fill_rule::FillRule;

use super::lattice::{Corner, LatticeRing, enclosed, enclosed_by};
use super::transform_bounds::unwrap_longitudes;

/// Makes longitudes continuous, starts the exterior in -180..180, brings the holes to it, and closes rings that run around a
/// pole over the pole. Returns whether the exterior does. `may_jump`: whether a step of more than half the globe is the
/// antimeridian; the edges of a grid in degrees may really be so long.
pub(super) fn align(rings: &mut [Vec<[f64; 2]>], may_jump: bool) -> bool {
    let mut around_pole = false;
    let mut frame = None;
    for ring in rings {
        let turn = if may_jump { unwrap_longitudes(ring) } else { 0.0 };
        if turn != 0.0 {
            let [x, y] = ring[0];
            let pole = if ring.iter().map(|p| p[1]).sum::<f64>() > 0.0 { 90.0 } else { -90.0 };
            ring.extend([[x + turn, y], [x + turn, pole], [x, pole]]);
        }
        let (west, east) = longitudes(ring);
        let shift = match frame {
            None => {
                around_pole = turn != 0.0;
                let shift = -((west + 180.0) / 360.0).floor() * 360.0;
                // A ring that ends on the antimeridian may have begun beyond it.
                frame = Some((west + shift, east + shift));
                shift
            }
            Some((first, last)) => (((first + last) - (west + east)) / 720.0).round() * 360.0,
        };
        if shift != 0.0 {
            ring.iter_mut().for_each(|position| position[0] += shift);
        }
    }
    around_pole
}

/// Cuts rings that `align` has aligned along the antimeridian into parts of -180..180.
pub(super) fn cut(rounded: &[LatticeRing], half_turn: i64, around_pole: bool) -> Vec<Vec<LatticeRing>> {
    let whole_turn = 2 * half_turn;
    let (min, max) = extremes(&rounded[0]);
    // Around a pole a hole may lie across the cut, at both ends of the exterior.
    let mut rings = rounded.to_vec();
    for hole in &rounded[1..] {
        let (west, east) = extremes(hole);
        for shift in [-whole_turn, whole_turn] {
            if west[0] + shift < max[0] && east[0] + shift > min[0] {
                rings.push(hole.iter().map(|&[x, y]| [x + shift, y]).collect());
            }
        }
    }
    let mut parts = Vec::new();
    let mut west = -half_turn;
    while west < max[0] {
        let window = [west.max(min[0]), (west + whole_turn).min(max[0])];
        let home = |[x, y]: Corner| [x - west - half_turn, y];
        let found = enclosed(&rings, Some(window)).into_iter();
        parts.extend(found.map(|polygon| {
            polygon.into_iter().map(|ring| ring.into_iter().map(home).collect()).collect::<Vec<LatticeRing>>()
        }));
        west += whole_turn;
    }
    if around_pole || max[0] - min[0] >= whole_turn {
        // Joins the parts where the way over the pole began and ended, and those of a whole turn, which meet again where
        // the raster begins and ends.
        let rings: Vec<LatticeRing> = parts.into_iter().flatten().collect();
        parts = enclosed_by(&rings, None, FillRule::NonZero);
    }
    parts
}

/// The least and the greatest longitude.
pub(super) fn longitudes(ring: &[[f64; 2]]) -> (f64, f64) {
    ring.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(west, east), p| (west.min(p[0]), east.max(p[0])))
}

/// South-west and north-east corner.
pub(super) fn extremes(ring: &[Corner]) -> (Corner, Corner) {
    let first = ring.first().copied().unwrap_or_default();
    ring.iter().fold((first, first), |(min, max), &[x, y]| {
        ([min[0].min(x), min[1].min(y)], [max[0].max(x), max[1].max(y)])
    })
}
