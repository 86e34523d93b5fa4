//! Geometry of one footprint ring: what it covers and how far it is. The store of all footprints is in
//! `footprint`.
//!
//! Signs of areas are exact (Shewchuk's predicates, as `geo` has them), so that a prompt on an edge is
//! decided as GEOS decides it in geosam. A ring is given without its closing vertex.

use geo::algorithm::kernels::Orientation;

use super::prompt::PromptGeometry;
use crate::geo::{convex_hull, orientation};

type Position = [f64; 2];

fn edges(ring: &[Position]) -> impl Iterator<Item = (Position, Position)> + Clone + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Twice the signed area; positive where the ring runs counter-clockwise.
pub(super) fn doubled_area(ring: &[Position]) -> f64 {
    let Some(&[x0, y0]) = ring.first() else { return 0.0 };
    // Relative to the first vertex: coordinates are large, chips are small.
    edges(ring).map(|([ax, ay], [bx, by])| (ax - x0) * (by - y0) - (bx - x0) * (ay - y0)).sum()
}

/// Whether the ring is convex: it turns one way only, and round once.
pub(super) fn is_convex(ring: &[Position]) -> bool {
    let corners = edges(ring).zip(ring.iter().copied().cycle().skip(2));
    let mut turns = corners.map(|((a, b), c)| orientation(a, b, c)).filter(|&t| t != Orientation::Collinear);
    let Some(first) = turns.next() else { return false };
    if turns.any(|t| t != first) {
        return false;
    }
    let reversals = |axis: usize| {
        let signs = edges(ring).map(|(a, b)| b[axis] - a[axis]).filter(|&d| d != 0.0).map(|d| d > 0.0);
        let next = signs.clone().cycle().skip(1);
        signs.zip(next).filter(|(a, b)| a != b).count()
    };
    reversals(0) == 2 && reversals(1) == 2
}

/// Whether a position lies inside or on the ring.
pub(super) fn covers_position(ring: &[Position], p: Position) -> bool {
    let mut winding = 0;
    for (a, b) in edges(ring) {
        let side = orientation(a, b, p);
        if side == Orientation::Collinear && within(a[0], b[0], p[0]) && within(a[1], b[1], p[1]) {
            return true;
        }
        if a[1] <= p[1] {
            if b[1] > p[1] && side == Orientation::CounterClockwise {
                winding += 1;
            }
        } else if b[1] <= p[1] && side == Orientation::Clockwise {
            winding -= 1;
        }
    }
    winding != 0
}

fn within(a: f64, b: f64, v: f64) -> bool {
    a.min(b) <= v && v <= a.max(b)
}

/// Whether the ring covers the box and the convex hull of the points; touching is covered.
pub(super) fn covers_prompt(ring: &[Position], prompt: &PromptGeometry) -> bool {
    if !prompt.vertices().all(|(x, y)| covers_position(ring, [x, y])) {
        return false;
    }
    if is_convex(ring) {
        return true;
    }
    // A ring with dents may hold the corners and still not what lies between. It has no holes, so it
    // covers an outline's inside where it covers the outline.
    let hull = convex_hull(prompt.points.iter().map(|&(x, y)| [x, y]).collect());
    let corners = prompt.bbox.map(|b| b.corners().map(|(x, y)| [x, y])).unwrap_or_default();
    let bbox = if prompt.bbox.is_some() { &corners[..] } else { &[] };
    edges(&hull).chain(edges(bbox)).all(|(p, q)| covers_segment(ring, p, q))
}

/// Whether the ring covers a segment whose ends it covers: cut where it meets the ring, every piece's
/// middle must be covered.
fn covers_segment(ring: &[Position], p: Position, q: Position) -> bool {
    let mut cuts = vec![0.0, 1.0];
    let (dx, dy) = (q[0] - p[0], q[1] - p[1]);
    let length2 = dx * dx + dy * dy;
    if length2 == 0.0 {
        return true;
    }
    for (a, b) in edges(ring) {
        match (orientation(p, q, a), orientation(p, q, b)) {
            (Orientation::Collinear, Orientation::Collinear) => {
                cuts.extend([a, b].map(|v| ((v[0] - p[0]) * dx + (v[1] - p[1]) * dy) / length2));
            }
            (one, other) if one != other => {
                let (ex, ey) = (b[0] - a[0], b[1] - a[1]);
                cuts.push(((a[0] - p[0]) * ey - (a[1] - p[1]) * ex) / (dx * ey - dy * ex));
            }
            _ => {}
        }
    }
    cuts.retain(|t| (0.0..=1.0).contains(t));
    cuts.sort_by(f64::total_cmp);
    cuts.windows(2).filter(|w| w[1] > w[0]).all(|w| {
        let t = (w[0] + w[1]) / 2.0;
        covers_position(ring, [p[0] + t * dx, p[1] + t * dy])
    })
}

/// Distance from a position to the ring's area; zero inside.
pub(super) fn distance_to(ring: &[Position], p: Position) -> f64 {
    if covers_position(ring, p) {
        return 0.0;
    }
    edges(ring).map(|(a, b)| distance_to_segment(a, b, p)).fold(f64::INFINITY, f64::min)
}

fn distance_to_segment(a: Position, b: Position, p: Position) -> f64 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length2 = dx * dx + dy * dy;
    let t = if length2 > 0.0 {
        (((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length2).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (p[0] - a[0] - t * dx).hypot(p[1] - a[1] - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Bounds;

    const DIAMOND: [Position; 4] = [[0.0, -2.0], [2.0, 0.0], [0.0, 2.0], [-2.0, 0.0]];
    /// A U: open at the top between x = 1 and x = 2.
    const DENT: [Position; 8] =
        [[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [2.0, 3.0], [2.0, 1.0], [1.0, 1.0], [1.0, 3.0], [0.0, 3.0]];
    const STAR: [Position; 5] = [[0.0, 3.0], [-2.0, -2.0], [3.0, 1.0], [-3.0, 1.0], [2.0, -2.0]];

    fn points(points: &[(f64, f64)]) -> PromptGeometry {
        PromptGeometry { points: points.to_vec(), bbox: None }
    }

    fn bbox(bbox: [f64; 4]) -> PromptGeometry {
        PromptGeometry { points: vec![], bbox: Some(Bounds::from(bbox)) }
    }

    #[test]
    fn rings_are_told_convex_or_not() {
        assert!(is_convex(&DIAMOND));
        let mut clockwise = DIAMOND;
        clockwise.reverse();
        assert!(is_convex(&clockwise));
        assert!(!is_convex(&DENT));
        assert!(!is_convex(&STAR), "a pentagram turns one way, but round twice");
        assert!(!is_convex(&[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]));
    }

    #[test]
    fn touching_counts_as_covered() {
        for p in [(0.0, 0.0), (1.0, 1.0), (0.0, -2.0), (-2.0, 0.0), (-1.5, 0.5)] {
            assert!(covers_prompt(&DIAMOND, &points(&[p])), "{p:?}");
        }
        for p in [(1.0, 1.000_000_1), (-2.0, 0.1), (2.0, 2.0), (3.0, 0.0)] {
            assert!(!covers_prompt(&DIAMOND, &points(&[p])), "{p:?}");
        }
        assert!(covers_prompt(&DIAMOND, &bbox([-1.0, -1.0, 1.0, 1.0])));
        assert!(!covers_prompt(&DIAMOND, &bbox([-1.0, -1.0, 1.1, 1.0])));
    }

    #[test]
    fn what_lies_across_a_dent_is_not_covered() {
        assert!(covers_prompt(&DENT, &points(&[(0.5, 2.5)])));
        assert!(
            !covers_prompt(&DENT, &points(&[(0.5, 2.5), (2.5, 2.5)])),
            "the line between crosses the dent"
        );
        assert!(covers_prompt(&DENT, &points(&[(0.5, 1.0), (2.5, 1.0)])), "along the bottom of the dent");
        // From (2.5, 0.5) to (0.7, 2.9) by way of (1, 2.5), in the dent.
        assert!(!covers_prompt(&DENT, &points(&[(0.5, 0.5), (2.5, 0.5), (0.7, 2.9)])));
        assert!(!covers_prompt(&DENT, &bbox([0.5, 0.5, 2.5, 2.0])));
        assert!(covers_prompt(&DENT, &bbox([0.0, 0.0, 3.0, 1.0])));
    }

    #[test]
    fn distances_are_to_the_nearest_edge() {
        assert_eq!(distance_to(&DIAMOND, [0.0, 0.0]), 0.0);
        assert!((distance_to(&DIAMOND, [2.0, 2.0]) - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(distance_to(&DIAMOND, [5.0, 0.0]), 3.0);
    }
}
