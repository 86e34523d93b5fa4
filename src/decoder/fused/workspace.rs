//! The memory that a decode works in: made once, used again for every prompt.
//!
//! The image tokens are cut into chunks of four rows of the grid. A chunk is what one thread works on at a time; their
//! number does not depend on the number of threads, so neither does the result.

use std::sync::{Mutex, PoisonError};

use super::lanes::PANEL;
use super::mask::HIDDEN;
use super::product::Packed;
use super::weights::CROSS_HEAD;
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HALF_CHANNELS, HEADS, MASKS, QUARTER_CHANNELS};

/// Rows of the grid in a chunk: panels stay whole for every family.
pub(super) const CHUNK_ROWS: usize = 4;
/// Numbers of one panel of image tokens.
pub(super) const PANEL_LEN: usize = CHANNELS * PANEL;
/// Panels that are worked on together at most.
pub(super) const MOST_PANELS: usize = 2;

/// Tokens, the decoder's own included, up to which products with the image tokens are re-associated
/// ([`Association`](crate::decoder::graph::Association)).
const MOST_FEW_TOKENS: usize = 15;

/// Sizes of one decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sizes {
    /// Side of the grid of image tokens.
    pub grid: usize,
    /// Tokens: the decoder's own and the prompt's.
    pub tokens: usize,
}

impl Sizes {
    /// Tokens, filled up to a multiple of 4.
    pub fn padded(self) -> usize {
        self.tokens.next_multiple_of(4)
    }

    /// All heads of all tokens: index `token * 8 + head`.
    pub fn heads(self) -> usize {
        self.tokens * HEADS
    }

    /// Panels of 16 lanes for [`heads`](Self::heads).
    pub fn head_panels(self) -> usize {
        self.heads().div_ceil(PANEL)
    }

    /// Whether the ordinary order of products is the better one ([`long`](super::long)).
    pub fn is_long(self) -> bool {
        self.tokens > MOST_FEW_TOKENS
    }

    /// Panels of image tokens in a chunk.
    pub fn chunk_panels(self) -> usize {
        CHUNK_ROWS * self.grid / PANEL
    }

    pub fn chunks(self) -> usize {
        self.grid / CHUNK_ROWS
    }
}

/// Part of a softmax over the image tokens and of the values mixed by it, for every token and head.
#[derive(Debug, Default)]
pub(super) struct Attended {
    /// The largest score so far.
    pub peak: Vec<f32>,
    /// The sum of e^(score - peak).
    pub total: Vec<f32>,
    /// The values, each times e^(score - peak).
    pub mixed: Vec<f32>,
}

/// What belongs to one chunk of image tokens.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The image tokens, `[panels][256][16]`.
    pub keys: Vec<f32>,
    /// Values `[token * 8 + head][16 channels of the head]` in layer 0 and for long lists of points, otherwise
    /// `[head panels][256][16 lanes]`.
    pub attended: Attended,
    /// What the convolutions have made of a mask prompt, `[panels][16][16]`.
    pub hidden: Vec<f32>,
    /// Logits, `[4 masks][4 CHUNK_ROWS][4 grid]`.
    pub logits: Vec<f32>,
}

/// Projections of the image tokens of a chunk that are not prepared with the chip: layer 0's with a mask prompt, later
/// ones for long lists of points. In the layouts of a prepared chip.
#[derive(Debug, Default)]
pub(super) struct Projected {
    pub k: Vec<f32>,
    pub q: Vec<f32>,
    pub v: Vec<f32>,
}

/// What one thread needs meanwhile.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Image tokens with their positions, `[panels][256][16]`; then the first upscaling's result.
    pub positioned: Vec<f32>,
    /// Scores and weights, `[panels][8 padded tokens][16]`; in layer 0 of a whole chunk.
    pub scores: Vec<f32>,
    /// Scores transposed, `[panels][panels of heads][16 image tokens][16 heads]`.
    pub by_lane: Vec<f32>,
    /// The second upscaling's result, `[panels][128][16]`.
    pub pixels: Vec<f32>,
    /// Logits in block order, `[panels][4 pixels][4 masks][4 pixels][16]`.
    pub logits: Vec<f32>,
    pub projected: Projected,
}

/// The tokens and what is computed from them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// The decoder's own tokens and the prompt's, `[padded][256]`.
    pub given: Vec<f32>,
    /// As they are now, `[padded][256]`.
    pub queries: Vec<f32>,
    /// `queries + given`
    pub positioned: Vec<f32>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub mixed: Vec<f32>,
    pub hidden: Vec<f32>,
    pub update: Vec<f32>,
    /// Queries through the projection of keys, `[head panels][256][16]`.
    pub through_keys: Vec<f32>,
    /// The same layout, or `[token * 8 + head][16]` for layer 0: what the chunks have mixed, together.
    pub attended: Vec<f32>,
    /// Queries or keys of layer 0, or keys of any, by head, `[8][padded / 4][16][4]`.
    pub by_head: Vec<f32>,
    /// Queries of the next attention to the image, in the same layout, for long lists of points.
    pub queries_by_head: Vec<f32>,
    /// Values of the attention from image to tokens by head, each `[16, tokens]`, for long lists of points.
    pub values_by_head: [Packed; HEADS],
    /// Keys through the projection of queries, `[token * 8 + head, 256]`, and their bias.
    pub keys_through: Packed,
    pub keys_bias: Vec<f32>,
    /// Values through the output's projection, `[256, token * 8 + head]`.
    pub values_out: Packed,
    /// The hypernetworks' weights, `[4, 32]`.
    pub hyper: Packed,
    pub scores: [f32; MASKS],
}

#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub tokens: Tokens,
    pub chunks: Vec<Mutex<Chunk>>,
    pub scratch: Vec<Scratch>,
}

impl Tokens {
    /// Makes room; nothing is allocated where as much was needed before.
    pub fn reserve(&mut self, sizes: Sizes, block: usize) {
        let padded = sizes.padded();
        // What is re-associated; for a long list of points nothing.
        let (heads, head_panels) =
            if sizes.is_long() { (0, 0) } else { (sizes.heads(), sizes.head_panels()) };
        let t = &mut *self;
        for tokens in [&mut t.given, &mut t.queries, &mut t.positioned, &mut t.q, &mut t.k, &mut t.v] {
            room(tokens, padded * CHANNELS);
        }
        room(&mut t.mixed, padded * CHANNELS);
        room(&mut t.update, padded * CHANNELS);
        room(&mut t.through_keys, head_panels * CHANNELS * PANEL);
        room(&mut t.attended, head_panels * CHANNELS * PANEL);
        room(&mut t.by_head, padded * CROSS_CHANNELS);
        room(&mut t.keys_bias, heads);
        if sizes.is_long() {
            room(&mut t.queries_by_head, padded * CROSS_CHANNELS);
            for values in &mut t.values_by_head {
                values.reshape(CROSS_HEAD, sizes.tokens, block);
            }
        }
        t.keys_through.reshape(heads, CHANNELS, block);
        t.values_out.reshape(CHANNELS, heads, block);
        t.hyper.reshape(MASKS, QUARTER_CHANNELS, block);
    }
}

impl Scratch {
    /// Makes room for the upscaling.
    pub fn reserve(&mut self) {
        room(&mut self.positioned, MOST_PANELS * CHANNELS * PANEL);
        room(&mut self.pixels, MOST_PANELS * 2 * HALF_CHANNELS * PANEL);
        room(&mut self.logits, MOST_PANELS * 16 * MASKS * PANEL);
    }
}

impl Workspace {
    /// Makes room; nothing is allocated where as much was needed before.
    pub fn reserve(&mut self, sizes: Sizes, threads: usize, block: usize, masked: bool) {
        let padded = sizes.padded();
        let (all_heads, grid) = (padded * HEADS, sizes.grid);
        let head_panels = if sizes.is_long() { 0 } else { sizes.head_panels() };
        self.tokens.reserve(sizes, block);

        self.chunks.resize_with(sizes.chunks(), Mutex::default);
        for chunk in &mut self.chunks {
            let chunk = chunk.get_mut().unwrap_or_else(PoisonError::into_inner);
            room(&mut chunk.keys, sizes.chunk_panels() * CHANNELS * PANEL);
            room(&mut chunk.attended.peak, all_heads.next_multiple_of(PANEL));
            room(&mut chunk.attended.total, all_heads.next_multiple_of(PANEL));
            room(&mut chunk.attended.mixed, (head_panels * CHANNELS * PANEL).max(all_heads * CROSS_HEAD));
            if masked {
                room(&mut chunk.hidden, sizes.chunk_panels() * HIDDEN * PANEL);
            }
            room(&mut chunk.logits, MASKS * 4 * CHUNK_ROWS * 4 * grid);
        }
        self.scratch.resize_with(threads.max(1), Scratch::default);
        for scratch in &mut self.scratch {
            scratch.reserve();
            room(&mut scratch.scores, sizes.chunk_panels() * padded * HEADS * PANEL);
            room(&mut scratch.by_lane, MOST_PANELS * MOST_PANELS * PANEL * PANEL);
            if masked || sizes.is_long() {
                let Projected { k, q, v } = &mut scratch.projected;
                for projected in [k, q, v] {
                    room(projected, sizes.chunk_panels() * CROSS_CHANNELS * PANEL);
                }
            }
        }
    }
}

/// Exactly `len` values; those from before are kept.
pub(super) fn room(values: &mut Vec<f32>, len: usize) {
    values.resize(len, 0.0);
}
