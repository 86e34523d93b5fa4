//! The decoder as ONNX graphs, built in Rust from a checkpoint's weights.
//!
//! - [`whole`]: embedding and prompt to masks, as Segment Anything is usually exported.
//! - [`prepare`] and [`decode`]: the same decoder split into what is done once per chip and what is done per prompt,
//!   with products re-associated and the upscaling in block order.
//! - [`mask()`]: between the two, for a prompt with a mask.
//! - [`export`] writes them to files for other runtimes.
//!
//! Here: what is computed. Not here: who runs it (`tract` and other engines beside this module).
//!
//! # Block order
//! The upscaled pixels of an image token stay together: index (row, column, dy1, dx1, dy2, dx2) of a token at (row,
//! column), one of its 2 x 2 pixels of half resolution, and one of that pixel's 2 x 2 of quarter resolution.

mod attention;
pub mod builder;
mod export;
mod layers;
mod mask;
pub mod onnx;
mod split;
mod transformer;
mod upscaling;
mod whole;

pub use export::export;
pub use mask::mask;
pub use split::{Association, PREPARED, decode, prepare};
pub use whole::whole;

use super::weights::{CHANNELS, HALF_CHANNELS, QUARTER_CHANNELS};
use crate::family::Family;
use builder::Dim;

/// How many tokens a prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptTokens {
    /// This many, known when the graph is built: faster.
    Fixed(usize),
    /// Any number, the dimension `N`.
    Symbolic,
}

impl PromptTokens {
    fn dim(self) -> Dim {
        match self {
            Self::Fixed(n) => Dim::Fixed(n),
            Self::Symbolic => Dim::Named("N"),
        }
    }
}

/// For whom a graph is built; this decides its inputs and outputs, not what it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Another runtime: the arrays of a chip file as they are, prompts as coordinates and labels, logits as an image.
    Runtime,
    /// An engine of this crate: the embedding as tokens `[grid * grid, 256]`, prompts as the tokens of
    /// [`PromptEncoder`](super::PromptEncoder), logits in block order where the graph computes them so.
    Engine,
}

/// Channels and side in tokens of a family's `half` and `quarter` maps, `None` for a family without them.
pub(super) fn high_resolution_maps(family: Family) -> Option<[(&'static str, [usize; 3]); 2]> {
    let grid = family.grid();
    family.has_high_resolution_maps().then_some([
        ("high_res_feats_1", [HALF_CHANNELS, 2 * grid, 2 * grid]),
        ("high_res_feats_0", [QUARTER_CHANNELS, 4 * grid, 4 * grid]),
    ])
}

/// Image tokens of a family's grid.
pub(super) const fn image_tokens(family: Family) -> usize {
    family.grid() * family.grid()
}

/// The shape of the image embedding in a chip file, without the batch.
pub(super) fn embedding_shape(family: Family) -> [usize; 3] {
    [CHANNELS, family.grid(), family.grid()]
}
