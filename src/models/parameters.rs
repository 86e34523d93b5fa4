//! The parameters of each family's prompt encoder and mask decoder: names and shapes.
//!
//! Names are Meta's, as Ultralytics keeps them, after the checkpoint's prefix. They differ between families
//! only where Meta's do: SAM 2's transformer calls its MLP `mlp.layers.0` and `.1`, SAM's and SAM 3's `mlp.lin1`
//! and `mlp.lin2`.

use crate::family::Family;

/// One parameter of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Canonical name: `prompt_encoder.*` or `mask_decoder.*`.
    pub name: String,
    /// Shape as torch has it: `[out, in]` for linear layers, `[in, out, 2, 2]` for transposed convolutions.
    pub shape: Vec<usize>,
    /// Whether decoding needs it. The others are kept where they are there: the convolutions that take a mask as a
    /// prompt (`MASK_PROMPT`), which models imported by earlier versions lack; `conv_s0`, `conv_s1`, which are
    /// already applied to what is in a chip; and the object-score head.
    pub required: bool,
}

/// Channels of tokens and embeddings.
const CHANNELS: usize = 256;
/// Channels inside the attention between tokens and image.
const INNER: usize = 128;
/// Width of the transformer's MLP.
const MLP: usize = 2048;
/// Masks that the decoder makes: one for a clear prompt, three for an ambiguous one.
const MASKS: usize = 4;

/// What the names of the ten parameters begin with that take a mask as a prompt: two convolutions of kernel and stride
/// 2, each with a norm, and one of kernel 1.
pub(crate) const MASK_PROMPT: &str = "prompt_encoder.mask_downscaling";

/// The parameters that a prompt with a mask needs besides; a model takes masks if it has all of them.
pub(crate) fn mask_parameters(family: Family) -> impl Iterator<Item = Parameter> {
    parameters(family).into_iter().filter(|parameter| parameter.name.starts_with(MASK_PROMPT))
}

/// All parameters of a family's decoder, in a fixed order.
pub fn parameters(family: Family) -> Vec<Parameter> {
    let mut table = Table(Vec::with_capacity(140));
    let is_sam = family == Family::Sam;

    table.add("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", &[2, CHANNELS / 2]);
    for label in 0..4 {
        table.add(&format!("prompt_encoder.point_embeddings.{label}.weight"), &[1, CHANNELS]);
    }
    table.add("prompt_encoder.not_a_point_embed.weight", &[1, CHANNELS]);
    table.add("prompt_encoder.no_mask_embed.weight", &[1, CHANNELS]);
    if !is_sam {
        table.add("mask_decoder.obj_score_token.weight", &[1, CHANNELS]);
    }
    table.add("mask_decoder.iou_token.weight", &[1, CHANNELS]);
    table.add("mask_decoder.mask_tokens.weight", &[MASKS, CHANNELS]);

    for layer in 0..2 {
        let layer = format!("mask_decoder.transformer.layers.{layer}");
        table.attention(&format!("{layer}.self_attn"), CHANNELS);
        table.attention(&format!("{layer}.cross_attn_token_to_image"), INNER);
        table.attention(&format!("{layer}.cross_attn_image_to_token"), INNER);
        let [first, second] = mlp_names(family, &layer);
        table.linear(&first, MLP, CHANNELS);
        table.linear(&second, CHANNELS, MLP);
        for norm in 1..=4 {
            table.norm(&format!("{layer}.norm{norm}"), CHANNELS);
        }
    }
    table.attention("mask_decoder.transformer.final_attn_token_to_image", INNER);
    table.norm("mask_decoder.transformer.norm_final_attn", CHANNELS);
    table.weight_and_bias("mask_decoder.output_upscaling.0", &[CHANNELS, 64, 2, 2], 64);
    table.norm("mask_decoder.output_upscaling.1", 64);
    table.weight_and_bias("mask_decoder.output_upscaling.3", &[64, 32, 2, 2], 32);
    for mask in 0..MASKS {
        table.head(&format!("mask_decoder.output_hypernetworks_mlps.{mask}"), 32);
    }
    table.head("mask_decoder.iou_prediction_head", MASKS);
    if !is_sam {
        let needed = table.0.len();
        table.weight_and_bias("mask_decoder.conv_s0", &[32, CHANNELS, 1, 1], 32);
        table.weight_and_bias("mask_decoder.conv_s1", &[64, CHANNELS, 1, 1], 64);
        table.head("mask_decoder.pred_obj_score_head", 1);
        table.0[needed..].iter_mut().for_each(|parameter| parameter.required = false);
    }
    // Last, so that what stands before keeps its place.
    let needed = table.0.len();
    table.weight_and_bias(&format!("{MASK_PROMPT}.0"), &[4, 1, 2, 2], 4);
    table.norm(&format!("{MASK_PROMPT}.1"), 4);
    table.weight_and_bias(&format!("{MASK_PROMPT}.3"), &[16, 4, 2, 2], 16);
    table.norm(&format!("{MASK_PROMPT}.4"), 16);
    table.weight_and_bias(&format!("{MASK_PROMPT}.6"), &[CHANNELS, 16, 1, 1], CHANNELS);
    table.0[needed..].iter_mut().for_each(|parameter| parameter.required = false);
    table.0
}

/// The two linear layers of a transformer layer's MLP, which SAM 2 names otherwise than SAM and SAM 3.
pub(crate) fn mlp_names(family: Family, layer: &str) -> [String; 2] {
    match family {
        Family::Sam | Family::Sam3 => [format!("{layer}.mlp.lin1"), format!("{layer}.mlp.lin2")],
        Family::Sam2 => [format!("{layer}.mlp.layers.0"), format!("{layer}.mlp.layers.1")],
    }
}

struct Table(Vec<Parameter>);

impl Table {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.push(Parameter { name: name.to_owned(), shape: shape.to_vec(), required: true });
    }

    fn weight_and_bias(&mut self, name: &str, weight: &[usize], bias: usize) {
        self.add(&format!("{name}.weight"), weight);
        self.add(&format!("{name}.bias"), &[bias]);
    }

    fn linear(&mut self, name: &str, output: usize, input: usize) {
        self.weight_and_bias(name, &[output, input], output);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.weight_and_bias(name, &[channels], channels);
    }

    fn attention(&mut self, name: &str, inner: usize) {
        for projection in ["q_proj", "k_proj", "v_proj"] {
            self.linear(&format!("{name}.{projection}"), inner, CHANNELS);
        }
        self.linear(&format!("{name}.out_proj"), CHANNELS, inner);
    }

    /// An MLP of three layers on a token.
    fn head(&mut self, name: &str, output: usize) {
        self.linear(&format!("{name}.layers.0"), CHANNELS, CHANNELS);
        self.linear(&format!("{name}.layers.1"), CHANNELS, CHANNELS);
        self.linear(&format!("{name}.layers.2"), output, CHANNELS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_have_the_parameters_that_ultralytics_counts() {
        for (family, all, required) in
            [(Family::Sam, 137, 127), (Family::Sam2, 148, 128), (Family::Sam3, 148, 128)]
        {
            let table = parameters(family);
            assert_eq!(
                (table.len(), table.iter().filter(|p| p.required).count()),
                (all, required),
                "{family}"
            );
            let names: std::collections::HashSet<_> = table.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), all);
        }
    }
}
