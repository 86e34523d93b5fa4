//! Axis-aligned bounds in some CRS.

use serde::{Deserialize, Serialize};

/// An axis-aligned box `[west, south, east, north]` in the units of its CRS; touching counts as inside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct Bounds {
    /// Smallest x (west).
    pub min_x: f64,
    /// Smallest y (south).
    pub min_y: f64,
    /// Largest x (east).
    pub max_x: f64,
    /// Largest y (north).
    pub max_y: f64,
}

impl Bounds {
    /// Bounds from west, south, east, north.
    pub const fn new(min_x: f64, min_y: f64, max_x: f64, max_y: f64) -> Self {
        Self { min_x, min_y, max_x, max_y }
    }

    /// The smallest bounds around the points; `None` without points.
    pub fn around(points: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        points.into_iter().fold(None, |bounds: Option<Self>, (x, y)| {
            Some(match bounds {
                None => Self::new(x, y, x, y),
                Some(b) => Self::new(b.min_x.min(x), b.min_y.min(y), b.max_x.max(x), b.max_y.max(y)),
            })
        })
    }

    /// The smallest bounds around both.
    pub fn union(&self, other: &Self) -> Self {
        Self::new(
            self.min_x.min(other.min_x),
            self.min_y.min(other.min_y),
            self.max_x.max(other.max_x),
            self.max_y.max(other.max_y),
        )
    }

    /// Whether a point lies inside or on the edge.
    pub fn covers_point(&self, x: f64, y: f64) -> bool {
        self.min_x <= x && x <= self.max_x && self.min_y <= y && y <= self.max_y
    }

    /// Whether the other bounds lie inside or on the edge.
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_point(other.min_x, other.min_y) && self.covers_point(other.max_x, other.max_y)
    }

    /// Whether the two share at least a point.
    pub fn intersects(&self, other: &Self) -> bool {
        self.min_x <= other.max_x
            && other.min_x <= self.max_x
            && self.min_y <= other.max_y
            && other.min_y <= self.max_y
    }

    /// Centre (x, y).
    pub fn center(&self) -> (f64, f64) {
        ((self.min_x + self.max_x) / 2.0, (self.min_y + self.max_y) / 2.0)
    }

    /// Width and height.
    pub fn size(&self) -> (f64, f64) {
        (self.max_x - self.min_x, self.max_y - self.min_y)
    }

    /// The corners, counter-clockwise from the south-west.
    pub fn corners(&self) -> [(f64, f64); 4] {
        [
            (self.min_x, self.min_y),
            (self.max_x, self.min_y),
            (self.max_x, self.max_y),
            (self.min_x, self.max_y),
        ]
    }

    /// Distance from a point to the nearest point of the box; zero inside.
    pub fn distance_to(&self, x: f64, y: f64) -> f64 {
        let dx = (self.min_x - x).max(x - self.max_x).max(0.0);
        let dy = (self.min_y - y).max(y - self.max_y).max(0.0);
        dx.hypot(dy)
    }

    /// Whether all four numbers are finite and neither side is reversed.
    pub fn is_valid(&self) -> bool {
        [self.min_x, self.min_y, self.max_x, self.max_y].iter().all(|v| v.is_finite())
            && self.min_x <= self.max_x
            && self.min_y <= self.max_y
    }
}

impl From<[f64; 4]> for Bounds {
    fn from([min_x, min_y, max_x, max_y]: [f64; 4]) -> Self {
        Self { min_x, min_y, max_x, max_y }
    }
}

impl From<Bounds> for [f64; 4] {
    fn from(b: Bounds) -> Self {
        [b.min_x, b.min_y, b.max_x, b.max_y]
    }
}
