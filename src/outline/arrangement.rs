//! Rings on a lattice as they lie to each other: which edges meet, and which ring lies next around which. Exact.

type Point = [i32; 2];

/// An edge: its ring, and the place of its first vertex there.
pub(super) type Place = (usize, usize);

/// Rows of the lattice that are looked through together, at the most.
const MOST_ROWS: i64 = 1 << 14;

/// An edge where it passes through a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Passage {
    left: i32,
    right: i32,
    ring: u32,
    index: u32,
}

/// Open rings, with their edges by row.
pub(super) struct Arrangement<'a> {
    rings: &'a [&'a [Point]],
    top: i64,
    height: i64,
    /// Where each row's passages begin; one entry more than rows.
    starts: Vec<usize>,
    /// Row by row, from left to right.
    passages: Vec<Passage>,
    /// For each the farthest right end of those before it in its row, and its own.
    reach: Vec<i32>,
}

impl<'a> Arrangement<'a> {
    pub fn of(rings: &'a [&'a [Point]]) -> Self {
        let (mut top, mut bottom, mut edges, mut climb) = (i64::MAX, i64::MIN, 0, 0);
        for (a, b) in rings.iter().flat_map(|ring| sides(ring)) {
            let (y, next) = (i64::from(a[1]), i64::from(b[1]));
            (top, bottom) = (top.min(y), bottom.max(y));
            climb += (next - y).abs();
            edges += 1;
        }
        if edges == 0 {
            let (starts, passages, reach) = (vec![0], Vec::new(), Vec::new());
            return Self { rings, top: 0, height: 1, starts, passages, reach };
        }
        // Rows as high as edges are on the average: few edges pass through many rows, and few lie in one.
        let height = (climb / edges).max((bottom - top) / MOST_ROWS).max(1);
        let rows_of = |a: Point, b: Point| {
            let row = |y: i32| ((i64::from(y) - top) / height) as usize;
            row(a[1].min(b[1]))..=row(a[1].max(b[1]))
        };
        // Count, sum up, fill.
        let mut starts = vec![0; ((bottom - top) / height) as usize + 2];
        for row in rings.iter().flat_map(|ring| sides(ring)).flat_map(|(a, b)| rows_of(a, b)) {
            starts[row + 1] += 1;
        }
        for row in 1..starts.len() {
            starts[row] += starts[row - 1];
        }
        let nothing = Passage { left: 0, right: 0, ring: 0, index: 0 };
        let (mut next, mut passages) = (starts.clone(), vec![nothing; starts.last().copied().unwrap_or(0)]);
        for (ring, vertices) in rings.iter().enumerate() {
            for (index, (a, b)) in sides(vertices).enumerate() {
                let (left, right) = (a[0].min(b[0]), a[0].max(b[0]));
                for row in rows_of(a, b) {
                    passages[next[row]] = Passage { left, right, ring: ring as u32, index: index as u32 };
                    next[row] += 1;
                }
            }
        }
        let mut reach = Vec::with_capacity(passages.len());
        for row in starts.windows(2) {
            let row = &mut passages[row[0]..row[1]];
            row.sort_unstable();
            let mut farthest = i32::MIN;
            reach.extend(row.iter().map(|passage| {
                farthest = farthest.max(passage.right);
                farthest
            }));
        }
        Self { rings, top, height, starts, passages, reach }
    }

    fn ends(&self, passage: &Passage) -> (Point, Point) {
        let ring = self.rings[passage.ring as usize];
        let index = passage.index as usize;
        (ring[index], ring[(index + 1) % ring.len()])
    }

    /// Calls `visit` with each pair of edges that meet: neighbours of a ring where one folds back onto the other, others in any
    /// point. A pair may come more than once.
    pub fn meetings(&self, mut visit: impl FnMut(Place, Place)) {
        for row in self.starts.windows(2) {
            let row = &self.passages[row[0]..row[1]];
            for (index, edge) in row.iter().enumerate() {
                let beside = row[index + 1..].iter().take_while(|other| other.left <= edge.right);
                for other in beside.filter(|other| self.meet(edge, other)) {
                    let place = |passage: &Passage| (passage.ring as usize, passage.index as usize);
                    visit(place(edge), place(other));
                }
            }
        }
    }

    fn meet(&self, edge: &Passage, other: &Passage) -> bool {
        let ((a, b), (c, d)) = (self.ends(edge), self.ends(other));
        if a[1].max(b[1]) < c[1].min(d[1]) || c[1].max(d[1]) < a[1].min(b[1]) {
            return false;
        }
        if edge.ring == other.ring {
            let count = self.rings[edge.ring as usize].len() as u32;
            if (edge.index + 1) % count == other.index {
                return folds_back(a, b, d);
            }
            if (other.index + 1) % count == edge.index {
                return folds_back(c, a, b);
            }
        }
        let sides = [cross(a, b, c), cross(a, b, d), cross(c, d, a), cross(c, d, b)].map(i64::signum);
        if sides == [0; 4] {
            let shares = |axis: usize| {
                a[axis].min(b[axis]) <= c[axis].max(d[axis]) && c[axis].min(d[axis]) <= a[axis].max(b[axis])
            };
            return shares(0) && shares(1);
        }
        sides[0] * sides[1] <= 0 && sides[2] * sides[3] <= 0
    }

    /// For each ring the one that lies next around it. Rings do not meet; of those that touch in a vertex it may be another.
    pub fn containers(&self) -> Vec<Option<usize>> {
        let leftmost = |ring: &&[Point]| ring.iter().copied().min();
        let mut order: Vec<(Point, usize)> =
            self.rings.iter().enumerate().filter_map(|(ring, at)| Some((leftmost(at)?, ring))).collect();
        // What lies to the left of a ring's first vertex begins before it.
        order.sort_unstable();
        let runs_clockwise: Vec<bool> =
            self.rings.iter().map(|ring| super::canonical::doubled_area(ring) > 0).collect();
        let mut containers = vec![None; self.rings.len()];
        for (vertex, ring) in order {
            let Some((left, goes_down)) = self.left_of(vertex, ring) else { continue };
            // Inside a ring that runs clockwise on the screen, its left side goes up.
            let is_inside = goes_down != runs_clockwise[left];
            containers[ring] = if is_inside { Some(left) } else { containers[left] };
        }
        containers
    }

    /// The ring whose edge is next to the left of a vertex of another ring, and whether that edge goes down the screen.
    fn left_of(&self, [x, y]: Point, ring: usize) -> Option<(usize, bool)> {
        let row = ((i64::from(y) - self.top) / self.height) as usize;
        let (start, end) = (*self.starts.get(row)?, *self.starts.get(row + 1)?);
        let passages = &self.passages[start..end];
        let mut nearest: Option<(f64, usize, bool)> = None;
        let before = passages.partition_point(|passage| passage.left <= x);
        for (passage, &reach) in passages[..before].iter().zip(&self.reach[start..]).rev() {
            if nearest.is_some_and(|(place, ..)| f64::from(reach) < place) {
                break;
            }
            let (a, b) = self.ends(passage);
            if passage.ring as usize == ring || (a[1] > y) == (b[1] > y) {
                continue;
            }
            let (low, high) = if a[1] < b[1] { (a, b) } else { (b, a) };
            if cross(low, high, [x, y]) >= 0 {
                continue;
            }
            // Edges that do not meet are far enough from each other for this.
            let slope = f64::from(high[0] - low[0]) / f64::from(high[1] - low[1]);
            let place = f64::from(low[0]) + slope * f64::from(y - low[1]);
            if nearest.is_none_or(|(other, ..)| place > other) {
                nearest = Some((place, passage.ring as usize, b[1] > a[1]));
            }
        }
        nearest.map(|(_, ring, goes_down)| (ring, goes_down))
    }
}

/// The edges of an open ring, from each vertex to the next.
fn sides(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Whether the way from `b` to `c` goes back along that from `a` to `b`.
fn folds_back(a: Point, b: Point, c: Point) -> bool {
    let dot = (0..2)
        .map(|axis| (i64::from(b[axis]) - i64::from(a[axis])) * (i64::from(c[axis]) - i64::from(b[axis])));
    cross(a, b, c) == 0 && dot.sum::<i64>() <= 0
}

/// Twice the signed area of a triangle; coordinates below 2^28 keep it within 64 bits.
fn cross(a: Point, b: Point, c: Point) -> i64 {
    let [ax, ay] = a.map(i64::from);
    (i64::from(b[0]) - ax) * (i64::from(c[1]) - ay) - (i64::from(b[1]) - ay) * (i64::from(c[0]) - ax)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: i32, y: i32, side: i32) -> Vec<Point> {
        vec![[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    }

    #[test]
    fn rings_lie_in_the_next_around_them_whichever_way_they_run() {
        let mut rings = vec![
            square(0, 0, 100),
            square(10, 10, 60),
            square(20, 20, 10),
            square(40, 20, 10),
            square(200, 0, 5),
        ];
        rings.push(vec![[42, 25], [45, 22], [48, 25], [45, 28]]);
        for reversed in 0..1 << rings.len() {
            let mut rings = rings.clone();
            for (index, ring) in rings.iter_mut().enumerate().filter(|(index, _)| reversed >> index & 1 == 1)
            {
                ring.reverse();
                ring.rotate_left(index % 4);
            }
            let rings: Vec<&[Point]> = rings.iter().map(Vec::as_slice).collect();
            let containers = Arrangement::of(&rings).containers();
            assert_eq!(containers, [None, Some(0), Some(1), Some(1), None, Some(3)], "{reversed}");
        }
    }

    #[test]
    fn edges_that_cross_touch_or_fold_back_meet() {
        let meets = |rings: &[Vec<Point>]| {
            let rings: Vec<&[Point]> = rings.iter().map(Vec::as_slice).collect();
            let mut found = false;
            Arrangement::of(&rings).meetings(|_, _| found = true);
            found
        };
        assert!(!meets(&[square(0, 0, 10), square(2, 2, 3), square(6, 2, 2)]));
        assert!(meets(&[square(0, 0, 10), square(5, 5, 10)]));
        assert!(meets(&[square(0, 0, 10), square(10, 10, 10)]));
        assert!(meets(&[square(0, 0, 10), square(10, 2, 3)]));
        assert!(meets(&[vec![[0, 0], [10, 10], [10, 0], [0, 10]]]));
        assert!(meets(&[vec![[0, 0], [10, 0], [5, 0], [5, 5]]]));
        assert!(!meets(&[vec![[0, 0], [10, 0], [20, 0], [5, 50]]]));
        assert!(!meets(&[]));
    }
}
