//! The lattice of outlines: parts of a pixel, counted from a corner near the outlines.

use crate::mask::PixelRings;

/// Parts of a pixel, where outlines are small enough: a corner is rounded by a fiftieth of a degree of an edge of ten pixels.
const PARTS: i32 = 256;
/// Coordinates stay below this, or little above for the widest masks that there are, so that exact predicates fit their numbers. The
/// middle of a pixel's edge is on every lattice.
const WIDEST: i64 = 1 << 28;
/// Pixels around the mask's polygons that outlines may need.
const MARGIN: i64 = 16;

/// What the coordinates of an outline count: `parts` of a pixel, from pixel corner `origin` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartGrid {
    /// The pixel corner `[column, row]` that has the coordinates `[0, 0]`.
    pub origin: [i32; 2],
    /// Parts of a pixel's side.
    pub parts: i32,
}

impl PartGrid {
    /// The finest lattice that holds polygons in pixels, and outlines that leave them by `reach` pixels.
    pub(super) fn around(polygons: &[PixelRings], reach: f64) -> Self {
        let mut low = [i32::MAX; 2];
        let mut high = [i32::MIN; 2];
        for &[x, y] in polygons.iter().flat_map(|rings| rings.exterior()) {
            low = [low[0].min(x), low[1].min(y)];
            high = [high[0].max(x), high[1].max(y)];
        }
        if polygons.is_empty() {
            return Self { origin: [0; 2], parts: PARTS };
        }
        let extent = (0..2).map(|axis| i64::from(high[axis]) - i64::from(low[axis])).max().unwrap_or(0);
        let extent = extent + 2 * MARGIN + 2 * reach as i64;
        let mut parts = PARTS;
        while parts > 2 && extent * i64::from(parts) >= WIDEST {
            parts /= 2;
        }
        Self { origin: low, parts }
    }

    /// A position in pixels as coordinates; `None` for one that is too far away.
    pub(super) fn at(self, position: [f64; 2]) -> Option<[i32; 2]> {
        let mut coordinates = [0; 2];
        for axis in 0..2 {
            let v = ((position[axis] - f64::from(self.origin[axis])) * f64::from(self.parts)).round();
            if v.is_nan() || v.abs() >= WIDEST as f64 {
                return None;
            }
            coordinates[axis] = v as i32;
        }
        Some(coordinates)
    }

    /// Rings in pixels as coordinates.
    pub(super) fn finer(self, rings: &PixelRings) -> PixelRings {
        let at = |axis: usize, v: i32| (v - self.origin[axis]) * self.parts;
        rings.moved(|[x, y]| [at(0, x), at(1, y)])
    }
}
