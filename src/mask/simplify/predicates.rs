//! Exact predicates on integer points. Sides of a mask are below 2^29, so that products of
//! doubled differences fit 64 bits.

/// A vertex `[x, y]`.
pub(super) type Point = [i32; 2];

/// Twice the signed area of the triangle `a`, `b`, `c`; zero where they are on one line.
fn orientation(a: Point, b: Point, c: Point) -> i64 {
    let (ax, ay) = (i64::from(a[0]), i64::from(a[1]));
    (i64::from(b[0]) - ax) * (i64::from(c[1]) - ay) - (i64::from(b[1]) - ay) * (i64::from(c[0]) - ax)
}

/// Whether two segments meet in any way but in a common end: crossing, touching with an end in the
/// other's interior, or overlapping. Such a pair cannot stand in one valid polygon.
pub(super) fn conflict(p: Point, q: Point, a: Point, b: Point) -> bool {
    let apart = |axis: usize| {
        p[axis].max(q[axis]) < a[axis].min(b[axis]) || a[axis].max(b[axis]) < p[axis].min(q[axis])
    };
    if apart(0) || apart(1) {
        return false;
    }
    let (side_a, side_b) = (orientation(p, q, a).signum(), orientation(p, q, b).signum());
    if side_a * side_b > 0 {
        return false;
    }
    if side_a == 0 && side_b == 0 {
        // On one line: along it, they must not have more than an end in common.
        let axis = usize::from(p[0] == q[0]);
        let from = p[axis].min(q[axis]).max(a[axis].min(b[axis]));
        let to = p[axis].max(q[axis]).min(a[axis].max(b[axis]));
        return from < to;
    }
    if orientation(a, b, p).signum() * orientation(a, b, q).signum() > 0 {
        return false;
    }
    // They meet in one point.
    !(p == a || p == b || q == a || q == b)
}

/// Twice the midpoint of a segment, which is a pair of integers.
pub(super) fn doubled_midpoint(a: Point, b: Point) -> Point {
    [a[0] + b[0], a[1] + b[1]]
}

/// Whether a path, closed by the segment from its end to its start, goes around a point an odd
/// number of times. The point is given doubled and must not lie on the closed path.
pub(super) fn goes_around(path: &[Point], doubled: Point) -> bool {
    let [x, y] = doubled.map(i64::from);
    let mut odd = false;
    let mut from = path[path.len() - 1].map(|coordinate| 2 * i64::from(coordinate));
    for vertex in path {
        let to = vertex.map(|coordinate| 2 * i64::from(coordinate));
        if (from[1] > y) != (to[1] > y) {
            // The segment passes the point's height; does it do so on the right of the point?
            let turn = (to[0] - from[0]) * (y - from[1]) - (to[1] - from[1]) * (x - from[0]);
            odd ^= (turn > 0) == (to[1] < from[1]);
        }
        from = to;
    }
    odd
}

/// Square of the distance from a point to a segment, times the square of the segment's length (or
/// alone, where that is zero): free of division, and exact for masks up to some 8000 pixels a side.
pub(super) struct SegmentDistance {
    start: [f64; 2],
    along: [f64; 2],
    length_squared: f64,
}

impl SegmentDistance {
    pub(super) fn new(a: Point, b: Point) -> Self {
        let start = a.map(f64::from);
        let along = [f64::from(b[0]) - start[0], f64::from(b[1]) - start[1]];
        Self { start, along, length_squared: along[0] * along[0] + along[1] * along[1] }
    }

    /// The distance of `point`, squared and scaled.
    #[inline]
    pub(super) fn scaled(&self, point: Point) -> f64 {
        let (x, y) = (f64::from(point[0]) - self.start[0], f64::from(point[1]) - self.start[1]);
        let (dx, dy, length_squared) = (self.along[0], self.along[1], self.length_squared);
        let dot = x * dx + y * dy;
        let cross = x * dy - y * dx;
        if dot <= 0.0 {
            (x * x + y * y) * if length_squared > 0.0 { length_squared } else { 1.0 }
        } else if dot >= length_squared {
            ((x - dx) * (x - dx) + (y - dy) * (y - dy)) * length_squared
        } else {
            cross * cross
        }
    }

    /// A tolerance, squared and scaled in the same way.
    pub(super) fn scaled_tolerance(&self, tolerance: f64) -> f64 {
        tolerance * tolerance * if self.length_squared > 0.0 { self.length_squared } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_may_meet_in_a_common_end_only() {
        let cases = [
            ("cross", [0, 0], [2, 2], [0, 2], [2, 0], true),
            ("end in the other's interior", [0, 0], [4, 0], [2, 0], [2, 3], true),
            ("common end", [0, 0], [4, 0], [4, 0], [2, 3], false),
            ("common end, straight on", [0, 0], [4, 0], [4, 0], [6, 0], false),
            ("common end, folded back", [0, 0], [4, 0], [4, 0], [2, 0], true),
            ("the same", [0, 0], [4, 2], [4, 2], [0, 0], true),
            ("overlap", [0, 0], [4, 2], [2, 1], [6, 3], true),
            ("one line, apart", [0, 0], [2, 1], [4, 2], [6, 3], false),
            ("parallel", [0, 0], [4, 2], [0, 1], [4, 3], false),
            ("bounds meet, segments do not", [0, 0], [4, 4], [1, 0], [5, 3], false),
            ("vertical overlap", [1, 0], [1, 5], [1, 4], [1, 9], true),
        ];
        for (name, p, q, a, b, expected) in cases {
            for (p, q) in [(p, q), (q, p)] {
                for (a, b) in [(a, b), (b, a)] {
                    assert_eq!(conflict(p, q, a, b), expected, "{name}");
                    assert_eq!(conflict(a, b, p, q), expected, "{name}, swapped");
                }
            }
        }
    }

    #[test]
    fn a_path_goes_around_what_it_encloses_with_its_chord() {
        let path = [[0, 0], [0, 4], [4, 4], [4, 0], [3, 0], [3, 3], [1, 3], [1, 0]];
        assert!(goes_around(&path, [1, 1]));
        assert!(goes_around(&path, [4, 7]));
        assert!(goes_around(&path, [7, 2]));
        assert!(!goes_around(&path, [4, 3]));
        assert!(!goes_around(&path, [9, 3]));
        assert!(!goes_around(&path, [-1, 3]));
    }

    #[test]
    fn distance_is_to_the_segment_and_not_to_its_line() {
        let distance = SegmentDistance::new([0, 0], [4, 0]);
        assert_eq!(distance.scaled([2, 3]), 9.0 * 16.0);
        assert_eq!(distance.scaled([-3, 4]), 25.0 * 16.0);
        assert_eq!(distance.scaled([7, 4]), 25.0 * 16.0);
        let point = SegmentDistance::new([1, 1], [1, 1]);
        assert_eq!(point.scaled([4, 5]), 25.0);
        assert_eq!(point.scaled_tolerance(2.0), 4.0);
    }
}
