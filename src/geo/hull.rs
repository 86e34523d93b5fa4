//! Convex hulls of positions, with exact signs (Shewchuk's predicates, as the crate `geo` has them).

use ::geo::Coord;
use ::geo::algorithm::kernels::{Kernel, Orientation, RobustKernel};

/// Which way three positions turn.
pub(crate) fn orientation([px, py]: [f64; 2], [qx, qy]: [f64; 2], [rx, ry]: [f64; 2]) -> Orientation {
    RobustKernel::orient2d(Coord { x: px, y: py }, Coord { x: qx, y: qy }, Coord { x: rx, y: ry })
}

/// The convex hull, counter-clockwise (Andrew's monotone chain). Fewer than three distinct positions are their own hull.
pub(crate) fn convex_hull(mut positions: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    positions.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    positions.dedup();
    if positions.len() < 3 {
        return positions;
    }
    let half = |positions: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for position in positions {
            while let [.., a, b] = chain[..] {
                if orientation(a, b, position) == Orientation::CounterClockwise {
                    break;
                }
                chain.pop();
            }
            chain.push(position);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut positions.iter().copied());
    hull.extend(half(&mut positions.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hull_leaves_inner_and_repeated_points_out() {
        let hull = convex_hull(vec![
            [0.0, 0.0],
            [2.0, 0.0],
            [1.0, 0.5],
            [2.0, 2.0],
            [0.0, 0.0],
            [0.0, 2.0],
            [1.0, 0.0],
        ]);
        assert_eq!(hull, [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]);
        assert_eq!(convex_hull(vec![[1.0, 1.0], [1.0, 1.0]]), [[1.0, 1.0]]);
        let line = convex_hull(vec![[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]);
        assert_eq!(line.len(), 2, "{line:?}");
    }
}
