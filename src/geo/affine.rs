//! The affine grid of a raster: pixel coordinates to world coordinates and back.

use serde::{Deserialize, Serialize};

/// An affine transform in the order of the Python package `affine` (and of the manifest):
/// `x = a*col + b*row + c`, `y = d*col + e*row + f`.
///
/// Pixel coordinates are fractional (column, row) with the origin at the outer corner of the first
/// pixel; world coordinates are in the raster's CRS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// Change of x with the column.
    pub a: f64,
    /// Change of x with the row.
    pub b: f64,
    /// x of the outer corner of the first pixel.
    pub c: f64,
    /// Change of y with the column.
    pub d: f64,
    /// Change of y with the row; negative where north is up.
    pub e: f64,
    /// y of the outer corner of the first pixel.
    pub f: f64,
}

impl Affine {
    /// The transform from its six numbers in the manifest's order a, b, c, d, e, f.
    pub const fn new([a, b, c, d, e, f]: [f64; 6]) -> Self {
        Self { a, b, c, d, e, f }
    }

    /// World coordinates of a (column, row).
    pub fn apply(&self, col: f64, row: f64) -> (f64, f64) {
        (self.a * col + self.b * row + self.c, self.d * col + self.e * row + self.f)
    }

    /// The same grid with coordinates in parts of a pixel, counted from a pixel corner `[column, row]` on.
    #[must_use]
    pub fn in_parts(&self, [col, row]: [i32; 2], parts: i32) -> Self {
        let (c, f) = self.apply(f64::from(col), f64::from(row));
        let [a, b, d, e] = [self.a, self.b, self.d, self.e].map(|v| v / f64::from(parts));
        Self { a, b, c, d, e, f }
    }

    /// Determinant of the linear part: the signed area of a pixel in squared CRS units.
    pub fn determinant(&self) -> f64 {
        self.a * self.e - self.b * self.d
    }

    /// Area of one pixel in squared CRS units.
    pub fn pixel_area(&self) -> f64 {
        self.determinant().abs()
    }

    /// Width and height of a pixel along the grid's own axes, in CRS units.
    pub fn pixel_size(&self) -> (f64, f64) {
        (self.a.hypot(self.d), self.b.hypot(self.e))
    }

    /// World to (column, row); `None` where the grid is degenerate or not finite.
    pub fn inverse(&self) -> Option<Self> {
        let det = self.determinant();
        let all_finite = [self.a, self.b, self.c, self.d, self.e, self.f].iter().all(|v| v.is_finite());
        if !all_finite || !det.is_normal() {
            return None;
        }
        let (ra, rb, rd, re) = (self.e / det, -self.b / det, -self.d / det, self.a / det);
        Some(Self {
            a: ra,
            b: rb,
            c: -self.c * ra - self.f * rb,
            d: rd,
            e: re,
            f: -self.c * rd - self.f * re,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_takes_world_coordinates_back_to_pixels() {
        let grid = Affine::new([0.5, 0.1, 500_000.0, 0.2, -0.5, 4_000_000.0]);
        let back = grid.inverse().unwrap();
        let (x, y) = grid.apply(12.25, 700.5);
        let (col, row) = back.apply(x, y);
        assert!((col - 12.25).abs() < 1e-7 && (row - 700.5).abs() < 1e-7, "{col} {row}");
    }

    #[test]
    fn parts_of_pixels_lie_where_they_are() {
        let grid = Affine::new([0.5, 0.1, 500_000.0, 0.2, -0.5, 4_000_000.0]);
        let parts = grid.in_parts([10, -3], 256);
        let ((x, y), (px, py)) = (grid.apply(11.5, 0.25), parts.apply(1.5 * 256.0, 3.25 * 256.0));
        assert!((x - px).abs() < 1e-9 && (y - py).abs() < 1e-9);
    }

    #[test]
    fn a_degenerate_grid_has_no_inverse() {
        assert_eq!(Affine::new([0.0, 0.0, 1.0, 0.0, -1.0, 2.0]).inverse(), None);
        assert_eq!(Affine::new([f64::NAN, 0.0, 1.0, 0.0, -1.0, 2.0]).inverse(), None);
    }
}
