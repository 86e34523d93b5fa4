//! How straight edges between pixels come out on the map: whether rounding can break an outline, and whether a hole can come to
//! lie beyond an edge that it does not meet. Nothing is written here.

use super::output::Projector;

/// Pixels that an outline must measure before more of its places are looked at than its longest edges.
const LARGE: i32 = 16;

impl Projector {
    /// Whether pixel edges alone show that rounding breaks nothing: corners of such rings lie at least a pixel
    /// from every edge that they are not part of, and neither rounding nor the bend of the longest edges comes
    /// near that.
    pub(super) fn is_rectilinear_and_coarse(&self, pixels: &[&[[i32; 2]]]) -> bool {
        // Longest edge along columns and along rows.
        let mut longest = [([0; 2], [0; 2], 0_i64); 2];
        let (mut min, mut max) = ([i32::MAX; 2], [i32::MIN; 2]);
        for ring in pixels {
            for (index, &from) in ring.iter().enumerate() {
                let to = ring[(index + 1) % ring.len()];
                let axis = match [from[0] == to[0], from[1] == to[1]] {
                    [false, true] => 0,
                    [true, false] => 1,
                    _ => return false,
                };
                let length = (i64::from(to[axis]) - i64::from(from[axis])).abs();
                if length > longest[axis].2 {
                    longest[axis] = (from, to, length);
                }
                for axis in 0..2 {
                    (min[axis], max[axis]) = (min[axis].min(from[axis]), max[axis].max(from[axis]));
                }
            }
        }
        let map = |[col, row]: [f64; 2]| Some(self.map.near(col, row).ok()?.map(|v| v * self.map.scale()));
        let mut bend = 0.0_f64;
        let mut axes = [[0.0; 2]; 2];
        for (axis, (from, to, length)) in longest.into_iter().enumerate() {
            let [from, to] = [from, to].map(|corner| corner.map(f64::from));
            let (Some(a), Some(b), Some(m)) = (map(from), map(to), map(halfway(from, to))) else {
                return false;
            };
            bend = bend.max(bent(a, m, b));
            axes[axis] = [(b[0] - a[0]) / length as f64, (b[1] - a[1]) / length as f64];
        }
        let mut least = least_width(axes);
        // The longest edges of a large outline say little of its other places: a continent in one chip.
        if max[0] - min[0] > LARGE || max[1] - min[1] > LARGE {
            let Some(elsewhere) = self.over(min, max, longest.map(|(_, _, length)| length)) else {
                return false;
            };
            (bend, least) = (bend.max(elsewhere[0]), least.min(elsewhere[1]));
        }
        // Twice for the bend of other places, a tenth for the scale of other places.
        2.0 * (2.0 * bend + 0.75) < 0.9 * least
    }

    /// Whether edges of a polygon stay so near to where they bend along that no hole can come to lie on the other side of one.
    pub(super) fn keeps_sides(&self, pixels: &[&[[i32; 2]]]) -> bool {
        let (mut min, mut max, mut longest) = ([i32::MAX; 2], [i32::MIN; 2], [0_i64; 2]);
        for ring in pixels {
            for (index, &from) in ring.iter().enumerate() {
                let to = ring[(index + 1) % ring.len()];
                for axis in 0..2 {
                    (min[axis], max[axis]) = (min[axis].min(from[axis]), max[axis].max(from[axis]));
                    longest[axis] = longest[axis].max((i64::from(to[axis]) - i64::from(from[axis])).abs());
                }
            }
        }
        self.over(min, max, longest).is_some_and(|[bend, least]| 4.0 * bend < least)
    }

    /// How far edges of these lengths along columns and rows bend within a box of pixels, and the least width of a pixel there,
    /// by three lines each way.
    fn over(&self, min: [i32; 2], max: [i32; 2], longest: [i64; 2]) -> Option<[f64; 2]> {
        let (min, max) = (min.map(f64::from), max.map(f64::from));
        let (size, middle) = ([max[0] - min[0], max[1] - min[1]], halfway(min, max));
        let mut places = [[[0.0; 2]; 3]; 3];
        for (line, row) in [min[1], middle[1], max[1]].into_iter().enumerate() {
            for (place, col) in [min[0], middle[0], max[0]].into_iter().enumerate() {
                places[line][place] = self.map.near(col, row).ok()?.map(|v| v * self.map.scale());
            }
        }
        let mut bend = 0.0_f64;
        let [mut along_columns, mut along_rows] = [[[0.0; 2]; 6], [[0.0; 2]; 6]];
        for line in 0..3 {
            let down = places.map(|across| across[line]);
            for (axis, [from, halfway, to]) in [places[line], down].into_iter().enumerate() {
                // An edge bends by the square of its length.
                let part = longest[axis] as f64 / size[axis];
                bend = bend.max(bent(from, halfway, to) * part * part);
                let sides = if axis == 0 { &mut along_columns } else { &mut along_rows };
                for (half, [a, b]) in [[from, halfway], [halfway, to]].into_iter().enumerate() {
                    sides[2 * line + half] = [0, 1].map(|i| (b[i] - a[i]) / (size[axis] / 2.0));
                }
            }
        }
        let pairs = along_columns.iter().flat_map(|&columns| along_rows.map(|rows| [columns, rows]));
        Some([bend, pairs.map(least_width).fold(f64::INFINITY, f64::min)])
    }
}

/// The place between two others.
fn halfway(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

/// How far the middle of an edge lies from where a straight one would have it.
fn bent(from: [f64; 2], middle: [f64; 2], to: [f64; 2]) -> f64 {
    let straight = halfway(from, to);
    (straight[0] - middle[0]).hypot(straight[1] - middle[1])
}

/// The smaller singular value of a pixel's two sides: its least width in any direction.
fn least_width([[a, b], [c, d]]: [[f64; 2]; 2]) -> f64 {
    let (sum, difference) = ((a + d).hypot(b - c), (a - d).hypot(b + c));
    (sum - difference).abs() / 2.0
}
