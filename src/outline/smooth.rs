//! Staircases of pixels smoothed, with areas kept and outlines moved by no more than is asked for.
//!
//! A ring begins as the middles of its pixels' edges, which cut every step in half; such rings never touch. Its vertices are
//! averaged by a Gaussian along the ring, and what that takes off is averaged too and given back: Tukey's twicing, which, like
//! Taubin's alternation (1995), lets long waves pass where a Gaussian alone would shrink the shape. What area is still missing
//! is made up for by moving the ring along its normals. Then all rings are looked at together: where any meet, or one lies on
//! another side of another than before, their vertices go back towards where they began, as far as they must.

use super::arrangement::Arrangement;
use super::canonical::{open, rings_of};
use super::part_grid::PartGrid;
use crate::mask::PixelRings;

/// A ring is smoothed by no more than this share of its steps: a disc stays one.
const SHARE: f64 = 1.0 / 16.0;
/// How often the area is made up for.
const AREAS: usize = 3;
/// How much of its way a vertex goes, by how often it was in the way.
const WAYS: [f64; 4] = [1.0, 0.5, 0.25, 0.0];
/// After so many rounds rings that are in the way go back as a whole, and after as many again all of them.
const ROUNDS: usize = 8;

/// A ring under way: where its vertices began, where they would go, and how far they may.
struct Moving {
    begin: Vec<[f64; 2]>,
    goal: Vec<[f64; 2]>,
    level: Vec<u8>,
    now: Vec<[i32; 2]>,
}

impl Moving {
    fn of(ring: &[[i32; 2]], sigma: f64, grid: PartGrid) -> Self {
        let begin = middles(open(ring), grid);
        let goal =
            goals(&begin, &smoothed(&begin, sigma), sigma * f64::from(grid.parts), area(open(ring), grid));
        let level = vec![0; begin.len()];
        let mut moving = Self { now: Vec::new(), begin, goal, level };
        moving.step();
        moving
    }

    /// Puts the vertices where they may go now.
    fn step(&mut self) {
        let place = |((begin, goal), level): ((&[f64; 2], &[f64; 2]), &u8)| {
            let share = WAYS[usize::from(*level)];
            // Below 2^28 by the lattice's choice.
            [0, 1].map(|axis| (begin[axis] + share * (goal[axis] - begin[axis])).round() as i32)
        };
        self.now = self.begin.iter().zip(&self.goal).zip(&self.level).map(place).collect();
    }
}

/// The rings of polygons in pixels, smoothed together, on the lattice of `grid`.
pub(super) fn smooth(polygons: &[PixelRings], sigma: f64, grid: PartGrid) -> Vec<PixelRings> {
    let mut rings: Vec<Moving> = polygons
        .iter()
        .flat_map(|polygon| polygon.rings())
        .map(|ring| Moving::of(ring, sigma, grid))
        .collect();
    let begun = middles_of(polygons, grid);
    let begun: Vec<&[[i32; 2]]> = begun.iter().map(Vec::as_slice).collect();
    let before = Arrangement::of(&begun).containers();
    let around = sigma.ceil() as usize + 1;
    for round in 0.. {
        let raised = in_the_way(&rings, &before, around, round);
        if raised.is_empty() {
            break;
        }
        for (ring, levels) in raised {
            rings[ring].level = levels;
            rings[ring].step();
        }
    }
    let mut rings = rings.into_iter().map(|mut ring| {
        ring.now.dedup();
        while ring.now.len() > 1 && ring.now.first() == ring.now.last() {
            ring.now.pop();
        }
        ring.now
    });
    polygons.iter().map(|polygon| rings_of(rings.by_ref().take(polygon.ring_count()))).collect()
}

/// The rings of polygons in pixels through the middles of their pixels' edges, on the lattice: none of them meets another.
pub(super) fn middles_of(polygons: &[PixelRings], grid: PartGrid) -> Vec<Vec<[i32; 2]>> {
    let rings = polygons.iter().flat_map(|polygon| polygon.rings());
    let rounded = |ring| middles(open(ring), grid).iter().map(|at| at.map(|v| v.round() as i32)).collect();
    rings.map(rounded).collect()
}

/// The rings that are in each other's way, with the levels that they have to go back to.
fn in_the_way(
    rings: &[Moving],
    before: &[Option<usize>],
    around: usize,
    round: usize,
) -> Vec<(usize, Vec<u8>)> {
    let now: Vec<&[[i32; 2]]> = rings.iter().map(|ring| ring.now.as_slice()).collect();
    let arrangement = Arrangement::of(&now);
    let last = WAYS.len() as u8 - 1;
    let mut raised: Vec<Option<Vec<u8>>> = vec![None; rings.len()];
    let mut whole = vec![false; rings.len()];
    let mut is_free = true;
    arrangement.meetings(|a, b| {
        is_free = false;
        for (ring, vertex) in [a, b] {
            let (own, count) = (&rings[ring], rings[ring].begin.len());
            whole[ring] |= round >= ROUNDS;
            let levels = raised[ring].get_or_insert_with(|| own.level.clone());
            let level = (own.level[vertex].max(own.level[(vertex + 1) % count]) + 1).min(last);
            for step in 0..(2 * around + 2).min(count) {
                let near = (vertex + count + step - around.min(count)) % count;
                levels[near] = levels[near].max(level);
            }
        }
    });
    if is_free {
        for (ring, (before, now)) in before.iter().zip(arrangement.containers()).enumerate() {
            if *before != now {
                is_free = false;
                for other in [Some(ring), *before, now].into_iter().flatten() {
                    whole[other] = true;
                }
            }
        }
    }
    if is_free {
        return Vec::new();
    }
    let all_back = round >= 2 * ROUNDS;
    let levels = raised.into_iter().zip(whole).enumerate().filter_map(|(ring, (levels, whole))| {
        if whole || all_back {
            return Some((ring, vec![last; rings[ring].level.len()]));
        }
        levels.map(|levels| (ring, levels))
    });
    levels.collect()
}

/// The middles of the pixels' edges that an open ring runs along, on the lattice.
fn middles(ring: &[[i32; 2]], grid: PartGrid) -> Vec<[f64; 2]> {
    let mut middles = Vec::new();
    for (from, to) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let way = [to[0] - from[0], to[1] - from[1]];
        let unit = way.map(|v| f64::from(v.signum()));
        let start = [0, 1].map(|axis| f64::from(from[axis] - grid.origin[axis]));
        let count = way[0].abs().max(way[1].abs());
        middles.extend((0..count).map(|step| {
            let along = f64::from(step) + 0.5;
            [0, 1].map(|axis| (start[axis] + unit[axis] * along) * f64::from(grid.parts))
        }));
    }
    middles
}

/// The area of a ring along pixel edges, in squared parts; its sign says which way it runs.
fn area(ring: &[[i32; 2]], grid: PartGrid) -> f64 {
    super::canonical::doubled_area(ring) as f64 / 2.0 * f64::from(grid.parts).powi(2)
}

/// A ring without its short waves.
fn smoothed(ring: &[[f64; 2]], sigma: f64) -> Vec<[f64; 2]> {
    let sigma = sigma.min(ring.len() as f64 * SHARE);
    let reach = (3.0 * sigma).ceil() as usize;
    let mut weights: Vec<f64> =
        (0..=reach).map(|step| (-0.5 * (step as f64 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter_mut().for_each(|weight| *weight /= total);
    let once = averaged(ring, &weights);
    let twice = averaged(&once, &weights);
    once.iter().zip(&twice).map(|(once, twice)| [0, 1].map(|axis| 2.0 * once[axis] - twice[axis])).collect()
}

/// Each vertex as the average of those around it.
fn averaged(ring: &[[f64; 2]], weights: &[f64]) -> Vec<[f64; 2]> {
    let count = ring.len();
    let at = |index: usize| {
        let mut sum = ring[index].map(|v| v * weights[0]);
        for (step, weight) in weights.iter().enumerate().skip(1) {
            let (before, after) =
                (ring[(index + count - step % count) % count], ring[(index + step) % count]);
            for axis in 0..2 {
                sum[axis] += weight * (before[axis] + after[axis]);
            }
        }
        sum
    };
    (0..count).map(at).collect()
}

/// Where the vertices of a smoothed ring go so that it has an area, none of them farther than `most` from where it began.
fn goals(begin: &[[f64; 2]], smoothed: &[[f64; 2]], most: f64, area: f64) -> Vec<[f64; 2]> {
    let count = begin.len();
    let mut goal = smoothed.to_vec();
    for _ in 0..AREAS {
        let next = |index: usize| (index + 1) % count;
        let cross = |a: [f64; 2], b: [f64; 2]| a[0] * b[1] - a[1] * b[0];
        let has = (0..count).map(|i| cross(goal[i], goal[next(i)])).sum::<f64>() / 2.0;
        let way = |i: usize| [goal[next(i)][0] - goal[i][0], goal[next(i)][1] - goal[i][1]];
        let length: f64 = (0..count).map(|i| way(i)[0].hypot(way(i)[1])).sum();
        if length <= 0.0 {
            break;
        }
        let out = (area - has) / length;
        let moved = |i: usize| {
            let (before, after) = (goal[(i + count - 1) % count], goal[next(i)]);
            let along = [after[0] - before[0], after[1] - before[1]];
            let size = along[0].hypot(along[1]);
            if size <= 0.0 {
                return goal[i];
            }
            // To the right of the way where the area is positive with y down.
            [goal[i][0] + out * along[1] / size, goal[i][1] - out * along[0] / size]
        };
        goal = (0..count).map(moved).collect();
        for (goal, begin) in goal.iter_mut().zip(begin) {
            let way = [goal[0] - begin[0], goal[1] - begin[1]];
            let size = way[0].hypot(way[1]);
            if size > most {
                *goal = [0, 1].map(|axis| begin[axis] + way[axis] * most / size);
            }
        }
    }
    goal
}
