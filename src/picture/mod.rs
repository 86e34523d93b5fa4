//! Pictures for people: a mask over the raster it was made of, with its prompt and a scale bar.
//!
//! The raster is looked for beside the folder and read through the `tiff` crate; without one the backdrop is
//! plain. The same rasters as tiles are what the map page shows. Nothing here decides what a mask is, and nothing but
//! pictures depends on what is here.

mod canvas;
mod disguise;
mod font;
mod header;
mod levels;
mod overlay;
mod pam;
mod preview;
mod raster;
mod samples;
mod scale;
mod search;
mod tiles;

#[cfg(test)]
mod tests;

pub use canvas::{Canvas, Rgb};
pub use header::{RasterHeader, read_header};
pub use overlay::{Backdrop, Overlay};
pub use raster::{RasterError, RasterWindow, check_pixels, read_window};
pub use scale::{ScaleBar, ground_distance, metres_per_pixel};
pub use search::{Candidate, Found, Wanted, chips_above, raster_at, rasters_beside};
pub use tiles::{TILE, TileError, TilePlace, TiledRaster};

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The PNG could not be written.
    #[error("cannot write the picture as PNG: {0}")]
    Png(#[from] png::EncodingError),
}
