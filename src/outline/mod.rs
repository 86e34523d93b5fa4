//! Outlines that people can use: staircases of pixels smoothed, buildings with right angles.
//!
//! ```text
//! PixelRings of a mask --smooth, simplify--> rings on parts of a pixel
//!                      --right angles------> the same, where they fit the pixels
//! ```
//!
//! Everything here is in pixels of the mask, and every outline of a mask is drawn together, so that none crosses another. What
//! comes out is on a lattice of parts of a pixel ([`PartGrid`]), where validity is exact; `geo` writes it with an affine grid
//! that is finer by as much. What is measured lives in `geo`, how all this is asked for in
//! `api` and `engine`.
//!
//! Nothing depends on the order of polygons and rings, or on where a ring begins: all are brought into one order first.

mod arrangement;
mod canonical;
mod direction;
mod fill;
mod fit;
mod part_grid;
mod right_angles;
mod smooth;
mod straight;
#[cfg(test)]
mod tests;

use crate::mask::{PixelBounds, PixelRings, Simplifier};
use arrangement::Arrangement;
use canonical::Canonical;
pub use fill::filled;
pub use part_grid::PartGrid;

/// Least IoU of an outline with right angles and the pixels that it stands for. The straight outline of a rectangle of 10 x 10
/// pixels has some 0.93, the best stairs around a disc some 0.85.
pub const RIGHT_ANGLES_IOU: f64 = 0.85;

/// Regions of fewer pixels have no shape that could be a building's.
const SMALLEST: f64 = 9.0;

/// Rings of what may get right angles. A building has few courtyards; a mask that has holes all over takes seconds, and
/// does not fit.
const MOST_RINGS: usize = 32;

/// Smoothed outlines are thinned by so much, in pixels: they come with a vertex each pixel.
const SMOOTH_TOLERANCE: f64 = 0.125;

/// How outlines are to be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shaping {
    /// Tolerance of simplification in pixels; `None` where outlines are not simplified.
    pub tolerance: Option<f64>,
    /// Standard deviation, in pixels along the outline, of what staircases are smoothed by; the outline moves by no more than that.
    /// 0 where they are not smoothed.
    pub smooth: f64,
    /// Whether outlines get right angles where these fit.
    pub right_angles: bool,
}

/// One polygon as it is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its rings in parts of a pixel; orientation and validity as of [`PixelRings`].
    pub rings: PixelRings,
    /// Whether it has right angles, where they were asked for: `false` where they do not fit.
    pub right_angles: Option<bool>,
}

/// The outlines of a mask, in the order of its polygons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlines {
    /// One a polygon.
    pub outlines: Vec<Outline>,
    /// What their coordinates count.
    pub grid: PartGrid,
}

/// Draws the polygons of one mask.
///
/// `frame` gives, for a place in pixels and a reach around it, the matrix from pixels to metres (or to any other units in which
/// right angles are right): `[[x per column, x per row], [y per column, y per row]]`.
///
/// The outlines are valid, each and together, as the polygons are. One that has right angles has an IoU of
/// [`RIGHT_ANGLES_IOU`] or more with its pixels, at most 32 rings, and meets no other outline; else it is drawn as the rest
/// of `shaping` says.
pub fn draw(
    polygons: &[&PixelRings],
    shaping: &Shaping,
    mut frame: impl FnMut([f64; 2], f64) -> [[f64; 2]; 2],
) -> Outlines {
    let canonical = Canonical::of(polygons);
    let grid = PartGrid::around(&canonical.polygons, shaping.smooth);
    let plain: Vec<PixelRings> = canonical.polygons.iter().map(|rings| grid.finer(rings)).collect();
    let ordinary = ordinary(&canonical.polygons, &plain, shaping, grid);
    let straight: Vec<Option<PixelRings>> = if shaping.right_angles {
        let jog = shaping.tolerance.unwrap_or_default();
        let straightened = canonical.polygons.iter().zip(&plain).map(|(rings, plain)| {
            if rings.area() < SMALLEST || rings.ring_count() > MOST_RINGS {
                return None;
            }
            let (center, reach) = middle(rings);
            let found = right_angles::right_angles(rings, frame(center, reach), jog, grid)?;
            (fit::iou(plain, &found) >= RIGHT_ANGLES_IOU).then_some(found)
        });
        let straightened = straightened.collect();
        apart(straightened, &ordinary, &canonical.polygons, grid)
    } else {
        vec![None; ordinary.len()]
    };
    let drawn = straight.into_iter().zip(ordinary).map(|(straight, ordinary)| Outline {
        right_angles: shaping.right_angles.then_some(straight.is_some()),
        rings: straight.unwrap_or(ordinary),
    });
    Outlines { outlines: canonical.as_they_came(drawn.collect()), grid }
}

/// The outlines without right angles: smoothed, simplified, or along pixel edges.
fn ordinary(
    polygons: &[PixelRings],
    plain: &[PixelRings],
    shaping: &Shaping,
    grid: PartGrid,
) -> Vec<PixelRings> {
    let parts = f64::from(grid.parts);
    let thinned = |outlines: &[PixelRings], tolerance: f64| {
        Simplifier::default().simplify_together(&outlines.iter().collect::<Vec<_>>(), tolerance)
    };
    if shaping.smooth > 0.0 {
        let smoothed = smooth::smooth(polygons, shaping.smooth, grid);
        return thinned(&smoothed, shaping.tolerance.unwrap_or(0.0).max(SMOOTH_TOLERANCE) * parts);
    }
    match shaping.tolerance {
        // In pixels, so that the outline is the one that is drawn without right angles.
        Some(tolerance) => thinned(polygons, tolerance).iter().map(|rings| grid.finer(rings)).collect(),
        None => plain.to_vec(),
    }
}

/// After so many rounds in which straight outlines were in the way of others, none of them is left.
const ROUNDS: usize = 8;

/// The straight outlines that meet no other outline, and lie around the same others as their pixels do. Of two that meet the
/// smaller one gives way first.
fn apart(
    mut straight: Vec<Option<PixelRings>>,
    ordinary: &[PixelRings],
    polygons: &[PixelRings],
    grid: PartGrid,
) -> Vec<Option<PixelRings>> {
    if straight.iter().all(Option::is_none) {
        return straight;
    }
    let owners: Vec<usize> =
        ordinary.iter().enumerate().flat_map(|(owner, rings)| vec![owner; rings.ring_count()]).collect();
    let begun = smooth::middles_of(polygons, grid);
    let begun: Vec<&[[i32; 2]]> = begun.iter().map(Vec::as_slice).collect();
    let before = Arrangement::of(&begun).containers();
    let sizes: Vec<f64> = polygons.iter().map(PixelRings::area).collect();
    for _ in 0..ROUNDS {
        let current = straight.iter().zip(ordinary);
        let current: Vec<&PixelRings> =
            current.map(|(straight, own)| straight.as_ref().unwrap_or(own)).collect();
        let rings: Vec<&[[i32; 2]]> =
            current.iter().flat_map(|rings| rings.rings()).map(canonical::open).collect();
        let arrangement = Arrangement::of(&rings);
        let mut fails = vec![false; ordinary.len()];
        let mut blame = |a: usize, b: usize| match (straight[a].is_some(), straight[b].is_some()) {
            (true, true) => {
                fails[a] |= sizes[a] <= sizes[b];
                fails[b] |= sizes[b] <= sizes[a];
            }
            // Ordinary outlines may touch each other in corners, as the pixels do.
            (one, other) => {
                fails[a] |= one;
                fails[b] |= other;
            }
        };
        arrangement.meetings(|(a, _), (b, _)| blame(owners[a], owners[b]));
        for (ring, (before, now)) in before.iter().zip(arrangement.containers()).enumerate() {
            if *before != now {
                for other in [*before, now].into_iter().flatten() {
                    blame(owners[ring], owners[other]);
                }
            }
        }
        if !fails.contains(&true) {
            return straight;
        }
        for (outline, _) in straight.iter_mut().zip(fails).filter(|(_, fails)| *fails) {
            *outline = None;
        }
    }
    vec![None; ordinary.len()]
}

/// The middle of a polygon's bounds in pixels, and how far they reach from there.
fn middle(rings: &PixelRings) -> ([f64; 2], f64) {
    let PixelBounds { min_x, min_y, max_x, max_y } = PixelBounds::of(rings.exterior());
    let [low, high] = [[min_x, min_y], [max_x, max_y]].map(|end| end.map(f64::from));
    let center = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
    (center, ((high[0] - low[0]).max(high[1] - low[1]) / 2.0).max(1.0))
}
