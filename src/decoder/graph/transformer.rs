//! The two-way transformer: what happens on the side of the few tokens, and its usual form whole.

use ndarray::Axis;

use super::attention::ImageTokens;
use super::builder::Edge;
use super::layers::Net;
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, LAYERS, MASKS, iou_token_index};
use crate::models::mlp_names;

/// Epsilon of every LayerNorm of the transformer, PyTorch's default.
pub(super) const EPSILON: f32 = 1e-5;

/// The parameters of transformer layer `i`.
pub(super) fn layer_name(i: usize) -> String {
    format!("mask_decoder.transformer.layers.{i}")
}

/// The parameters of the last attention.
pub(super) const FINAL: &str = "mask_decoder.transformer.final_attn_token_to_image";

impl Net<'_> {
    /// Self-attention of the tokens in layer `i`, and its norm. The first layer has neither positions nor a residual:
    /// its queries are the positions.
    pub fn self_attention(&mut self, i: usize, queries: &Edge, tokens: &Edge) -> Result<Edge, DecoderError> {
        let layer = layer_name(i);
        let parameter = format!("{layer}.self_attn");
        let attended = if i == 0 {
            self.attention(queries, queries, queries, &parameter, CHANNELS)?
        } else {
            let positioned = self.g.add(&format!("{layer}.self_attn/positioned"), queries, tokens);
            let attended = self.attention(&positioned, &positioned, queries, &parameter, CHANNELS)?;
            self.g.add(&format!("{layer}.self_attn/residual"), queries, &attended)
        };
        self.layer_norm(&attended, &format!("{layer}.norm1"), EPSILON)
    }

    /// The queries with their positions.
    pub fn positioned(&mut self, scope: &str, queries: &Edge, tokens: &Edge) -> Edge {
        self.g.add(&format!("{scope}/positioned"), queries, tokens)
    }

    /// Adds `update` to `x` and norms the sum.
    pub fn residual_norm(&mut self, x: &Edge, update: &Edge, norm: &str) -> Result<Edge, DecoderError> {
        let sum = self.g.add(&format!("{norm}/residual"), x, update);
        self.layer_norm(&sum, norm, EPSILON)
    }

    /// The MLP on the tokens of layer `i`, its residual and norm.
    pub fn token_mlp(&mut self, i: usize, queries: &Edge) -> Result<Edge, DecoderError> {
        let layer = layer_name(i);
        let update = self.mlp(queries, &mlp_names(self.w.family(), &layer))?;
        self.residual_norm(queries, &update, &format!("{layer}.norm3"))
    }

    /// Both layers and the last attention in the ordinary order: the tokens, and the image tokens' keys.
    pub fn usual_transformer(
        &mut self,
        tokens: &Edge,
        image: &Edge,
        positions: &Edge,
    ) -> Result<(Edge, Edge), DecoderError> {
        let mut queries = tokens.clone();
        let mut image = self.image_tokens("mask_decoder.transformer.image", image, positions);
        for i in 0..LAYERS {
            let layer = layer_name(i);
            queries = self.self_attention(i, &queries, tokens)?;

            let parameter = format!("{layer}.cross_attn_token_to_image");
            let q = self.positioned(&parameter, &queries, tokens);
            let update = self.attention(&q, &image.positioned, &image.keys, &parameter, CROSS_CHANNELS)?;
            queries = self.residual_norm(&queries, &update, &format!("{layer}.norm2"))?;

            queries = self.token_mlp(i, &queries)?;

            let parameter = format!("{layer}.cross_attn_image_to_token");
            let k = self.positioned(&parameter, &queries, tokens);
            let update = self.attention(&image.positioned, &k, &queries, &parameter, CROSS_CHANNELS)?;
            let keys = self.residual_norm(&image.keys, &update, &format!("{layer}.norm4"))?;
            image = self.image_tokens(&format!("{layer}.image"), &keys, positions);
        }
        let q = self.positioned(FINAL, &queries, tokens);
        let update = self.attention(&q, &image.positioned, &image.keys, FINAL, CROSS_CHANNELS)?;
        let queries = self.residual_norm(&queries, &update, "mask_decoder.transformer.norm_final_attn")?;
        Ok((queries, image.keys))
    }

    /// Image tokens with their positions added.
    pub fn image_tokens(&mut self, scope: &str, keys: &Edge, positions: &Edge) -> ImageTokens {
        let positioned = self.g.add(&format!("{scope}/positioned"), keys, positions);
        ImageTokens { keys: keys.clone(), positioned }
    }

    /// The dense positional encoding of the grid, a constant `[P, 256]`.
    pub fn positions(&mut self) -> Result<Edge, DecoderError> {
        let dense = crate::decoder::prompt::PromptEncoder::new(self.w)?.dense();
        let dense = if self.batch { dense.insert_axis(Axis(0)).into_dyn() } else { dense.into_dyn() };
        Ok(self.g.weight("image_pe", &dense))
    }

    /// The hypernetworks: one row of 32 weights per mask, `[4, 32]`.
    pub fn hypernetworks(&mut self, queries: &Edge) -> Result<Edge, DecoderError> {
        let first = iou_token_index(self.w.family()) + 1;
        let mut rows = Vec::with_capacity(MASKS);
        for mask in 0..MASKS {
            let name = format!("mask_decoder.output_hypernetworks_mlps.{mask}");
            let token = self.token(&name, queries, first + mask);
            let layers = [0, 1, 2].map(|i| format!("{name}.layers.{i}"));
            rows.push(self.mlp(&token, &layers)?);
        }
        let rows: Vec<&Edge> = rows.iter().collect();
        let axis = i64::from(self.batch);
        Ok(self.g.concat("mask_decoder.hypernetworks", &rows, axis))
    }

    /// The predicted IoU of each mask, `[1, 4]`.
    pub fn scores(&mut self, queries: &Edge) -> Result<Edge, DecoderError> {
        let head = "mask_decoder.iou_prediction_head";
        let token = self.token(head, queries, iou_token_index(self.w.family()));
        let layers = [0, 1, 2].map(|i| format!("{head}.layers.{i}"));
        let scores = self.mlp(&token, &layers)?;
        let scores = self.g.reshape(&format!("{head}/flat"), &scores, &[1, MASKS as i64]);
        Ok(match self.w.family() {
            crate::Family::Sam => scores,
            crate::Family::Sam2 | crate::Family::Sam3 => {
                self.g.op("Sigmoid", &format!("{head}/Sigmoid"), &[&scores], &[])
            }
        })
    }

    /// One token as a row.
    fn token(&mut self, scope: &str, queries: &Edge, index: usize) -> Edge {
        let axis = i64::from(self.batch);
        self.g.slice(&format!("{scope}/token"), queries, axis, index, index + 1)
    }
}
