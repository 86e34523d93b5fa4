//! Rings on the lattice of the decimals that are written: rounding, soundness, and exact clipping. A ring here is
//! open (its first corner is not repeated) and its coordinates are whole multiples of the last decimal, so that
//! every answer is exact and what is found valid is written as it is.

use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay::{IntOverlayOptions, Overlay, ShapeType};
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::core::solver::{Precision, Solver, Strategy};
use i_overlay::i_float::int::point::IntPoint;

use super::nesting::nested;

/// Coordinates in units of the last decimal.
pub(super) type Corner = [i64; 2];
/// An open ring.
pub(super) type LatticeRing = Vec<Corner>;

/// Twice the signed area, positive for counter-clockwise.
pub(super) fn doubled_area(ring: &[Corner]) -> i128 {
    let Some(&[ox, oy]) = ring.first() else { return 0 };
    // Rings of a chip are small: wrapping sums are exact where the whole fits, and it does where twice the box does,
    // with room for a ring that winds several times.
    const SMALL: i64 = 1 << 28;
    let small = ring.iter().all(|[x, y]| (x - ox).abs() < SMALL && (y - oy).abs() < SMALL);
    if small {
        let cross = |pair: &[Corner]| {
            let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
            ((ax - ox).wrapping_mul(by - oy)).wrapping_sub((bx - ox).wrapping_mul(ay - oy))
        };
        return i128::from(ring.windows(2).fold(0_i64, |area, pair| area.wrapping_add(cross(pair))));
    }
    let mut area = 0;
    for pair in ring.windows(2) {
        area += i128::from(pair[0][0] - ox) * i128::from(pair[1][1] - oy)
            - i128::from(pair[1][0] - ox) * i128::from(pair[0][1] - oy);
    }
    area
}

/// A corner with the pixel corner it came from: rounding may join only what was one before.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub at: Corner,
    pub pixel: [i32; 2],
}

struct Segment {
    from: Origin,
    to: Origin,
    ring: u32,
    index: u32,
    count: u32,
}

impl Segment {
    fn x_range(&self) -> (i64, i64) {
        (self.from.at[0].min(self.to.at[0]), self.from.at[0].max(self.to.at[0]))
    }

    fn y_range(&self) -> (i64, i64) {
        (self.from.at[1].min(self.to.at[1]), self.from.at[1].max(self.to.at[1]))
    }
}

/// Whether rounding has left the rings of a valid polygon valid: no segments meet but neighbours and those that
/// met before, and those that met still lie the same way around. Rings are open, without repeated corners.
///
/// A sweep over x in each of many strips of y: linear but for the few segments that lie beside each other.
pub(super) fn are_sound(rings: &[Vec<Origin>]) -> bool {
    if rings.iter().any(|ring| ring.len() < 3) {
        return false;
    }
    let mut segments = Vec::with_capacity(rings.iter().map(Vec::len).sum());
    for (number, ring) in rings.iter().enumerate() {
        for (index, &from) in ring.iter().enumerate() {
            let to = ring[(index + 1) % ring.len()];
            let (ring_number, count) = (number as u32, ring.len() as u32);
            segments.push(Segment { from, to, ring: ring_number, index: index as u32, count });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.x_range().0);
    // Whether the way from pixels to the lattice turns clockwise into counter-clockwise.
    let exterior = &rings[0];
    let lattice: LatticeRing = exterior.iter().map(|corner| corner.at).collect();
    let pixels: LatticeRing = exterior.iter().map(|corner| corner.pixel.map(i64::from)).collect();
    let mirrored = (doubled_area(&lattice) > 0) != (doubled_area(&pixels) > 0);
    let strips = Strips::of(&segments);
    (0..strips.count()).all(|strip| {
        let within = strips.segments(strip);
        within.iter().enumerate().all(|(i, &a)| {
            let a = &segments[a as usize];
            let (_, right) = a.x_range();
            let (low, high) = a.y_range();
            let beside = within[i + 1..].iter().map(|&b| &segments[b as usize]);
            beside.take_while(|b| b.x_range().0 <= right).all(|b| {
                let (other_low, other_high) = b.y_range();
                other_low > high || low > other_high || may_meet(a, b, mirrored)
            })
        })
    })
}

/// Segments by the horizontal strips that they touch, in each strip in their own order.
struct Strips {
    starts: Vec<usize>,
    segments: Vec<u32>,
}

impl Strips {
    /// As many strips as there are segments to fill them, and not so narrow that a segment lies in many.
    fn of(segments: &[Segment]) -> Self {
        let range = |(low, high): (i64, i64), s: &Segment| (low.min(s.y_range().0), high.max(s.y_range().1));
        let (low, high) = segments.iter().fold((i64::MAX, i64::MIN), range);
        let extent = i128::from(high) - i128::from(low) + 1;
        let heights: i128 = segments.iter().map(|s| i128::from(s.y_range().1 - s.y_range().0)).sum();
        let widest = extent * segments.len() as i128 / heights.max(1);
        let count = (segments.len() as i128 / 8).min(widest).clamp(1, 4096);
        let strip_of = |y: i64| ((i128::from(y) - i128::from(low)) * count / extent) as usize;
        let strips = |s: &Segment| strip_of(s.y_range().0)..=strip_of(s.y_range().1);

        let mut starts = vec![0; count as usize + 1];
        for strip in segments.iter().flat_map(strips) {
            starts[strip + 1] += 1;
        }
        for strip in 0..count as usize {
            starts[strip + 1] += starts[strip];
        }
        let mut next = starts.clone();
        let mut filled = vec![0; starts[count as usize]];
        for (index, segment) in segments.iter().enumerate() {
            for strip in strips(segment) {
                filled[next[strip]] = index as u32;
                next[strip] += 1;
            }
        }
        Self { starts, segments: filled }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn segments(&self, strip: usize) -> &[u32] {
        &self.segments[self.starts[strip]..self.starts[strip + 1]]
    }
}

/// Whether two segments are apart, or meet as they did before rounding.
fn may_meet(a: &Segment, b: &Segment, mirrored: bool) -> bool {
    let neighbours =
        a.ring == b.ring && ((a.index + 1) % a.count == b.index || (b.index + 1) % b.count == a.index);
    let mut shared = None;
    for (p, p_end) in [(a.from, a.to), (a.to, a.from)] {
        for (q, q_end) in [(b.from, b.to), (b.to, b.from)] {
            if p.at == q.at {
                if shared.is_some() {
                    return false; // the same segment twice
                }
                shared = Some((p, p_end, q, q_end));
            }
        }
    }
    let Some((p, p_end, q, q_end)) = shared else {
        return !intersect(a, b);
    };
    let turn = cross(p.at, p_end.at, q_end.at);
    let opposite = dot(p.at, p_end.at, q_end.at) < 0;
    if neighbours {
        return turn != 0 || opposite;
    }
    if p.pixel != q.pixel {
        return false;
    }
    let [corner, p_end, q_end] = [p.pixel, p_end.pixel, q_end.pixel].map(|pixel| pixel.map(i64::from));
    let before = cross(corner, p_end, q_end);
    let before = if mirrored { -before } else { before };
    turn.signum() == before.signum() && turn != 0 || (before == 0 && opposite)
}

fn intersect(a: &Segment, b: &Segment) -> bool {
    let (a0, a1, b0, b1) = (a.from.at, a.to.at, b.from.at, b.to.at);
    let sides =
        [cross(a0, a1, b0), cross(a0, a1, b1), cross(b0, b1, a0), cross(b0, b1, a1)].map(i128::signum);
    if sides == [0; 4] {
        // On one line, and their boxes overlap.
        return true;
    }
    sides[0] * sides[1] <= 0 && sides[2] * sides[3] <= 0
}

/// Positive where `c` lies left of the way from `a` to `b`.
pub(super) fn cross(a: Corner, b: Corner, c: Corner) -> i128 {
    let [ux, uy, vx, vy] = [b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]].map(i128::from);
    ux * vy - uy * vx
}

fn dot(a: Corner, b: Corner, c: Corner) -> i128 {
    let [ux, uy, vx, vy] = [b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]].map(i128::from);
    ux * vx + uy * vy
}

/// Widest extent that the clipping takes: squared lengths must fit into 63 bits.
const WIDEST: i64 = 1_400_000_000;

/// The polygons that a set of rings encloses: where an odd number of rings runs around a place. Within a window
/// `[min x, max x]` if one is given. Exteriors come counter-clockwise and first, holes clockwise.
///
/// In exact arithmetic on the lattice; where the rings span more than 140 degrees or 1400 km along an axis, on a lattice of
/// one decimal less along it, and so on. Each axis has its own: around a pole a strip of millimetres may be as wide as the map.
pub(super) fn enclosed(rings: &[LatticeRing], window: Option<[i64; 2]>) -> Vec<Vec<LatticeRing>> {
    enclosed_by(rings, window, FillRule::EvenOdd)
}

/// A polygon with its exterior counter-clockwise and its holes clockwise: what clipping lists is not always so.
fn oriented(mut polygon: Vec<LatticeRing>) -> Vec<LatticeRing> {
    for (index, ring) in polygon.iter_mut().enumerate() {
        if (doubled_area(ring) > 0) != (index == 0) {
            ring.reverse();
        }
    }
    polygon
}

/// The same by another rule: [`FillRule::NonZero`] joins polygons whose exteriors run counter-clockwise and whose holes run
/// clockwise, also where they overlap.
pub(super) fn enclosed_by(
    rings: &[LatticeRing],
    window: Option<[i64; 2]>,
    fill: FillRule,
) -> Vec<Vec<LatticeRing>> {
    let mut corners = rings.iter().flatten();
    let Some(&first) = corners.next() else { return Vec::new() };
    let (min, max) = corners.fold((first, first), |(min, max), &[x, y]| {
        ([min[0].min(x), min[1].min(y)], [max[0].max(x), max[1].max(y)])
    });
    let steps = [0, 1].map(|axis| {
        let mut step = 1;
        while (max[axis] - min[axis]) / step > WIDEST {
            step *= 10;
        }
        step
    });
    let coarse = |v: i64, axis: usize| (v + steps[axis] / 2).div_euclid(steps[axis]);
    let origin = [0, 1].map(|axis| coarse(min[axis] + (max[axis] - min[axis]) / 2, axis));
    // Lossless: half the widest extent fits into 31 bits.
    let small =
        |[x, y]: Corner| IntPoint::new((coarse(x, 0) - origin[0]) as i32, (coarse(y, 1) - origin[1]) as i32);
    let large = |point: IntPoint| {
        [(i64::from(point.x) + origin[0]) * steps[0], (i64::from(point.y) + origin[1]) * steps[1]]
    };
    // Corners on a straight line in longitude and latitude still bend on the globe: they stay.
    let options = IntOverlayOptions {
        preserve_input_collinear: true,
        preserve_output_collinear: true,
        ..IntOverlayOptions::ogc()
    };
    let solver = Solver { precision: Precision::ABSOLUTE, strategy: Strategy::Auto, ..Default::default() };
    let capacity = rings.iter().map(Vec::len).sum::<usize>() + 4;
    let mut overlay = Overlay::new_custom(capacity, options, solver);
    for ring in rings {
        overlay.add_path_iter(ring.iter().copied().map(small), ShapeType::Subject);
    }
    let mut rule = OverlayRule::Subject;
    if let Some([west, east]) = window {
        let (west, east) = (west.max(min[0]), east.min(max[0]));
        if west >= east {
            return Vec::new();
        }
        let frame = [[west, min[1]], [east, min[1]], [east, max[1]], [west, max[1]]];
        overlay.add_path_iter(frame.into_iter().map(small), ShapeType::Clip);
        rule = OverlayRule::Intersect;
    }
    let polygons = overlay.overlay(rule, fill).into_iter();
    let polygons: Vec<Vec<LatticeRing>> = polygons
        .map(|polygon| polygon.into_iter().map(|ring| ring.into_iter().map(large).collect()).collect())
        .collect();
    nested(polygons).into_iter().map(oriented).collect()
}

/// The box from one corner to the other, at least one unit wide and high, not beyond the antimeridian.
pub(super) fn smallest_box(min: Corner, max: Corner, half_turn: Option<i64>) -> LatticeRing {
    let [mut west, mut south] = min;
    let [mut east, mut north] = [max[0].max(west + 1), max[1].max(south + 1)];
    if let Some(half_turn) = half_turn {
        let (shift_x, shift_y) = ((east - half_turn).max(0), (north - half_turn / 2).max(0));
        (west, east, south, north) = (west - shift_x, east - shift_x, south - shift_y, north - shift_y);
    }
    vec![[west, south], [east, south], [east, north], [west, north]]
}
