//! The decoder in two graphs: `prepare`, once per chip, and `decode`, once per prompt.

use super::attention::{CROSS_HEAD, ImageSide, ImageTokens};
use super::builder::{Dim, Edge};
use super::layers::Net;
use super::onnx::ModelProto;
use super::transformer::{FINAL, layer_name};
use super::whole::fixed;
use super::{Audience, PromptTokens, embedding_shape, high_resolution_maps, image_tokens};
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{
    CHANNELS, CROSS_CHANNELS, HALF_CHANNELS, HEADS, LAYERS, MASKS, QUARTER_CHANNELS, Weights,
    output_token_count,
};
use crate::family::Family;

/// What `prepare` gives and `decode` takes for every family, in this order: the image tokens with the embedding of "no
/// mask" `[P, 256]`, and layer 0's keys `[8, 16, P]`, values `[8, P, 16]` and image queries `[8, 16, P]`.
pub const PREPARED: [&str; 4] = ["keys", "layer0_k", "layer0_v", "layer0_q"];
/// The high-resolution maps in block order, `[4 P, 64]` and `[16 P, 32]`: after [`PREPARED`], for SAM 2 and 3.
const BLOCKS: [&str; 2] = ["half_blocks", "quarter_blocks"];

/// In which order the products between tokens and image are made; the result is the same but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Association {
    /// Projections on the side of the few tokens: less work for ordinary prompts.
    FewTokens,
    /// Projections of the image tokens: less work for long lists of points.
    ManyTokens,
}

impl Association {
    /// The better one for a prompt of `n` tokens.
    ///
    /// Re-associated products cost 8 T multiply-adds per channel of an image token instead of 128 + T, T being all
    /// tokens.
    pub fn for_prompt(family: Family, n: usize) -> Self {
        const MOST_TOKENS: usize = 15;
        if output_token_count(family) + n <= MOST_TOKENS { Self::FewTokens } else { Self::ManyTokens }
    }
}

/// Builds `prepare`: the chip's arrays in, [`PREPARED`] out.
///
/// For [`Audience::Runtime`] the inputs are those of a chip file, and the maps come out in block order as well. For
/// [`Audience::Engine`] the only input is `image_tokens [P, 256]`: engines bring the maps into block order themselves.
///
/// # Errors
/// A parameter that is missing or of another shape.
pub fn prepare(weights: &Weights, audience: Audience) -> Result<ModelProto, DecoderError> {
    let family = weights.family();
    let p = image_tokens(family);
    let mut net = Net::new("prepare", weights, false);
    let mut blocks = None;
    let tokens = match audience {
        Audience::Engine => {
            net.g.input("image_tokens", &[p.into(), CHANNELS.into()], "The embedding, channels last.")
        }
        Audience::Runtime => {
            let shape = fixed(&embedding_shape(family));
            let image = net.g.input("image_embeddings", &shape, "The image embedding of a chip.");
            blocks = net.map_inputs();
            let flat = net.g.reshape("image/flat", &image, &[CHANNELS as i64, p as i64]);
            net.g.transpose("image/tokens", &flat, &[1, 0])
        }
    };
    let no_mask = "prompt_encoder.no_mask_embed.weight";
    let no_mask = net.g.weight(no_mask, &net.w.matrix(no_mask)?);
    let keys = net.g.add("image/no_mask", &tokens, &no_mask);
    let positions = net.positions()?;
    let image = net.image_tokens("image", &keys, &positions);

    let layer = layer_name(0);
    // The bias of the keys adds a constant to every score: softmax drops it.
    let k = net.product(&image.positioned, &format!("{layer}.cross_attn_token_to_image.k_proj"), 1.0)?;
    let k = net.heads_transposed("layer0_k_heads", &k, CROSS_CHANNELS);
    let v = net.linear(&image.keys, &format!("{layer}.cross_attn_token_to_image.v_proj"))?;
    let v = net.heads("layer0_v_heads", &v, CROSS_CHANNELS);
    let q = net.linear(&image.positioned, &format!("{layer}.cross_attn_image_to_token.q_proj"))?;
    let q = net.heads_transposed("layer0_q_heads", &q, CROSS_CHANNELS);

    for ((name, shape), edge) in prepared_shapes(family).into_iter().zip([&keys, &k, &v, &q]) {
        net.g.output(edge, name, &shape, "To be given to the decode graph as it is.");
    }
    if let Some(blocks) = &blocks {
        for ((name, shape), edge) in block_shapes(family).into_iter().zip(blocks) {
            net.g.output(edge, name, &shape, "To be given to the decode graph as it is.");
        }
    }
    Ok(net.g.finish(&super::export::doc(family, super::export::PREPARE), &super::export::metadata(family)))
}

/// Builds `decode`: what `prepare` gave and a prompt in, logits and scores out.
///
/// Inputs: those of [`PREPARED`], the maps in block order for SAM 2 and 3, then the prompt as in
/// [`whole`](super::whole()) but without a batch for [`Audience::Engine`]. Outputs as there; for an engine
/// `block_logits [16, 4 P]`: rows (mask, dy2, dx2), columns (token, dy1, dx1).
///
/// # Errors
/// A parameter that is missing or of another shape.
pub fn decode(
    weights: &Weights,
    n: PromptTokens,
    association: Association,
    audience: Audience,
) -> Result<ModelProto, DecoderError> {
    let family = weights.family();
    let p = image_tokens(family);
    let mut net = Net::new("decode", weights, false);
    let doc = "From the prepare graph.";
    let [keys, k, v, q] = prepared_shapes(family).map(|(name, shape)| net.g.input(name, &shape, doc));
    let maps = family
        .has_high_resolution_maps()
        .then(|| block_shapes(family).map(|(name, shape)| net.g.input(name, &shape, doc)));
    let tokens = net.all_tokens(n, audience)?;
    let prepared = Prepared { keys, k, v, q };
    let (queries, keys) = net.split_transformer(&tokens, &prepared, n, association)?;

    let hyper = net.hypernetworks(&queries)?;
    let logits = net.block_upscaling(&keys, &hyper, maps)?;
    let scores = net.scores(&queries)?;
    match audience {
        Audience::Runtime => {
            let logits = net.unblocked(&logits);
            net.mask_outputs(&logits, &scores);
        }
        Audience::Engine => {
            net.g.output(
                &logits,
                "block_logits",
                &[(4 * MASKS).into(), (4 * p).into()],
                "Logits in block order.",
            );
            net.g.output(&scores, "iou_predictions", &fixed(&[MASKS]), "Predicted IoU of each mask.");
        }
    }
    Ok(net.g.finish(&super::export::doc(family, super::export::DECODE), &super::export::metadata(family)))
}

struct Prepared {
    keys: Edge,
    k: Edge,
    v: Edge,
    q: Edge,
}

impl Net<'_> {
    /// Both layers and the last attention from prepared tensors: the tokens, and the image tokens' keys.
    fn split_transformer(
        &mut self,
        tokens: &Edge,
        prepared: &Prepared,
        n: PromptTokens,
        association: Association,
    ) -> Result<(Edge, Edge), DecoderError> {
        let positions = self.positions()?;
        let mut queries = tokens.clone();
        let mut image: Option<ImageTokens> = None;
        for i in 0..LAYERS {
            let layer = layer_name(i);
            queries = self.self_attention(i, &queries, tokens)?;

            let parameter = format!("{layer}.cross_attn_token_to_image");
            let q = self.positioned(&parameter, &queries, tokens);
            let update = match &image {
                None => self.token_to_image_prepared(&q, &prepared.k, &prepared.v, &parameter)?,
                Some(image) => self.token_to_image_by(association, &q, image, &parameter)?,
            };
            queries = self.residual_norm(&queries, &update, &format!("{layer}.norm2"))?;

            queries = self.token_mlp(i, &queries)?;

            let parameter = format!("{layer}.cross_attn_image_to_token");
            let k = self.positioned(&parameter, &queries, tokens);
            let keys = image.as_ref().map_or(&prepared.keys, |image| &image.keys).clone();
            let update = match (association, &image) {
                (Association::FewTokens, None) => {
                    self.image_to_token(ImageSide::Queries(&prepared.q), &k, &queries, &parameter, n)?
                }
                (Association::FewTokens, Some(image)) => {
                    self.image_to_token(ImageSide::Tokens(image), &k, &queries, &parameter, n)?
                }
                (Association::ManyTokens, None) => {
                    self.image_to_token_prepared(&prepared.q, &k, &queries, &parameter)?
                }
                (Association::ManyTokens, Some(image)) => {
                    self.attention(&image.positioned, &k, &queries, &parameter, CROSS_CHANNELS)?
                }
            };
            let keys = self.residual_norm(&keys, &update, &format!("{layer}.norm4"))?;
            image = Some(self.image_tokens(&format!("{layer}.image"), &keys, &positions));
        }
        let Some(image) = image else {
            return Err(DecoderError::Engine {
                action: "build the decode graph",
                message: "the transformer has no layers".to_owned(),
            });
        };
        let q = self.positioned(FINAL, &queries, tokens);
        let update = self.token_to_image_by(association, &q, &image, FINAL)?;
        let queries = self.residual_norm(&queries, &update, "mask_decoder.transformer.norm_final_attn")?;
        Ok((queries, image.keys))
    }

    fn token_to_image_by(
        &mut self,
        association: Association,
        q: &Edge,
        image: &ImageTokens,
        parameter: &str,
    ) -> Result<Edge, DecoderError> {
        match association {
            Association::FewTokens => self.token_to_image(q, image, parameter),
            Association::ManyTokens => {
                self.attention(q, &image.positioned, &image.keys, parameter, CROSS_CHANNELS)
            }
        }
    }

    /// The maps of a chip file as inputs, then in block order: half, quarter.
    fn map_inputs(&mut self) -> Option<[Edge; 2]> {
        high_resolution_maps(self.w.family()).map(|[(half, half_shape), (quarter, quarter_shape)]| {
            let quarter_map = self.g.input(quarter, &fixed(&quarter_shape), "The chip's map of stride 4.");
            let half_map = self.g.input(half, &fixed(&half_shape), "The chip's map of stride 8.");
            [
                self.blocked(half, &half_map, HALF_CHANNELS, 1),
                self.blocked(quarter, &quarter_map, QUARTER_CHANNELS, 2),
            ]
        })
    }
}

pub(super) fn prepared_shapes(family: Family) -> [(&'static str, Vec<Dim>); 4] {
    let p = image_tokens(family).into();
    let (heads, head): (Dim, Dim) = (HEADS.into(), CROSS_HEAD.into());
    let [keys, k, v, q] = PREPARED;
    [
        (keys, vec![p, CHANNELS.into()]),
        (k, vec![heads, head, p]),
        (v, vec![heads, p, head]),
        (q, vec![heads, head, p]),
    ]
}

fn block_shapes(family: Family) -> [(&'static str, Vec<Dim>); 2] {
    let p = image_tokens(family);
    let [half, quarter] = BLOCKS;
    [
        (half, vec![(4 * p).into(), HALF_CHANNELS.into()]),
        (quarter, vec![(16 * p).into(), QUARTER_CHANNELS.into()]),
    ]
}
