//! Geography: affine grids, bounds, coordinate reference systems, and GeoJSON geometry as RFC 7946
//! wants it. Nothing here knows of masks, chips or files.

mod affine;
mod antimeridian;
mod area;
mod bend;
mod bound;
mod bounds;
mod crs;
mod crs_text;
mod cut;
mod described;
mod error;
mod geometry;
mod hull;
mod joined;
mod lattice;
mod measure;
#[cfg(test)]
mod measure_crs;
mod nesting;
mod output;
mod pixel_map;
mod projjson;
mod seam;
mod tested_codes;
#[cfg(test)]
mod tests;
mod told;
mod transform;
mod transform_bounds;
mod turn;
mod wkt;
mod wkt_crs;

pub use affine::Affine;
pub use area::geodesic_area;
pub use bounds::Bounds;
pub use crs::Crs;
pub use error::GeoError;
pub use geometry::{Geometry, Ring};
pub(crate) use hull::{convex_hull, orientation};
pub use measure::{Measures, measures};
pub use output::{Projected, Projector};
pub(crate) use told::{Told, ToldUnit};
pub use transform::Transform;
pub use turn::Turn;
