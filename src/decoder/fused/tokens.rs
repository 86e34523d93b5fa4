//! The tokens' side of the decoder: self-attention, MLPs, heads, and what stands between two passes over the image.
//!
//! There are 7 to about 15 tokens as a rule, so little is computed here; most of the time goes into reading the weights
//! once.

use std::sync::{Mutex, PoisonError};

use super::kernels::{Merge, MergeHeads, Norms, Product, SelfAttend, ThroughHeads, ThroughValues};
use super::lanes::{PANEL, Processor};
use super::weights::{CROSS_HEAD, FusedWeights, ImageToToken, Linear, SelfAttention, TokenToImage};
use super::workspace::{Chunk, Sizes, Tokens, room};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS, MASKS, QUARTER_CHANNELS};

/// The tokens of one decode and what they are computed with.
pub(super) struct TokenSide<'a> {
    pub processor: Processor,
    pub weights: &'a FusedWeights,
    pub sizes: Sizes,
    pub tokens: &'a mut Tokens,
}

impl TokenSide<'_> {
    /// Before the first pass: the queries of layer 0, by head.
    pub fn before_first_pass(&mut self, prompt: &[f32]) {
        let own = &self.weights.own_tokens;
        let t = &mut *self.tokens;
        t.given.fill(0.0);
        t.given[..own.len()].copy_from_slice(own);
        t.given[own.len()..][..prompt.len()].copy_from_slice(prompt);
        t.queries.copy_from_slice(&t.given);
        let layer = &self.weights.layers[0];
        // Layer 0 has neither positions nor a residual: its queries are the positions.
        self.self_attention(&layer.self_attention, false);
        self.norm_update(0, 0, false);
        self.positioned();
        self.project_positioned(&layer.token_to_image.q);
        self.by_head();
    }

    /// What the second and third pass take of a layer's tokens for the attention from image to tokens.
    fn for_image(&mut self, attention: &ImageToToken, prepared: bool) {
        if self.sizes.is_long() {
            self.values_by_head(attention);
        } else {
            self.values_out(attention);
        }
        if prepared || self.sizes.is_long() {
            self.positioned();
            self.project_positioned(&attention.k);
            self.by_head();
        } else {
            self.keys_through_queries(attention);
        }
    }

    /// The queries of the next attention from tokens to image.
    fn next_queries(&mut self, attention: &TokenToImage) {
        if self.sizes.is_long() {
            self.positioned();
            self.project_positioned(&attention.q);
            let t = &mut *self.tokens;
            split_heads(&t.q, self.sizes.padded(), &mut t.queries_by_head);
        } else {
            self.queries_through_keys(attention);
        }
    }

    /// Between the first pass and the second: the end of layer 0 and the beginning of layer 1.
    pub fn after_first_pass(&mut self, chunks: &mut [Mutex<Chunk>]) {
        let layer = &self.weights.layers[0];
        let t = &mut *self.tokens;
        let heads = self.sizes.heads();
        self.processor.run(MergeHeads { chunks, heads, out: &mut t.mixed });
        self.finish_attention(&layer.token_to_image.out, 0);
        self.mlp(0);
        self.for_image(&layer.image_to_token, true);

        let layer = &self.weights.layers[1];
        self.self_attention(&layer.self_attention, true);
        self.norm_update(1, 0, true);
        self.next_queries(&layer.token_to_image);
    }

    /// Between the second pass and the third: the end of layer 1 and the queries of the last attention.
    pub fn after_second_pass(&mut self, chunks: &mut [Mutex<Chunk>]) {
        let layer = &self.weights.layers[1];
        self.merge(chunks, &layer.token_to_image.v);
        self.finish_attention(&layer.token_to_image.out, 1);
        self.mlp(1);
        self.for_image(&layer.image_to_token, false);
        self.next_queries(&self.weights.last);
    }

    /// Before the upscaling: the hypernetworks' weights, and the scores.
    pub fn after_third_pass(&mut self, chunks: &mut [Mutex<Chunk>]) {
        self.merge(chunks, &self.weights.last.v);
        self.heads();
    }

    /// From what the last attention has mixed to the hypernetworks' weights and the scores.
    pub fn heads(&mut self) {
        let weights = self.weights;
        let t = &mut *self.tokens;
        let mixed = &t.mixed[..self.sizes.padded() * CROSS_CHANNELS];
        linear(self.processor, &weights.last.out, mixed, &mut t.update, false);
        for (query, update) in t.queries.iter_mut().zip(&t.update) {
            *query += update;
        }
        self.processor.run(Norms { rows: &mut t.queries, norm: &weights.last_norm });

        for (mask, mlp) in weights.hypernetworks.iter().enumerate() {
            self.head(weights.iou_token + 1 + mask, mlp);
            let t = &mut *self.tokens;
            for channel in 0..QUARTER_CHANNELS {
                let place = t.hyper.place(mask, channel);
                t.hyper.values_mut()[place] = t.update[channel];
            }
        }
        self.head(weights.iou_token, &weights.scores);
        let t = &mut *self.tokens;
        for mask in 0..MASKS {
            let score = t.update[mask];
            t.scores[mask] = if weights.score_logits { 1.0 / (1.0 + (-score).exp()) } else { score };
        }
    }

    /// An MLP of three layers on one token; its result is the first row of `update`.
    fn head(&mut self, token: usize, mlp: &[Linear; 3]) {
        let t = &mut *self.tokens;
        // One row, and three more for the kernels, whose results nobody reads.
        const ROWS: usize = 4;
        let [first, second, third] = mlp;
        let x = &mut t.q[..ROWS * CHANNELS];
        x.fill(0.0);
        x[..CHANNELS].copy_from_slice(&t.queries[token * CHANNELS..][..CHANNELS]);
        room(&mut t.hidden, ROWS * first.outputs);
        linear(self.processor, first, x, &mut t.hidden, true);
        let x = &mut t.q[..ROWS * second.outputs];
        linear(self.processor, second, &t.hidden, x, true);
        linear(self.processor, third, x, &mut t.update[..ROWS * third.outputs], false);
    }

    /// `positioned = queries + given`
    pub fn positioned(&mut self) {
        let t = &mut *self.tokens;
        for ((sum, query), given) in t.positioned.iter_mut().zip(&t.queries).zip(&t.given) {
            *sum = query + given;
        }
    }

    /// Attention among the tokens; leaves its result in `update`.
    pub fn self_attention(&mut self, attention: &SelfAttention, positions: bool) {
        if positions {
            self.positioned();
        }
        let (p, t) = (self.processor, &mut *self.tokens);
        let x = if positions { &t.positioned } else { &t.queries };
        linear(p, &attention.q, x, &mut t.q, false);
        linear(p, &attention.k, x, &mut t.k, false);
        linear(p, &attention.v, &t.queries, &mut t.v, false);
        t.mixed.fill(0.0);
        p.run(SelfAttend { tokens: self.sizes.tokens, q: &t.q, k: &t.k, v: &t.v, out: &mut t.mixed });
        linear(p, &attention.out, &t.mixed, &mut t.update, false);
    }

    /// `queries = norm(update [+ queries])` with a norm of a layer.
    pub fn norm_update(&mut self, layer: usize, norm: usize, residual: bool) {
        let t = &mut *self.tokens;
        for (query, update) in t.queries.iter_mut().zip(&t.update) {
            *query = if residual { *query + update } else { *update };
        }
        let norm = &self.weights.layers[layer].norms[norm];
        self.processor.run(Norms { rows: &mut t.queries, norm });
    }

    /// The output's projection of what was mixed from the image, residual and norm.
    pub fn finish_attention(&mut self, out: &Linear, layer: usize) {
        let t = &mut *self.tokens;
        let mixed = &t.mixed[..self.sizes.padded() * CROSS_CHANNELS];
        linear(self.processor, out, mixed, &mut t.update, false);
        self.norm_update(layer, 1, true);
    }

    pub fn mlp(&mut self, layer: usize) {
        let [first, second] = &self.weights.layers[layer].mlp;
        let t = &mut *self.tokens;
        room(&mut t.hidden, self.sizes.padded() * first.outputs);
        linear(self.processor, first, &t.queries, &mut t.hidden, true);
        linear(self.processor, second, &t.hidden, &mut t.update, false);
        self.norm_update(layer, 2, true);
    }

    /// `q = linear(positioned)`
    pub fn project_positioned(&mut self, projection: &Linear) {
        let t = &mut *self.tokens;
        let len = self.sizes.padded() * projection.outputs;
        linear(self.processor, projection, &t.positioned, &mut t.q[..len], false);
    }

    /// `q` by head.
    pub fn by_head(&mut self) {
        let t = &mut *self.tokens;
        split_heads(&t.q, self.sizes.padded(), &mut t.by_head);
    }

    /// Values of the attention from image to tokens by head.
    fn values_by_head(&mut self, attention: &ImageToToken) {
        let t = &mut *self.tokens;
        let len = self.sizes.padded() * attention.v.outputs;
        linear(self.processor, &attention.v, &t.queries, &mut t.v[..len], false);
        for (head, values) in t.values_by_head.iter_mut().enumerate() {
            for token in 0..self.sizes.tokens {
                for channel in 0..CROSS_HEAD {
                    let place = values.place(channel, token);
                    values.values_mut()[place] = t.v[token * CROSS_CHANNELS + head * CROSS_HEAD + channel];
                }
            }
        }
    }

    /// Queries of the next attention to the image through the projection of its keys.
    fn queries_through_keys(&mut self, attention: &TokenToImage) {
        self.positioned();
        self.project_positioned(&attention.q);
        let t = &mut *self.tokens;
        let out = &mut t.through_keys;
        self.processor.run(ThroughHeads {
            tokens: self.sizes.tokens,
            x: &t.q,
            weight: &attention.k,
            each: |head: usize, first: usize, values: [f32; PANEL]| {
                for (i, value) in values.into_iter().enumerate() {
                    out[(head / PANEL * CHANNELS + first + i) * PANEL + head % PANEL] = value;
                }
            },
        });
    }

    /// Keys of the attention from image to tokens through the projection of its queries.
    fn keys_through_queries(&mut self, attention: &ImageToToken) {
        self.positioned();
        self.project_positioned(&attention.k);
        let t = &mut *self.tokens;
        let heads = t.q.as_chunks::<CROSS_HEAD>().0;
        for (i, bias) in t.keys_bias.iter_mut().enumerate() {
            let q_bias = &attention.q_bias[i % HEADS * CROSS_HEAD..][..CROSS_HEAD];
            *bias = heads[i].iter().zip(q_bias).map(|(k, b)| k * b).sum();
        }
        let out = &mut t.keys_through;
        self.processor.run(ThroughHeads {
            tokens: self.sizes.tokens,
            x: &t.q,
            weight: &attention.q,
            each: |head: usize, first: usize, values: [f32; PANEL]| {
                for (i, value) in values.into_iter().enumerate() {
                    let place = out.place(head, first + i);
                    out.values_mut()[place] = value;
                }
            },
        });
    }

    /// Values of the attention from image to tokens through the output's projection.
    fn values_out(&mut self, attention: &ImageToToken) {
        let t = &mut *self.tokens;
        let len = self.sizes.padded() * attention.v.outputs;
        linear(self.processor, &attention.v, &t.queries, &mut t.v[..len], false);
        let out = &mut t.values_out;
        self.processor.run(ThroughHeads {
            tokens: self.sizes.tokens,
            x: &t.v,
            weight: &attention.out,
            each: |head: usize, first: usize, values: [f32; PANEL]| {
                for (i, value) in values.into_iter().enumerate() {
                    let place = out.place(first + i, head);
                    out.values_mut()[place] = value;
                }
            },
        });
    }

    /// What the chunks have mixed, together, and through the projection of values: `mixed`.
    fn merge(&mut self, chunks: &mut [Mutex<Chunk>], values: &Linear) {
        let t = &mut *self.tokens;
        if self.sizes.is_long() {
            // Every image token has been projected.
            return self.processor.run(MergeHeads { chunks, heads: self.sizes.heads(), out: &mut t.mixed });
        }
        self.processor.run(Merge { chunks, panels: self.sizes.head_panels(), out: &mut t.attended });
        t.mixed.fill(0.0);
        let tokens = self.sizes.tokens;
        self.processor.run(ThroughValues { tokens, x: &t.attended, values, out: &mut t.mixed });
    }
}

/// `[padded][128]` to `[8][padded / 4][16][4]`.
pub(super) fn split_heads(x: &[f32], padded: usize, out: &mut [f32]) {
    let fours = padded / 4;
    for (i, out) in out.iter_mut().enumerate() {
        let (lane, i) = (i % 4, i / 4);
        let (channel, i) = (i % CROSS_HEAD, i / CROSS_HEAD);
        let (four, head) = (i % fours, i / fours);
        *out = x[(four * 4 + lane) * CROSS_CHANNELS + head * CROSS_HEAD + channel];
    }
}

fn linear(processor: Processor, linear: &Linear, x: &[f32], out: &mut [f32], relu: bool) {
    processor.run(Product { linear, x, out, relu });
}

/// The chunk behind a lock that only one thread can hold here.
pub(super) fn unlocked(chunk: &mut Mutex<Chunk>) -> &mut Chunk {
    chunk.get_mut().unwrap_or_else(PoisonError::into_inner)
}
