//! Right angles for buildings: an outline of stretches along and across one direction.
//!
//! The direction is that of the simplified outline ([`direction`](super::direction)), made finer by a line through the pixels'
//! edges of all its stretches at once. Each edge of the simplified outline then runs along the direction or across it; those
//! that follow each other the same way are one stretch, which lies where most of its pixels' edges lie; jogs shorter than some
//! pixels give way. Corners are where a stretch along meets one across.

use super::canonical::{doubled_area, open, rings_of};
use super::direction::main_direction;
use super::part_grid::PartGrid;
use super::straight::{Steps, Stretch, without_jogs};
use crate::mask::{PixelRings, simplify};

/// Jogs shorter than this are the mask's, not the building's, in pixels; where outlines are simplified by more, that counts.
const JOG: f64 = 2.5;
/// No building has more corners.
const MOST_CORNERS: usize = 512;
/// A ring longer than this, in pixels' sides, is none of a building.
const LONGEST: i64 = 1 << 16;
/// How often the direction is made finer.
const TURNS: usize = 3;

/// The outline of a polygon with right angles, on the lattice of `grid`; `None` where there is none. That it fits, and is valid
/// beside others, is not asked here.
pub(super) fn right_angles(
    polygon: &PixelRings,
    frame: [[f64; 2]; 2],
    tolerance: f64,
    grid: PartGrid,
) -> Option<PixelRings> {
    let frame = Frame::of(frame)?;
    let jog = JOG.max(tolerance);
    let exterior = Ring::of(open(polygon.exterior()), &frame)?;
    let mut angle = main_direction(&exterior.corner_positions());
    for _ in 0..TURNS {
        let steps = Steps::of(&exterior.positions, angle);
        angle += steps.turn(&steps.stretches(&exterior.corners));
    }
    let mut rings = Vec::with_capacity(polygon.ring_count());
    for (index, pixels) in polygon.rings().map(open).enumerate() {
        let ring = if index == 0 { None } else { Some(Ring::of(pixels, &frame)?) };
        let ring = ring.as_ref().unwrap_or(&exterior);
        let steps = Steps::of(&ring.positions, angle);
        let stretches = without_jogs(&steps, steps.stretches(&ring.corners), jog);
        let corners = match stretches.len() {
            4..=MOST_CORNERS => corners(&stretches),
            0..4 => rectangle(&steps, pixels)?,
            _ => return None,
        };
        let (sine, cosine) = angle.sin_cos();
        let back = |[x, y]: [f64; 2]| frame.back([cosine * x - sine * y, cosine * y + sine * x]);
        let drawn: Option<Vec<[i32; 2]>> = corners.into_iter().map(|corner| grid.at(back(corner))).collect();
        let drawn = drawn?;
        // One that has turned over, or has no area, is none.
        if doubled_area(&drawn).signum() != doubled_area(pixels).signum() {
            return None;
        }
        rings.push(drawn);
    }
    Some(rings_of(rings))
}

/// Where stretches that follow each other meet.
fn corners(stretches: &[Stretch]) -> Vec<[f64; 2]> {
    let next = stretches.iter().cycle().skip(1);
    let meet = |(a, b): (&Stretch, &Stretch)| if a.along_x { [b.place, a.place] } else { [a.place, b.place] };
    stretches.iter().zip(next).map(meet).collect()
}

/// The rectangle around steps, made smaller until it has the area of the ring; running its way. For rings that have no four
/// stretches.
fn rectangle(steps: &Steps, pixels: &[[i32; 2]]) -> Option<Vec<[f64; 2]>> {
    let [[west, east], [south, north]] = steps.bounds();
    let doubled = doubled_area(pixels);
    let (width, height) = (east - west, north - south);
    let scale = (doubled.abs() as f64 / 2.0 / (width * height)).sqrt();
    if !scale.is_finite() || scale == 0.0 {
        return None;
    }
    let (x, y) = ((west + east) / 2.0, (south + north) / 2.0);
    let (u, v) = (width * scale / 2.0, height * scale / 2.0);
    let mut corners = vec![[x - u, y - v], [x + u, y - v], [x + u, y + v], [x - u, y + v]];
    if steps.area() < 0.0 {
        corners.reverse();
    }
    Some(corners)
}

/// From pixels to a frame in which right angles are right, and as large as pixels are.
struct Frame {
    there: [[f64; 2]; 2],
    back: [[f64; 2]; 2],
}

impl Frame {
    fn of([[a, b], [c, d]]: [[f64; 2]; 2]) -> Option<Self> {
        let determinant = a * d - b * c;
        let scale = determinant.abs().sqrt();
        if !determinant.is_normal() || !scale.is_normal() {
            return None;
        }
        let there = [[a / scale, b / scale], [c / scale, d / scale]];
        let turned = determinant.signum();
        let back =
            [[there[1][1] * turned, -there[0][1] * turned], [-there[1][0] * turned, there[0][0] * turned]];
        there.iter().chain(&back).flatten().all(|v| v.is_finite()).then_some(Self { there, back })
    }

    fn there(&self, position: [f64; 2]) -> [f64; 2] {
        product(&self.there, position)
    }

    fn back(&self, position: [f64; 2]) -> [f64; 2] {
        product(&self.back, position)
    }
}

fn product(matrix: &[[f64; 2]; 2], [x, y]: [f64; 2]) -> [f64; 2] {
    matrix.map(|[a, b]| a * x + b * y)
}

/// A ring step by step, and the steps at which its simplified outline turns.
struct Ring {
    positions: Vec<[f64; 2]>,
    corners: Vec<usize>,
}

impl Ring {
    fn of(pixels: &[[i32; 2]], frame: &Frame) -> Option<Self> {
        let next = pixels.iter().cycle().skip(1);
        let length = |(a, b): (&[i32; 2], &[i32; 2])| {
            (0..2).map(|axis| (i64::from(b[axis]) - i64::from(a[axis])).abs()).sum::<i64>()
        };
        if pixels.iter().zip(next).map(length).sum::<i64>() > LONGEST {
            return None;
        }
        let steps = stepped(pixels);
        let corners = corner_steps(pixels, &steps);
        let positions = steps.iter().map(|step| frame.there(step.map(f64::from))).collect();
        Some(Self { positions, corners })
    }

    fn corner_positions(&self) -> Vec<[f64; 2]> {
        self.corners.iter().map(|&corner| self.positions[corner]).collect()
    }
}

/// The pixel corners that an open ring along pixel edges passes, one by one.
fn stepped(ring: &[[i32; 2]]) -> Vec<[i32; 2]> {
    let mut steps = Vec::new();
    for (from, to) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let way = [to[0] - from[0], to[1] - from[1]];
        let count = way[0].abs().max(way[1].abs());
        let unit = way.map(i32::signum);
        steps.extend((0..count).map(|step| [from[0] + unit[0] * step, from[1] + unit[1] * step]));
    }
    steps
}

/// The steps at which the simplified ring turns: simplified by less where the ring is small.
fn corner_steps(ring: &[[i32; 2]], steps: &[[i32; 2]]) -> Vec<usize> {
    let area = doubled_area(ring).abs() as f64 / 2.0;
    let tolerance = (0.1 * area.sqrt()).clamp(0.5, 1.5);
    let simplified = simplify(&rings_of([ring.to_vec()]), tolerance);
    let turns = open(simplified.exterior());
    let Some(first) = turns.first().and_then(|turn| steps.iter().position(|step| step == turn)) else {
        return Vec::new();
    };
    // In the order of the steps, from the first on and around.
    let mut turns = turns.iter().peekable();
    let around = (0..steps.len()).map(|step| (first + step) % steps.len());
    around.filter(|&step| turns.next_if(|turn| **turn == steps[step]).is_some()).collect()
}
