//! The whole decoder in its usual form: image embedding and prompt in, logits and scores out.

use super::builder::Dim;
use super::layers::Net;
use super::onnx::ModelProto;
use super::{Audience, PromptTokens, embedding_shape, high_resolution_maps};
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{CHANNELS, MASKS, Weights};

/// Builds the whole decoder.
///
/// Inputs, in this order: `image_embeddings [1, 256, grid, grid]`; for SAM 2 and 3 `high_res_feats_0 [1, 32, 4 grid,
/// 4 grid]` and `high_res_feats_1 [1, 64, 2 grid, 2 grid]`; then `point_coords [1, N, 2]` and `point_labels [1, N]`, or
/// `sparse_embeddings [1, N, 256]` for an engine of this crate; then, where the weights take masks, `mask_input [1, 1,
/// 4 grid, 4 grid]` and `has_mask_input [1]`. Outputs: `low_res_masks [1, 4, 4 grid, 4 grid]` and
/// `iou_predictions [1, 4]`.
///
/// # Errors
/// A parameter that is missing or of another shape.
pub fn whole(weights: &Weights, n: PromptTokens, audience: Audience) -> Result<ModelProto, DecoderError> {
    let family = weights.family();
    let mut net = Net::new("decoder", weights, true);

    let embedding = fixed(&embedding_shape(family));
    let image = net.g.input("image_embeddings", &embedding, "The image embedding of a chip.");
    let maps = high_resolution_maps(family).map(|[(half, half_shape), (quarter, quarter_shape)]| {
        let quarter = net.g.input(quarter, &fixed(&quarter_shape), "The chip's map of stride 4.");
        let half = net.g.input(half, &fixed(&half_shape), "The chip's map of stride 8.");
        [half, quarter]
    });
    let tokens = net.all_tokens(n, audience)?;

    let no_mask = net.w.matrix("prompt_encoder.no_mask_embed.weight")?;
    let no_mask = no_mask
        .into_shape_with_order((1, CHANNELS, 1, 1))
        .map_err(DecoderError::shape("shape the embedding of no mask"))?;
    let no_mask = net.g.weight("prompt_encoder.no_mask_embed.weight", &no_mask);
    let dense = net.mask_or(&no_mask)?;
    let image = net.g.add("image/no_mask", &image, &dense);
    let image = net.g.reshape("image/flat", &image, &[1, CHANNELS as i64, -1]);
    let image = net.g.transpose("image/tokens", &image, &[0, 2, 1]);

    let positions = net.positions()?;
    let (queries, keys) = net.usual_transformer(&tokens, &image, &positions)?;
    let hyper = net.hypernetworks(&queries)?;
    let logits = net.usual_upscaling(&keys, &hyper, maps)?;
    let scores = net.scores(&queries)?;
    net.mask_outputs(&logits, &scores);
    Ok(net.g.finish(&super::export::doc(family, super::export::WHOLE), &super::export::metadata(family)))
}

/// A shape with a batch of one before it.
pub(super) fn fixed(shape: &[usize]) -> Vec<Dim> {
    std::iter::once(1).chain(shape.iter().copied()).map(Dim::Fixed).collect()
}

impl Net<'_> {
    /// Logits as images, and scores.
    pub fn mask_outputs(&mut self, logits: &super::builder::Edge, scores: &super::builder::Edge) {
        let side = self.w.family().low_resolution();
        self.g.output(
            logits,
            "low_res_masks",
            &fixed(&[MASKS, side, side]),
            "Logits of the whole encoder frame; positive is inside. Mask 0 is the single mask, 1 to 3 the multimask output.",
        );
        self.g.output(scores, "iou_predictions", &fixed(&[MASKS]), "Predicted IoU of each mask.");
    }
}
