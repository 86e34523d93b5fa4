//! From low-resolution logits to a mask, and from a mask to rings.
//!
//! ```text
//! logits [L, L] --upscale--> Mask [h, w] --polygonize--> PixelPolygon --simplify--> PixelRings
//! ```
//!
//! Everything here is in pixels of the chip: x is the column, y the row, counted from the chip's
//! top-left corner, and pixel (row, col) covers the square from (col, row) to (col + 1, row + 1).
//! Coordinate reference systems, affine grids and GeoJSON live in `geo`; the decoder that makes the
//! logits lives in `decoder`.

mod coco;
mod connected;
mod error;
mod grid;
mod polygonize;
mod regions;
mod rings;
mod runs;
mod simplify;
#[cfg(test)]
pub(crate) mod tests;
mod upscale;
mod write;

pub use connected::connected_to;
pub use error::MaskError;
pub use grid::Mask;
pub use polygonize::polygonize;
pub use rings::{PixelBounds, PixelPolygon, PixelRings};
pub use runs::MaskRuns;
pub use simplify::{Simplifier, simplify};
pub use upscale::{Enlarged, letterbox_gain, upscale};
pub use write::{write_npy, write_png};
