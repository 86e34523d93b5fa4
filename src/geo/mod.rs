//! Geography: affine grids, bounds, coordinate reference systems, and GeoJSON geometry as RFC 7946
//! wants it. Nothing here knows of masks, chips or files.

mod affine;
mod bounds;
mod geometry;

pub use affine::Affine;
pub use bounds::Bounds;
pub use geometry::{Geometry, Ring};
