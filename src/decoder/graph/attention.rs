//! Attention between tokens and image, in the ordinary and in the re-associated order of products.
//!
//! With T tokens and 4096 image tokens the ordinary order projects the image tokens to keys, queries and values
//! first. The re-associated one moves every projection to the side of the few tokens; the results are equal but for
//! rounding. All heads of the few tokens stand side by side as the rows of one matrix.

use ndarray::{Array3, Axis};

use super::PromptTokens;
use super::builder::Edge;
use super::layers::Net;
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS, output_token_count};

/// Channels of one head of an attention between tokens and image.
pub(super) const CROSS_HEAD: usize = CROSS_CHANNELS / HEADS;
const CROSS_SCALE: f32 = 0.25; // 1 / sqrt(CROSS_HEAD)

/// The image's side of an attention: its tokens, or their queries `[H, c, P]` as prepared.
#[derive(Debug, Clone, Copy)]
pub(super) enum ImageSide<'a> {
    Tokens(&'a ImageTokens),
    Queries(&'a Edge),
}

/// The image tokens as keys and values, and with the positional encoding added.
#[derive(Debug, Clone)]
pub(super) struct ImageTokens {
    /// `[P, 256]`.
    pub keys: Edge,
    /// `[P, 256]`.
    pub positioned: Edge,
}

impl Net<'_> {
    /// Ordinary attention of all heads; `inner` channels in all.
    pub fn attention(
        &mut self,
        q: &Edge,
        k: &Edge,
        v: &Edge,
        parameter: &str,
        inner: usize,
    ) -> Result<Edge, DecoderError> {
        let scale = ((inner / HEADS) as f32).sqrt().recip();
        let q = self.scaled_linear(q, &format!("{parameter}.q_proj"), scale)?;
        let k = self.linear(k, &format!("{parameter}.k_proj"))?;
        let v = self.linear(v, &format!("{parameter}.v_proj"))?;
        let q = self.heads(&format!("{parameter}/q"), &q, inner);
        let k = self.heads_transposed(&format!("{parameter}/k"), &k, inner);
        let v = self.heads(&format!("{parameter}/v"), &v, inner);
        let scores = self.g.matmul(&format!("{parameter}/scores"), &q, &k);
        let weights = self.g.softmax(&format!("{parameter}/Softmax"), &scores, -1);
        let mixed = self.g.matmul(&format!("{parameter}/mixed"), &weights, &v);
        let merged = self.merged(&format!("{parameter}/merged"), &mixed, inner);
        self.linear(&merged, &format!("{parameter}.out_proj"))
    }

    /// `[N, H c]` to `[H, N, c]`.
    pub fn heads(&mut self, name: &str, x: &Edge, inner: usize) -> Edge {
        self.split_heads(name, x, inner, &[1, 0, 2])
    }

    /// `[N, H c]` to `[H, c, N]`.
    pub fn heads_transposed(&mut self, name: &str, x: &Edge, inner: usize) -> Edge {
        self.split_heads(name, x, inner, &[1, 2, 0])
    }

    fn split_heads(&mut self, name: &str, x: &Edge, inner: usize, permutation: &[i64]) -> Edge {
        let shape = self.shape(&[-1, HEADS as i64, (inner / HEADS) as i64]);
        let permutation = self.permutation(permutation);
        let split = self.g.reshape(&format!("{name}/split"), x, &shape);
        self.g.transpose(&format!("{name}/heads"), &split, &permutation)
    }

    /// `[H, N, c]` to `[N, H c]`.
    pub fn merged(&mut self, name: &str, x: &Edge, inner: usize) -> Edge {
        let permutation = self.permutation(&[1, 0, 2]);
        let shape = self.shape(&[-1, inner as i64]);
        let side_by_side = self.g.transpose(&format!("{name}/heads"), x, &permutation);
        self.g.reshape(name, &side_by_side, &shape)
    }

    /// Token -> image on prepared keys `[H, c, P]` and values `[H, P, c]`.
    pub fn token_to_image_prepared(
        &mut self,
        q: &Edge,
        keys: &Edge,
        values: &Edge,
        parameter: &str,
    ) -> Result<Edge, DecoderError> {
        let q = self.scaled_linear(q, &format!("{parameter}.q_proj"), CROSS_SCALE)?;
        let q = self.heads(&format!("{parameter}/q"), &q, CROSS_CHANNELS);
        let scores = self.g.matmul(&format!("{parameter}/scores"), &q, keys);
        let weights = self.g.softmax(&format!("{parameter}/Softmax"), &scores, -1);
        let mixed = self.g.matmul(&format!("{parameter}/mixed"), &weights, values);
        let merged = self.merged(&format!("{parameter}/merged"), &mixed, CROSS_CHANNELS);
        self.linear(&merged, &format!("{parameter}.out_proj"))
    }

    /// Token -> image, re-associated. The bias of the keys adds a constant to every score: softmax drops it.
    pub fn token_to_image(
        &mut self,
        q: &Edge,
        image: &ImageTokens,
        parameter: &str,
    ) -> Result<Edge, DecoderError> {
        let q = self.scaled_linear(q, &format!("{parameter}.q_proj"), CROSS_SCALE)?;
        let q = self.heads(&format!("{parameter}/q"), &q, CROSS_CHANNELS);
        let k_proj = self.head_weights(&format!("{parameter}.k_proj"))?;
        let q = self.g.matmul(&format!("{parameter}/q_through_k"), &q, &k_proj);
        let q = self.g.reshape(&format!("{parameter}/q_rows"), &q, &[-1, CHANNELS as i64]);

        let keys = self.g.transpose(&format!("{parameter}/k"), &image.positioned, &[1, 0]);
        let scores = self.g.matmul(&format!("{parameter}/scores"), &q, &keys);
        let weights = self.g.softmax(&format!("{parameter}/Softmax"), &scores, -1);
        let mixed = self.g.matmul(&format!("{parameter}/mixed"), &weights, &image.keys);

        // Rows of the softmax add up to 1: the bias of the values comes through as it is.
        let mixed =
            self.g.reshape(&format!("{parameter}/mixed_heads"), &mixed, &[HEADS as i64, -1, CHANNELS as i64]);
        let name = format!("{parameter}.v_proj");
        let mut v_proj = self.head_weights_of(&name)?;
        v_proj.swap_axes(1, 2);
        let v_proj = self.g.weight(&format!("{name}.weight.heads"), &v_proj);
        let mixed = self.g.matmul(&format!("{parameter}/through_v"), &mixed, &v_proj);
        let merged = self.merged(&format!("{parameter}/merged"), &mixed, CROSS_CHANNELS);
        let bias = self.g.weight(&format!("{name}.bias"), &self.w.vector(&format!("{name}.bias"))?);
        let merged = self.g.add(&format!("{name}/Add"), &merged, &bias);
        self.linear(&merged, &format!("{parameter}.out_proj"))
    }

    /// Image -> token, re-associated: what is added to the image tokens, `[P, 256]`.
    pub fn image_to_token(
        &mut self,
        image: ImageSide<'_>,
        k: &Edge,
        v: &Edge,
        parameter: &str,
        n: PromptTokens,
    ) -> Result<Edge, DecoderError> {
        let k = self.scaled_linear(k, &format!("{parameter}.k_proj"), CROSS_SCALE)?;
        let k = self.heads(&format!("{parameter}/k"), &k, CROSS_CHANNELS);
        // Scores as [T, H, P]: the softmax runs over the first axis.
        let scores = match image {
            ImageSide::Queries(queries) => {
                let scores = self.g.matmul(&format!("{parameter}/scores_heads"), &k, queries);
                self.g.transpose(&format!("{parameter}/scores"), &scores, &[1, 0, 2])
            }
            ImageSide::Tokens(image) => self.image_scores(image, &k, parameter)?,
        };
        let weights = match n {
            PromptTokens::Fixed(n) => self.softmax_over_tokens(&scores, parameter, n),
            PromptTokens::Symbolic => self.g.softmax(&format!("{parameter}/Softmax"), &scores, 0),
        };
        let image_len = super::image_tokens(self.w.family()) as i64;
        let weights = self.g.reshape(&format!("{parameter}/weight_rows"), &weights, &[-1, image_len]);

        let v = self.linear(v, &format!("{parameter}.v_proj"))?;
        let v = self.heads(&format!("{parameter}/v"), &v, CROSS_CHANNELS);
        let name = format!("{parameter}.out_proj");
        let out_proj = self.w.matrix(&format!("{name}.weight"))?.reversed_axes();
        let out_proj = out_proj.as_standard_layout().into_owned();
        let out_proj = self.per_head(out_proj)?;
        let out_proj = self.g.weight(&format!("{name}.weight.heads"), &out_proj);
        let v = self.g.matmul(&format!("{parameter}/v_through_out"), &v, &out_proj);
        let v = self.g.transpose(&format!("{parameter}/v_by_token"), &v, &[1, 0, 2]);
        let v = self.g.reshape(&format!("{parameter}/v_rows"), &v, &[-1, CHANNELS as i64]);

        let weights = self.g.transpose(&format!("{parameter}/weight_columns"), &weights, &[1, 0]);
        let mixed = self.g.matmul(&format!("{parameter}/mixed"), &weights, &v);
        let bias = self.g.weight(&format!("{name}.bias"), &self.w.vector(&format!("{name}.bias"))?);
        Ok(self.g.add(&format!("{name}/Add"), &mixed, &bias))
    }

    /// Image -> token on prepared queries `[H, c, P]`, otherwise in the ordinary order.
    pub fn image_to_token_prepared(
        &mut self,
        queries: &Edge,
        k: &Edge,
        v: &Edge,
        parameter: &str,
    ) -> Result<Edge, DecoderError> {
        let q = self.g.transpose(&format!("{parameter}/q"), queries, &[0, 2, 1]);
        let k = self.scaled_linear(k, &format!("{parameter}.k_proj"), CROSS_SCALE)?;
        let k = self.heads_transposed(&format!("{parameter}/k"), &k, CROSS_CHANNELS);
        let v = self.linear(v, &format!("{parameter}.v_proj"))?;
        let v = self.heads(&format!("{parameter}/v"), &v, CROSS_CHANNELS);
        let scores = self.g.matmul(&format!("{parameter}/scores"), &q, &k);
        let weights = self.g.softmax(&format!("{parameter}/Softmax"), &scores, -1);
        let mixed = self.g.matmul(&format!("{parameter}/mixed"), &weights, &v);
        let merged = self.merged(&format!("{parameter}/merged"), &mixed, CROSS_CHANNELS);
        self.linear(&merged, &format!("{parameter}.out_proj"))
    }

    /// Scores of the image tokens against keys `[H, T, c]` through their query projection: `[T, H, P]`.
    fn image_scores(&mut self, image: &ImageTokens, k: &Edge, parameter: &str) -> Result<Edge, DecoderError> {
        let name = format!("{parameter}.q_proj");
        let q_proj = self.head_weights(&name)?;
        let by_head = self.g.matmul(&format!("{parameter}/k_through_q"), k, &q_proj);
        let by_token = self.g.transpose(&format!("{parameter}/k_by_token"), &by_head, &[1, 0, 2]);
        let rows = self.g.reshape(&format!("{parameter}/k_rows"), &by_token, &[-1, CHANNELS as i64]);
        let queries = self.g.transpose(&format!("{parameter}/q"), &image.positioned, &[1, 0]);
        let scores = self.g.matmul(&format!("{parameter}/scores"), &rows, &queries);

        let bias = self.w.vector(&format!("{name}.bias"))?;
        let bias = self.per_head(bias.insert_axis(Axis(1)))?;
        let bias = self.g.weight(&format!("{name}.bias.heads"), &bias);
        let bias = self.g.matmul(&format!("{parameter}/bias_heads"), k, &bias);
        let bias = self.g.transpose(&format!("{parameter}/bias_by_token"), &bias, &[1, 0, 2]);
        let bias = self.g.reshape(&format!("{parameter}/bias_rows"), &bias, &[-1, 1]);
        let scores = self.g.add(&format!("{parameter}/scores_biased"), &scores, &bias);
        let image_len = super::image_tokens(self.w.family()) as i64;
        Ok(self.g.reshape(&format!("{parameter}/scores_by_token"), &scores, &[-1, HEADS as i64, image_len]))
    }

    /// Softmax over the first axis of `[T, H, P]`, written out over its T slices: an engine that keeps rows together
    /// then works on long rows of P.
    fn softmax_over_tokens(&mut self, scores: &Edge, parameter: &str, n: usize) -> Edge {
        let tokens = output_token_count(self.w.family()) + n;
        self.g.scoped(&format!("{parameter}/Softmax"), |g| {
            let slice = |g: &mut super::builder::GraphBuilder, x: &Edge, t: usize| {
                g.slice(&format!("slice_{t}"), x, 0, t, t + 1)
            };
            let mut largest = slice(g, scores, 0);
            for t in 1..tokens {
                let next = slice(g, scores, t);
                largest = g.op("Max", "Max", &[&largest, &next], &[]);
            }
            let shifted = g.sub("Sub", scores, &largest);
            let exp = g.op("Exp", "Exp", &[&shifted], &[]);
            let axis = g.integers(&[0]);
            let sum = g.op("ReduceSum", "ReduceSum", &[&exp, &axis], &[]);
            g.div("Div", &exp, &sum)
        })
    }

    /// A projection's weights `[H c, 256]` as `[H, c, 256]`.
    fn head_weights(&mut self, parameter: &str) -> Result<Edge, DecoderError> {
        let weights = self.head_weights_of(parameter)?;
        Ok(self.g.weight(&format!("{parameter}.weight.heads"), &weights))
    }

    fn head_weights_of(&self, parameter: &str) -> Result<Array3<f32>, DecoderError> {
        self.per_head(self.w.matrix(&format!("{parameter}.weight"))?)
    }

    /// `[H c, n]` to `[H, c, n]`.
    fn per_head(&self, matrix: ndarray::Array2<f32>) -> Result<Array3<f32>, DecoderError> {
        let (rows, columns) = matrix.dim();
        matrix
            .into_shape_with_order((HEADS, rows / HEADS, columns))
            .map_err(DecoderError::shape("split weights by head"))
    }
}
