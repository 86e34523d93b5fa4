//! How far an outline fits the pixels that it stands for.

use super::canonical::open;
use crate::mask::PixelRings;

/// The IoU of a polygon along pixel edges with another outline of it, both on one lattice and running the same way round: the
/// area that they share over the area that either has.
///
/// The shared area is summed up over pairs of edges: at a height, a place lies in a polygon where one more edge goes up than down
/// to the left of it. So the area right of both edges of a pair counts, with the signs of both, and what is common to all
/// (everything to the right) cancels. No crossing has to be found, and edges that lie on each other do no harm.
pub(super) fn iou(pixels: &PixelRings, outline: &PixelRings) -> f64 {
    let (own, other) = (edges(pixels), edges(outline));
    let mut shared = 0.0;
    // Each edge along pixel edges stands upright.
    for &Edge { x, low, high, sign, .. } in &own {
        for edge in other.iter().filter(|edge| edge.low < high && low < edge.high) {
            let (from, to) = (low.max(edge.low), high.min(edge.high));
            let at = |y: f64| edge.x + edge.slope * (y - edge.low) - x;
            shared -= sign * edge.sign * (to - from) * (x + mean_above_zero(at(from), at(to)));
        }
    }
    let union = pixels.area() + outline.area() - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// An edge from its lower end on.
struct Edge {
    /// Where it is at its lower end.
    x: f64,
    slope: f64,
    low: f64,
    high: f64,
    /// Whether it goes up or down.
    sign: f64,
}

/// The edges of all rings, but for level ones.
fn edges(rings: &PixelRings) -> Vec<Edge> {
    let sides = rings.rings().map(open).flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    let edge = |(a, b): (&[i32; 2], &[i32; 2])| {
        let ([ax, ay], [bx, by]) = (a.map(f64::from), b.map(f64::from));
        let (x, low, high) = if ay < by { (ax, ay, by) } else { (bx, by, ay) };
        (ay != by).then(|| Edge { x, slope: (bx - ax) / (by - ay), low, high, sign: (by - ay).signum() })
    };
    sides.filter_map(edge).collect()
}

/// The mean of what is above zero of a number that goes evenly from one value to another.
fn mean_above_zero(from: f64, to: f64) -> f64 {
    let (low, high) = if from < to { (from, to) } else { (to, from) };
    if low >= 0.0 {
        (low + high) / 2.0
    } else if high <= 0.0 {
        0.0
    } else {
        high * high / (high - low) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::canonical::rings_of;
    use super::*;

    fn square(x: i32, y: i32, side: i32) -> Vec<[i32; 2]> {
        vec![[x, y], [x, y + side], [x + side, y + side], [x + side, y]]
    }

    fn reversed(mut ring: Vec<[i32; 2]>) -> Vec<[i32; 2]> {
        ring.reverse();
        ring
    }

    #[test]
    fn the_same_is_all_and_what_is_apart_is_nothing() {
        let ring = rings_of([square(0, 0, 10), reversed(square(2, 2, 4))]);
        assert_eq!(iou(&ring, &ring), 1.0);
        assert_eq!(iou(&ring, &rings_of([square(20, 0, 10)])), 0.0);
        assert_eq!(iou(&ring, &rings_of([square(2, 2, 4)])), 0.0);
    }

    #[test]
    fn halves_holes_and_slopes_count() {
        let whole = rings_of([square(0, 0, 10)]);
        assert_eq!(iou(&whole, &rings_of([square(5, 0, 10)])), 50.0 / 150.0);
        assert_eq!(iou(&rings_of([square(0, 0, 10), reversed(square(2, 2, 4))]), &whole), 0.84);
        assert_eq!(iou(&whole, &rings_of([vec![[0, 0], [0, 10], [10, 10]]])), 0.5);
        assert_eq!(iou(&whole, &rings_of([vec![[5, 0], [0, 5], [5, 10], [10, 5]]])), 0.5);
    }
}
