//! The order of the work of one decode: the passes over the image tokens, and the tokens' side between them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::image::{FirstPass, ImageQueries, LayerPass};
use super::lanes::{PANEL, Processor};
use super::long::{LongPass, LongWeights};
use super::mask::{EncodeMask, Mask, MaskedKeysAndValues, MaskedQueriesAndTokens};
use super::prepare::Content;
use super::tokens::TokenSide;
use super::upscaling::UpscalingPass;
use super::weights::FusedWeights;
use super::workspace::{Chunk, Projected, Scratch, Sizes, Tokens, Workspace};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HALF_CHANNELS, QUARTER_CHANNELS};

/// The threads that share a piece of work: the caller's, and those of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crew<'a>(pub Option<&'a rayon::ThreadPool>);

impl Crew<'_> {
    /// Does `work` for every item: the threads, as many as there is scratch, take the next as they become free, each with
    /// its own scratch.
    pub fn each<T: Send, U: Send>(
        self,
        items: &[Mutex<T>],
        scratch: &mut [U],
        work: impl Fn(usize, &mut T, &mut U) + Sync,
    ) {
        let next = AtomicUsize::new(0);
        let take = |scratch: &mut U| {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { break };
                // Nobody else ever wants this item; a panic elsewhere does not make its content wrong.
                work(i, &mut item.lock().unwrap_or_else(PoisonError::into_inner), scratch);
            }
        };
        match (self.0, scratch) {
            (Some(pool), [own, others @ ..]) if !others.is_empty() => pool.in_place_scope(|scope| {
                for scratch in others {
                    let take = &take;
                    scope.spawn(move |_| take(scratch));
                }
                take(own);
            }),
            (_, [own, ..]) => take(own),
            (_, []) => {}
        }
    }
}

/// A prompt as the passes take it.
#[derive(Clone, Copy)]
pub(super) struct Prompt<'a> {
    /// Its tokens, `[n][256]`.
    pub tokens: &'a [f32],
    pub mask: Option<Mask<'a>>,
}

/// One decode.
#[derive(Clone, Copy)]
pub(super) struct Passes<'a> {
    pub processor: Processor,
    pub weights: &'a FusedWeights,
    /// For long lists of points, and only for them.
    pub long: Option<&'a LongWeights>,
    /// The dense positional encoding, `[panels][256][16]`.
    pub positions: &'a [f32],
    pub chip: &'a Content,
    pub sizes: Sizes,
    pub crew: Crew<'a>,
}

impl Passes<'_> {
    /// Everything up to the scores and the hypernetworks' weights, which are left in the workspace.
    pub fn until_scores(self, prompt: Prompt<'_>, workspace: &mut Workspace) {
        let Workspace { tokens, chunks, scratch } = workspace;
        let (processor, weights, sizes) = (self.processor, self.weights, self.sizes);
        let mut side = TokenSide { processor, weights, sizes, tokens };
        side.before_first_pass(prompt.tokens);
        self.first(side.tokens, prompt.mask, chunks, scratch);
        side.after_first_pass(chunks);
        self.layer(0, side.tokens, prompt.mask, chunks, scratch);
        side.after_second_pass(chunks);
        self.layer(1, side.tokens, None, chunks, scratch);
        side.after_third_pass(chunks);
    }

    /// The upscaling, from what [`until_scores`](Self::until_scores) has left; the logits stay in the workspace.
    pub fn until_logits(self, workspace: &mut Workspace) {
        let Workspace { tokens, chunks, scratch } = workspace;
        let (processor, sizes) = (self.processor, self.sizes);
        let (weights, hyper) = (&self.weights.upscaling, &tokens.hyper);
        self.crew.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            let maps = self.chip.maps.as_ref().map(|[half, quarter]| {
                [self.part(half, 4 * HALF_CHANNELS, i), self.part(quarter, 16 * QUARTER_CHANNELS, i)]
            });
            processor.run(UpscalingPass { sizes, weights, hyper, maps, chunk, scratch });
        });
    }

    /// The part of chunk `i` in an array of `rows` rows a panel.
    fn part<'v>(&self, values: &'v [f32], rows: usize, i: usize) -> &'v [f32] {
        let len = rows * PANEL * self.sizes.chunk_panels();
        &values[i * len..][..len]
    }

    /// Attention from the tokens to the image in layer 0.
    fn first(&self, t: &Tokens, mask: Option<Mask<'_>>, chunks: &[Mutex<Chunk>], scratch: &mut [Scratch]) {
        let (processor, sizes) = (self.processor, self.sizes);
        self.crew.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            let mut keys = self.part(&self.chip.k, CROSS_CHANNELS, i);
            let mut values = self.part(&self.chip.v, CROSS_CHANNELS, i);
            let mut projected = std::mem::take(&mut scratch.projected);
            if let Some(mask) = mask {
                let (weights, hidden) = (mask.weights, &mut chunk.hidden);
                processor.run(EncodeMask { sizes, weights, mask: mask.of_chunk(sizes, i), hidden });
                processor.run(MaskedKeysAndValues {
                    sizes,
                    weights,
                    hidden: &chunk.hidden,
                    keys,
                    values,
                    masked_keys: &mut projected.k,
                    masked_values: &mut projected.v,
                });
                (keys, values) = (&projected.k, &projected.v);
            }
            let queries = &t.by_head;
            processor.run(FirstPass { sizes, queries, keys, values, chunk, scratch });
            scratch.projected = projected;
        });
    }

    /// The end of a layer, and the attention from the tokens to the image that follows.
    fn layer(
        &self,
        index: usize,
        t: &Tokens,
        mask: Option<Mask<'_>>,
        chunks: &[Mutex<Chunk>],
        scratch: &mut [Scratch],
    ) {
        let (processor, sizes) = (self.processor, self.sizes);
        let layer = &self.weights.layers[index];
        let next =
            self.weights.layers.get(index + 1).map_or(&self.weights.last, |layer| &layer.token_to_image);
        let long = self.long.and_then(|long| long.0.get(index));
        self.crew.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            // Layer 0 has its image tokens and their queries from the chip.
            let prepared = index == 0;
            let mut before = prepared.then(|| self.part(&self.chip.keys, CHANNELS, i));
            let mut queries = prepared.then(|| self.part(&self.chip.q, CROSS_CHANNELS, i));
            let mut projected = std::mem::take(&mut scratch.projected);
            let Projected { k, q, v } = &mut projected;
            if let (Some(mask), Some(given), Some(tokens)) = (mask, queries, before) {
                processor.run(MaskedQueriesAndTokens {
                    sizes,
                    weights: mask.weights,
                    hidden: &chunk.hidden,
                    queries: given,
                    tokens,
                    masked_queries: q,
                    masked_tokens: &mut chunk.keys,
                });
                (before, queries) = (None, Some(q.as_slice()));
            }
            let positions = self.part(self.positions, CHANNELS, i);
            let norm = &layer.norms[3];
            if let Some(long) = long {
                processor.run(LongPass {
                    sizes,
                    layer: long,
                    attention: &layer.image_to_token,
                    norm,
                    next_values: &next.v,
                    queries,
                    keys: &t.by_head,
                    values: &t.values_by_head,
                    before,
                    positions,
                    next_k: k,
                    next_v: v,
                    chunk,
                    scratch,
                });
                let queries = &t.queries_by_head;
                processor.run(FirstPass { sizes, queries, keys: k, values: v, chunk, scratch });
            } else {
                let image_queries = match queries {
                    Some(queries) => ImageQueries::Prepared { queries, keys: &t.by_head },
                    None => ImageQueries::Projected { keys: &t.keys_through, bias: &t.keys_bias },
                };
                processor.run(LayerPass {
                    sizes,
                    image_queries,
                    values: &t.values_out,
                    bias: &layer.image_to_token.out_bias,
                    norm,
                    before,
                    positions,
                    queries: &t.through_keys,
                    chunk,
                    scratch,
                });
            }
            scratch.projected = projected;
        });
    }
}
