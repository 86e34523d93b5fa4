//! Layers with weights: linear, norm, MLP, and the encoding of prompts for graphs that take coordinates.

use ndarray::{Array2, Axis};

use super::builder::{Attr, Edge, GraphBuilder};
use super::{Audience, PromptTokens};
use crate::decoder::error::DecoderError;
use crate::decoder::prompt::PromptEncoder;
use crate::decoder::weights::{CHANNELS, Weights, output_tokens};

/// A graph under construction and the weights that it takes.
pub(super) struct Net<'w> {
    pub g: GraphBuilder,
    pub w: &'w Weights<'w>,
    /// Whether tokens are `[1, T, 256]`, as usual, or `[T, 256]`.
    pub batch: bool,
}

impl<'w> Net<'w> {
    pub fn new(name: &str, w: &'w Weights<'w>, batch: bool) -> Self {
        Self { g: GraphBuilder::new(name), w, batch }
    }

    /// A shape, with the batch before it if there is one.
    pub fn shape(&self, shape: &[i64]) -> Vec<i64> {
        let batch: &[i64] = if self.batch { &[1] } else { &[] };
        [batch, shape].concat()
    }

    /// A permutation of the axes behind the batch.
    pub fn permutation(&self, permutation: &[i64]) -> Vec<i64> {
        if !self.batch {
            return permutation.to_vec();
        }
        std::iter::once(0).chain(permutation.iter().map(|axis| axis + 1)).collect()
    }

    /// `x W^T + b`.
    pub fn linear(&mut self, x: &Edge, parameter: &str) -> Result<Edge, DecoderError> {
        self.scaled_linear(x, parameter, 1.0)
    }

    /// `(x W^T + b) scale`, with the scale in the weights.
    pub fn scaled_linear(&mut self, x: &Edge, parameter: &str, scale: f32) -> Result<Edge, DecoderError> {
        let product = self.product(x, parameter, scale)?;
        let bias = self.w.vector(&format!("{parameter}.bias"))? * scale;
        let bias = self.g.weight(&scaled_name(parameter, "bias", scale), &bias);
        Ok(self.g.add(&format!("{parameter}/Add"), &product, &bias))
    }

    /// `x W^T scale`, without the bias.
    pub fn product(&mut self, x: &Edge, parameter: &str, scale: f32) -> Result<Edge, DecoderError> {
        let weight = self.w.matrix(&format!("{parameter}.weight"))?.reversed_axes() * scale;
        let weight = self.g.weight(&scaled_name(parameter, "weight.T", scale), &weight);
        Ok(self.g.matmul(&format!("{parameter}/MatMul"), x, &weight))
    }

    pub fn layer_norm(&mut self, x: &Edge, parameter: &str, epsilon: f32) -> Result<Edge, DecoderError> {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{parameter}.{part}"));
        let weight = self.g.weight(&weight, &self.w.vector(&weight)?);
        let bias = self.g.weight(&bias, &self.w.vector(&bias)?);
        Ok(self.g.layer_norm(parameter, x, &weight, &bias, epsilon))
    }

    /// Linear layers with ReLU between them.
    pub fn mlp<S: AsRef<str>>(&mut self, x: &Edge, layers: &[S]) -> Result<Edge, DecoderError> {
        let mut x = x.clone();
        for (i, layer) in layers.iter().map(AsRef::as_ref).enumerate() {
            x = self.linear(&x, layer)?;
            if i + 1 < layers.len() {
                x = self.g.relu(&format!("{layer}/Relu"), &x);
            }
        }
        Ok(x)
    }

    /// The decoder's own tokens, then the prompt's: `[T, 256]`.
    pub fn all_tokens(&mut self, n: PromptTokens, audience: Audience) -> Result<Edge, DecoderError> {
        let prompt = match audience {
            Audience::Engine => self.sparse_input(n),
            Audience::Runtime => self.encoded_prompt(n)?,
        };
        let mut own = Array2::zeros((0, CHANNELS));
        for name in output_tokens(self.w.family()) {
            own.append(Axis(0), self.w.matrix(name)?.view())
                .map_err(DecoderError::shape("gather the output tokens"))?;
        }
        // The tokens' axis, behind the batch if there is one.
        let axis = usize::from(self.batch);
        let own = if self.batch { own.insert_axis(Axis(0)).into_dyn() } else { own.into_dyn() };
        let own = self.g.weight("mask_decoder.output_tokens", &own);
        Ok(self.g.concat("tokens", &[&own, &prompt], axis as i64))
    }

    fn sparse_input(&mut self, n: PromptTokens) -> Edge {
        let mut shape = vec![n.dim(), CHANNELS.into()];
        if self.batch {
            shape.insert(0, 1.into());
        }
        self.g.input("sparse_embeddings", &shape, "Prompt tokens of the prompt encoder.")
    }

    /// Coordinates and labels to prompt tokens, in `f32`.
    fn encoded_prompt(&mut self, n: PromptTokens) -> Result<Edge, DecoderError> {
        let frame = self.w.family().frame();
        let encoder = PromptEncoder::new(self.w)?;
        let coords = self.g.input(
            "point_coords",
            &[1.into(), n.dim(), 2.into()],
            "x and y in pixels of the encoder frame, as they are: the half-pixel shift is made here.",
        );
        let labels = self.g.input(
            "point_labels",
            &[1.into(), n.dim()],
            "1 foreground, 0 background, 2 and 3 top left and bottom right corner of the box, -1 padding.",
        );
        let batch = self.batch;
        let g = &mut self.g;
        Ok(g.scoped("prompt_encoder", |g| {
            // 2 pi (2 (x + 0.5) / frame - 1) = 4 pi / frame (x + 0.5) - 2 pi
            let (half, one, turn) = (g.scalar(0.5), g.scalar(1.0), g.scalar(std::f32::consts::TAU));
            let scale = g.scalar(2.0 / frame as f32);
            let centred = g.add("pixel_centre", &coords, &half);
            let scaled = g.mul("scale", &centred, &scale);
            let position = g.sub("position", &scaled, &one);
            let matrix = g.weight(
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                &encoder.frequencies(),
            );
            let projected = g.matmul("project", &position, &matrix);
            let angle = g.mul("angle", &projected, &turn);
            let sine = g.op("Sin", "sin", &[&angle], &[]);
            let cosine = g.op("Cos", "cos", &[&angle], &[]);
            let encoding = g.concat("encoding", &[&sine, &cosine], -1);

            // A padding token is its embedding alone.
            let column = g.reshape("labels", &labels, &[1, -1, 1]);
            let limit = g.scalar(-0.5);
            let real = g.op("Greater", "is_not_padding", &[&column, &limit], &[]);
            let real = g.op("Cast", "is_not_padding_f32", &[&real], &[("to", Attr::Int(1))]);
            let encoding = g.mul("encoding_unless_padding", &encoding, &real);
            let shifted = g.add("label_row", &labels, &one);
            let row = g.op("Cast", "label_row_i64", &[&shifted], &[("to", Attr::Int(7))]);
            let table = g.weight("prompt_encoder.label_table", &encoder.label_table());
            let embedding = g.op("Gather", "label_embedding", &[&table, &row], &[("axis", Attr::Int(0))]);
            let tokens = g.add("sparse_embeddings", &encoding, &embedding);
            if batch { tokens } else { g.reshape("unbatched", &tokens, &[-1, CHANNELS as i64]) }
        }))
    }
}

fn scaled_name(parameter: &str, part: &str, scale: f32) -> String {
    if scale == 1.0 { format!("{parameter}.{part}") } else { format!("{parameter}.{part}.scaled") }
}
