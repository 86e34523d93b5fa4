//! One chip's tensors, read from a feature folder.

use ndarray::Array3;

use crate::family::Family;

/// What one chip file holds.
#[derive(Debug, Clone)]
pub struct ChipFeatures {
    /// The family of the model that encoded the chip.
    pub family: Family,
    /// File name of the checkpoint, as written.
    pub checkpoint: String,
    /// Height and width of the chip in source pixels.
    pub src_shape: (usize, usize),
    /// Height and width of the encoder frame in pixels.
    pub dst_shape: (usize, usize),
    /// The image embedding, `[256, grid, grid]`, in any memory order.
    pub embedding: Array3<f32>,
    /// The high-resolution maps of SAM 2 and SAM 3.
    pub high_res: Option<HighRes>,
}

/// The two high-resolution maps, already projected by the encoder.
#[derive(Debug, Clone)]
pub struct HighRes {
    /// `[32, 4 grid, 4 grid]`.
    pub quarter: Array3<f32>,
    /// `[64, 2 grid, 2 grid]`.
    pub half: Array3<f32>,
}
