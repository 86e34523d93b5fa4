//! GeoJSON geometry of a mask: rings of positions, ready to be written.

use serde::Serialize;

/// A closed ring of positions `[x, y]`; the first position is repeated at the end (RFC 7946, 3.1.6).
pub type Ring = Vec<[f64; 2]>;

/// A GeoJSON geometry. Outer rings are counter-clockwise, holes clockwise (RFC 7946, 3.1.6).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "coordinates")]
pub enum Geometry {
    /// Exterior ring first, then the holes.
    Polygon(Vec<Ring>),
    /// Several polygons, where the antimeridian or rounding splits one.
    MultiPolygon(Vec<Vec<Ring>>),
}
