//! One prompt among many: its tokens, what is computed from them for the passes, and what the passes sum up.

use super::super::image::NO_SCORE;
use super::super::kernels::{Product, ThroughHeads, ThroughValues};
use super::super::lanes::{PANEL, Processor};
use super::super::product::Packed;
use super::super::tokens::{TokenSide, split_heads};
use super::super::weights::{FusedWeights, Layer, Linear};
use super::super::workspace::{Sizes, Tokens, room};
use super::chip::{ManyWeights, centre};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};

/// What a pass sums up over the image tokens, for every token and head.
#[derive(Debug, Default)]
pub struct Accumulated {
    /// The largest score so far, and the sum of e^(score - peak).
    pub peak: Vec<f32>,
    pub total: Vec<f32>,
    /// The same sum times the norm's deviation.
    pub scaled_total: Vec<f32>,
    /// Values, `[heads][16]`.
    pub mixed: Vec<f32>,
    /// Weights of the attentions from image to tokens, `[heads][columns]`.
    pub reduced: Vec<f32>,
    /// A multiple of 16.
    pub columns: usize,
}

impl Accumulated {
    fn reset(&mut self, heads: usize, columns: usize) {
        self.columns = columns.next_multiple_of(PANEL);
        for (values, len, value) in [
            (&mut self.peak, heads, NO_SCORE),
            (&mut self.total, heads, 0.0),
            (&mut self.scaled_total, heads, 0.0),
            (&mut self.mixed, heads * PANEL, 0.0),
            (&mut self.reduced, heads * self.columns, 0.0),
        ] {
            values.clear();
            values.resize(len, value);
        }
    }
}

/// What does not change between prompts.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    pub processor: Processor,
    pub weights: &'a FusedWeights,
    pub many: &'a ManyWeights,
    pub first: &'a Layer,
    pub second: &'a Layer,
    /// The processor's block of a packed factor.
    pub block: usize,
}

/// One prompt. Heads are numbered `token * 8 + head`.
#[derive(Debug, Default)]
pub struct State {
    pub sizes: Sizes,
    /// The decoder's own tokens, which stand first.
    pub own: usize,
    pub tokens: Tokens,
    pub sums: Accumulated,
    /// Values of both layers' attentions from image to tokens, `[8][padded / 4][16][4]`.
    pub values_by_head: [Vec<f32>; 2],
    /// Products among what the heads of layer 0 add to the image tokens, `[heads, heads]`.
    pub gram: Packed,
    /// Keys and queries of layer 1 of what they add, `[heads, heads]`.
    pub keys_of_layer_1: Packed,
    pub queries_of_layer_1: Packed,
    /// Products among what both layers' heads add: `[heads, 2 heads]`, those with the second layer twice, and
    /// `[heads, heads]`; and their products with `g`.
    pub first_square: Packed,
    pub second_square: Packed,
    pub with_g: Vec<f32>,
    /// Keys of the last attention of what both add, `[own heads, 2 heads]`, and of `g`.
    pub last_keys: Packed,
    pub last_keys_g: Vec<f32>,
    /// What the heads of both layers add to the image tokens, centred, `[2 heads][256]`.
    pub added: Vec<f32>,
    /// Weights of both attentions from image to tokens, `[panels][2 heads][16]`: the first times its norm's deviation.
    pub weights: Vec<f32>,
    /// One by the deviation of each norm, `[panels][16]`.
    pub first_deviation: Vec<f32>,
    pub second_deviation: Vec<f32>,
    /// As outputs (products with each), and as inputs (their sum, weighted).
    outputs: Linear,
    inputs: Linear,
    rows: Vec<f32>,
    result: Vec<f32>,
}

impl State {
    /// Takes a prompt's tokens; up to the first pass.
    pub fn begin(&mut self, model: Model<'_>, sizes: Sizes, prompt: &[f32]) {
        let own = model.weights.own_tokens.len() / CHANNELS;
        (self.sizes, self.own) = (sizes, own);
        self.tokens.reserve(sizes, model.block);
        let panels = sizes.chunks() * sizes.chunk_panels();
        let heads = sizes.heads();
        room(&mut self.weights, panels * 2 * heads * PANEL);
        room(&mut self.first_deviation, panels * PANEL);
        room(&mut self.second_deviation, panels * PANEL);
        for values in &mut self.values_by_head {
            room(values, sizes.padded() * CROSS_CHANNELS);
        }
        self.side(model).before_first_pass(prompt);
        self.sums.reset(heads, 0);
    }

    fn side<'a>(&'a mut self, model: Model<'a>) -> TokenSide<'a> {
        let Model { processor, weights, .. } = model;
        TokenSide { processor, weights, sizes: self.sizes, tokens: &mut self.tokens }
    }

    /// Between the first and the second pass.
    pub fn after_first(&mut self, model: Model<'_>) {
        let t = &mut self.tokens;
        t.mixed.fill(0.0);
        for ((out, mixed), total) in
            t.mixed.chunks_exact_mut(PANEL).zip(self.sums.mixed.chunks_exact(PANEL)).zip(&self.sums.total)
        {
            for (out, x) in out.iter_mut().zip(mixed) {
                *out = x / total;
            }
        }
        let mut side = self.side(model);
        side.finish_attention(&model.first.token_to_image.out, 0);
        side.mlp(0);
        let heads = self.sizes.heads();
        self.added.clear();
        self.add_values(model, 0);
        // Centred: what the norm takes of it.
        self.outputs.set_rows(&self.added, CHANNELS);
        self.through(model, false);
        self.gram.copy_rows(heads, heads, model.block, &self.result, self.outputs.outputs);
        let norm = &model.first.norms[3];
        for added in self.added.chunks_exact_mut(CHANNELS) {
            added.iter_mut().zip(&norm.weight).for_each(|(x, w)| *x *= w);
        }
        self.outputs.set_rows(&self.added, CHANNELS);
        self.inputs.set_columns(&self.added, CHANNELS, heads.next_multiple_of(PANEL));

        let mut side = self.side(model);
        side.positioned();
        side.project_positioned(&model.first.image_to_token.k);
        side.by_head();
        side.self_attention(&model.second.self_attention, true);
        side.norm_update(1, 0, true);
        side.positioned();
        side.project_positioned(&model.second.token_to_image.q);
        let padded = self.sizes.padded();
        let t = &mut self.tokens;
        room(&mut t.queries_by_head, padded * CROSS_CHANNELS);
        split_heads(&t.q, padded, &mut t.queries_by_head);
        self.rows_through(model, self.sizes.tokens, &model.second.token_to_image.k, true);
        self.through(model, true);
        self.keys_of_layer_1.copy_rows(heads, heads, model.block, &self.result, self.outputs.outputs);
        self.sums.reset(heads, heads);
    }

    /// Between the second and the third pass.
    pub fn after_second(&mut self, model: Model<'_>) {
        let (heads, block) = (self.sizes.heads(), model.block);
        let norm = &model.first.norms[3];
        self.merge(model, self.sizes.tokens, &model.second.token_to_image.v, |row, _| {
            row.iter_mut().zip(&norm.bias).for_each(|(x, bias)| *x += bias);
        });
        let mut side = self.side(model);
        side.finish_attention(&model.second.token_to_image.out, 1);
        side.mlp(1);
        side.positioned();
        side.project_positioned(&model.second.image_to_token.k);
        side.by_head();
        self.rows_through(model, self.sizes.tokens, &model.second.image_to_token.q, true);
        self.through(model, true);
        self.queries_of_layer_1.copy_rows(heads, heads, block, &self.result, self.outputs.outputs);

        // Behind the first norm: centred again, and what the second layer adds beside it.
        self.added.chunks_exact_mut(CHANNELS).for_each(centre);
        self.add_values(model, 1);
        self.outputs.set_rows(&self.added, CHANNELS);
        self.through(model, false);
        let stride = self.outputs.outputs;
        let (first, second) = self.result.split_at_mut(heads * stride);
        self.second_square.copy_rows(heads, heads, block, &second[heads..], stride);
        for row in first.chunks_exact_mut(stride) {
            row[heads..].iter_mut().for_each(|x| *x *= 2.0);
        }
        self.first_square.copy_rows(heads, 2 * heads, block, first, stride);
        let g = &model.many.g;
        self.with_g.clear();
        self.with_g.extend(self.added.chunks_exact(CHANNELS).map(|row| dot(row, g)));

        let own = self.own;
        let mut side = self.side(model);
        side.positioned();
        side.project_positioned(&model.weights.last.q);
        let t = &mut self.tokens;
        let padded = own.next_multiple_of(4);
        room(&mut t.queries_by_head, padded * CROSS_CHANNELS);
        split_heads(&t.q, padded, &mut t.queries_by_head);
        self.rows_through(model, own, &model.weights.last.k, true);
        let norm = &model.second.norms[3];
        for row in self.rows.chunks_exact_mut(CHANNELS) {
            row.iter_mut().zip(&norm.weight).for_each(|(x, w)| *x *= w);
        }
        self.last_keys_g.clear();
        self.last_keys_g.extend(self.rows.chunks_exact(CHANNELS).map(|row| dot(row, g)));
        self.through(model, true);
        self.last_keys.copy_rows(own * HEADS, 2 * heads, block, &self.result, stride);
        self.rows.clear();
        self.rows.extend(self.added.iter().zip(norm.weight.iter().cycle()).map(|(x, w)| x * w));
        self.inputs.set_columns(&self.rows, CHANNELS, (2 * heads).next_multiple_of(PANEL));
        self.sums.reset(own * HEADS, 2 * heads);
    }

    /// After the third pass: hypernetworks and scores.
    pub fn after_third(&mut self, model: Model<'_>) {
        let (norm, g) = (&model.second.norms[3], &model.many.g);
        self.merge(model, self.own, &model.weights.last.v, |row, scaled| {
            for (((x, g), weight), bias) in row.iter_mut().zip(g).zip(&norm.weight).zip(&norm.bias) {
                *x += g * weight * scaled + bias;
            }
        });
        self.side(model).heads();
    }

    /// The first upscaling of what both layers add, `[256, 2 heads]`.
    pub fn upscaling(&mut self, model: Model<'_>, out: &mut Packed) {
        let depth = 2 * self.sizes.heads();
        let linear = &model.many.upscaling;
        room(&mut self.result, depth * linear.outputs);
        let (x, result) = (&self.added, &mut self.result);
        model.processor.run(Product { linear, x, out: result, relu: false });
        out.copy_columns(CHANNELS, depth, model.block, &self.result);
    }

    /// `outputs` of the rows at hand, or of what the heads add themselves.
    fn through(&mut self, model: Model<'_>, rows: bool) {
        let x = if rows { &self.rows } else { &self.added };
        room(&mut self.result, x.len() / CHANNELS * self.outputs.outputs);
        let (linear, out) = (&self.outputs, &mut self.result);
        model.processor.run(Product { linear, x, out, relu: false });
    }

    /// The first tokens of `q`, each head through its part of `weight [128][256]`: `rows`, of which the first are those of
    /// the tokens.
    fn rows_through(&mut self, model: Model<'_>, tokens: usize, weight: &[f32], clear: bool) {
        if clear {
            self.rows.clear();
        }
        self.rows.resize(tokens * HEADS * CHANNELS, 0.0);
        let (x, rows) = (&self.tokens.q, &mut self.rows);
        let each = |head: usize, first: usize, values: [f32; PANEL]| {
            rows[head * CHANNELS + first..][..PANEL].copy_from_slice(&values);
        };
        model.processor.run(ThroughHeads { tokens, x, weight, each });
    }

    /// Values of a layer's attention from image to tokens by head, and what they add to an image token, centred: behind
    /// what is in `added` already.
    fn add_values(&mut self, model: Model<'_>, layer: usize) {
        let attention = if layer == 0 { &model.first.image_to_token } else { &model.second.image_to_token };
        let padded = self.sizes.padded();
        let t = &mut self.tokens;
        let (linear, out) = (&attention.v, &mut t.v[..padded * CROSS_CHANNELS]);
        model.processor.run(Product { linear, x: &t.queries, out, relu: false });
        split_heads(&t.v, padded, &mut self.values_by_head[layer]);
        let start = self.added.len();
        self.added.resize(start + self.sizes.heads() * CHANNELS, 0.0);
        let added = &mut self.added[start..];
        let each = |head: usize, first: usize, values: [f32; PANEL]| {
            added[head * CHANNELS + first..][..PANEL].copy_from_slice(&values);
        };
        model.processor.run(ThroughHeads {
            tokens: self.sizes.tokens,
            x: &t.v,
            weight: &attention.out,
            each,
        });
        self.added[start..].chunks_exact_mut(CHANNELS).for_each(centre);
    }

    /// What a pass has summed up, through the projection of values: `mixed`. `finish` completes a row of 256 with the share
    /// of the norm's deviation.
    fn merge(&mut self, model: Model<'_>, tokens: usize, values: &Linear, finish: impl Fn(&mut [f32], f32)) {
        let heads = tokens * HEADS;
        let columns = self.sums.columns;
        for (row, total) in self.sums.reduced.chunks_exact_mut(columns).zip(&self.sums.total) {
            row.iter_mut().for_each(|x| *x /= total);
        }
        room(&mut self.result, heads * CHANNELS);
        let (linear, x, out) = (&self.inputs, &self.sums.reduced, &mut self.result);
        model.processor.run(Product { linear, x, out, relu: false });
        let t = &mut self.tokens;
        for (head, row) in self.result.chunks_exact_mut(CHANNELS).enumerate() {
            finish(row, self.sums.scaled_total[head] / self.sums.total[head]);
            let panel = &mut t.attended[head / PANEL * CHANNELS * PANEL..][..CHANNELS * PANEL];
            for (out, x) in panel[head % PANEL..].iter_mut().step_by(PANEL).zip(&*row) {
                *out = *x;
            }
        }
        t.mixed.fill(0.0);
        model.processor.run(ThroughValues { tokens, x: &t.attended, values, out: &mut t.mixed });
        for ((out, mixed), total) in
            t.mixed.chunks_exact_mut(PANEL).zip(self.sums.mixed.chunks_exact(PANEL)).zip(&self.sums.total)
        {
            for (out, x) in out.iter_mut().zip(mixed) {
                *out += x / total;
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
