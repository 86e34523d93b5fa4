//! A checkpoint's parameters in the layouts in which the passes read them: packed once, when the decoder is made.

use super::lanes::{Ops, PANEL, Row, parts, rows};
use super::mask::MaskWeights;
use super::product::{Packed, cut};
use super::simd::Simd;
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{
    CHANNELS, CROSS_CHANNELS, HALF_CHANNELS, HEADS, LAYERS, MASKS, QUARTER_CHANNELS, Weights,
    iou_token_index, output_tokens,
};
use crate::family::Family;
use crate::models::mlp_names;
use ndarray::{Array2, ArrayView2};

/// Channels of one head of an attention between tokens and image: one row.
pub(super) const CROSS_HEAD: usize = CROSS_CHANNELS / HEADS;
const _: () = assert!(CROSS_HEAD == PANEL);
/// 1 / sqrt(CROSS_HEAD)
const CROSS_SCALE: f32 = 0.25;
/// Pixels of a 2 x 2 block.
pub(super) const BLOCK: usize = 4;

/// `x W^T + b` on a few tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Linear {
    /// `[outputs / 16][inputs][16]`, outputs filled up with zeros.
    panels: Vec<f32>,
    bias: Vec<f32>,
    pub inputs: usize,
    /// A multiple of 16.
    pub outputs: usize,
}

impl Linear {
    fn new(w: &Weights, name: &str, scale: f32) -> Result<Self, DecoderError> {
        let weight = w.matrix(&format!("{name}.weight"))?;
        let given = w.vector(&format!("{name}.bias"))?;
        let (rows, inputs) = weight.dim();
        let outputs = rows.next_multiple_of(PANEL);
        let mut panels = vec![0.0; outputs * inputs];
        let mut bias = vec![0.0; outputs];
        for (row, values) in weight.rows().into_iter().enumerate() {
            bias[row] = given[row] * scale;
            for (column, value) in values.iter().enumerate() {
                panels[(row / PANEL * inputs + column) * PANEL + row % PANEL] = value * scale;
            }
        }
        Ok(Self { panels, bias, inputs, outputs })
    }

    /// The rows `[inputs]` of a panel of 16 outputs.
    #[inline(always)]
    pub fn panel<S: Simd, const V: usize>(&self, panel: usize) -> &[Row<S, V>] {
        rows::<S, V>(&self.panels[panel * self.inputs * PANEL..][..self.inputs * PANEL])
    }

    /// The bias of a panel of 16 outputs.
    #[inline(always)]
    pub fn bias<S: Simd, const V: usize>(&self, panel: usize) -> Row<S, V> {
        rows::<S, V>(&self.bias)[panel]
    }
}

/// Weight and bias of a LayerNorm.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Norm {
    pub fn new(w: &Weights, name: &str) -> Result<Self, DecoderError> {
        let part = |part: &str| Ok(w.vector(&format!("{name}.{part}"))?.to_vec());
        Ok(Self { weight: part("weight")?, bias: part("bias")? })
    }
}

/// Attention among the tokens.
#[derive(Debug, Clone)]
pub(super) struct SelfAttention {
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub out: Linear,
}

/// The tokens' side of the attention from tokens to image.
#[derive(Debug, Clone)]
pub(super) struct TokenToImage {
    /// Scaled by 1 / sqrt(16).
    pub q: Linear,
    /// The projection of keys, `[128][256]`. Its bias adds a constant to every score: softmax drops it.
    pub k: Vec<f32>,
    pub v: Linear,
    pub out: Linear,
}

/// The tokens' side of the attention from image to tokens.
#[derive(Debug, Clone)]
pub(super) struct ImageToToken {
    /// The projection of queries, `[128][256]`, and its bias.
    pub q: Vec<f32>,
    pub q_bias: Vec<f32>,
    /// Scaled by 1 / sqrt(16).
    pub k: Linear,
    pub v: Linear,
    /// The output's projection transposed, `[128][256]`, and its bias.
    pub out: Vec<f32>,
    pub out_bias: Vec<f32>,
}

#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub self_attention: SelfAttention,
    pub token_to_image: TokenToImage,
    pub mlp: [Linear; 2],
    pub image_to_token: ImageToToken,
    pub norms: [Norm; 4],
}

/// Projections of the image tokens in layer 0, as left factors `[128, 256]`, with their biases.
#[derive(Debug, Clone)]
pub(super) struct Projections {
    pub k: Packed,
    pub v: Packed,
    pub v_bias: Vec<f32>,
    pub q: Packed,
    pub q_bias: Vec<f32>,
}

/// Both transposed convolutions as left factors, and what lies between them.
#[derive(Debug, Clone)]
pub(super) struct Upscaling {
    /// `[(dy1, dx1, 64), 256]`
    pub first: Packed,
    pub first_bias: Vec<f32>,
    pub norm: Norm,
    /// `[(dy2, dx2, 32), 64]`
    pub second: Packed,
    pub second_bias: Vec<f32>,
}

/// Everything.
#[derive(Debug, Clone)]
pub(super) struct FusedWeights {
    /// The decoder's own tokens, `[5 or 6][256]`.
    pub own_tokens: Vec<f32>,
    /// Which of them is the IoU token; the mask tokens follow it.
    pub iou_token: usize,
    pub layers: Vec<Layer>,
    pub last: TokenToImage,
    pub last_norm: Norm,
    pub hypernetworks: Vec<[Linear; 3]>,
    pub scores: [Linear; 3],
    /// Whether the scores are logits that a sigmoid must follow.
    pub score_logits: bool,
    pub no_mask: Vec<f32>,
    pub projections: Projections,
    pub upscaling: Upscaling,
    /// `None` where the checkpoint was imported without them.
    pub mask: Option<MaskWeights>,
}

impl FusedWeights {
    /// Packs the parameters; `block` is the processor's block of a packed factor.
    pub fn new(w: &Weights, block: usize) -> Result<Self, DecoderError> {
        let family = w.family();
        let mut own_tokens = Vec::new();
        for name in output_tokens(family) {
            own_tokens.extend(w.matrix(name)?.iter());
        }
        let mlp = |name: &str| -> Result<[Linear; 3], DecoderError> {
            let layer = |i: usize| Linear::new(w, &format!("{name}.layers.{i}"), 1.0);
            Ok([layer(0)?, layer(1)?, layer(2)?])
        };
        Ok(Self {
            own_tokens,
            iou_token: iou_token_index(family),
            layers: (0..LAYERS).map(|i| layer(w, i)).collect::<Result<_, _>>()?,
            last: token_to_image(w, "mask_decoder.transformer.final_attn_token_to_image")?,
            last_norm: Norm::new(w, "mask_decoder.transformer.norm_final_attn")?,
            hypernetworks: (0..MASKS)
                .map(|i| mlp(&format!("mask_decoder.output_hypernetworks_mlps.{i}")))
                .collect::<Result<_, _>>()?,
            scores: mlp("mask_decoder.iou_prediction_head")?,
            score_logits: family != Family::Sam,
            no_mask: w.matrix("prompt_encoder.no_mask_embed.weight")?.into_iter().collect(),
            projections: projections(w, block)?,
            upscaling: upscaling(w, block)?,
            mask: MaskWeights::new(w, block)?,
        })
    }
}

fn layer(w: &Weights, i: usize) -> Result<Layer, DecoderError> {
    let name = format!("mask_decoder.transformer.layers.{i}");
    let linear = |part: &str| Linear::new(w, &format!("{name}.self_attn.{part}_proj"), 1.0);
    let norm = |i: usize| Norm::new(w, &format!("{name}.norm{i}"));
    let [first, second] = mlp_names(w.family(), &name);
    Ok(Layer {
        self_attention: SelfAttention {
            q: Linear::new(
                w,
                &format!("{name}.self_attn.q_proj"),
                ((CHANNELS / HEADS) as f32).sqrt().recip(),
            )?,
            k: linear("k")?,
            v: linear("v")?,
            out: linear("out")?,
        },
        token_to_image: token_to_image(w, &format!("{name}.cross_attn_token_to_image"))?,
        mlp: [Linear::new(w, &first, 1.0)?, Linear::new(w, &second, 1.0)?],
        image_to_token: image_to_token(w, &format!("{name}.cross_attn_image_to_token"))?,
        norms: [norm(1)?, norm(2)?, norm(3)?, norm(4)?],
    })
}

fn token_to_image(w: &Weights, name: &str) -> Result<TokenToImage, DecoderError> {
    Ok(TokenToImage {
        q: Linear::new(w, &format!("{name}.q_proj"), CROSS_SCALE)?,
        k: flat(w.matrix(&format!("{name}.k_proj.weight"))?.view()),
        v: Linear::new(w, &format!("{name}.v_proj"), 1.0)?,
        out: Linear::new(w, &format!("{name}.out_proj"), 1.0)?,
    })
}

fn image_to_token(w: &Weights, name: &str) -> Result<ImageToToken, DecoderError> {
    Ok(ImageToToken {
        q: flat(w.matrix(&format!("{name}.q_proj.weight"))?.view()),
        q_bias: w.vector(&format!("{name}.q_proj.bias"))?.to_vec(),
        k: Linear::new(w, &format!("{name}.k_proj"), CROSS_SCALE)?,
        v: Linear::new(w, &format!("{name}.v_proj"), 1.0)?,
        out: flat(w.matrix(&format!("{name}.out_proj.weight"))?.t()),
        out_bias: w.vector(&format!("{name}.out_proj.bias"))?.to_vec(),
    })
}

fn projections(w: &Weights, block: usize) -> Result<Projections, DecoderError> {
    let name = "mask_decoder.transformer.layers.0";
    let packed = |part: &str| -> Result<Packed, DecoderError> {
        Ok(packed(&w.matrix(&format!("{name}.{part}.weight"))?, block))
    };
    let bias = |part: &str| -> Result<Vec<f32>, DecoderError> {
        Ok(w.vector(&format!("{name}.{part}.bias"))?.to_vec())
    };
    Ok(Projections {
        k: packed("cross_attn_token_to_image.k_proj")?,
        v: packed("cross_attn_token_to_image.v_proj")?,
        v_bias: bias("cross_attn_token_to_image.v_proj")?,
        q: packed("cross_attn_image_to_token.q_proj")?,
        q_bias: bias("cross_attn_image_to_token.q_proj")?,
    })
}

fn upscaling(w: &Weights, block: usize) -> Result<Upscaling, DecoderError> {
    let name = "mask_decoder.output_upscaling";
    // [input, output, dy, dx] to [(dy, dx, output), input]
    let convolution = |i: usize, inputs: usize, outputs: usize| -> Result<Packed, DecoderError> {
        let weight = w.owned(&format!("{name}.{i}.weight"))?.permuted_axes(vec![2, 3, 1, 0]);
        let weight = weight.as_standard_layout().into_owned();
        let weight = weight
            .into_shape_with_order((BLOCK * outputs, inputs))
            .map_err(DecoderError::shape("shape the upscaling"))?;
        Ok(packed(&weight, block))
    };
    let bias =
        |i: usize| -> Result<Vec<f32>, DecoderError> { Ok(w.vector(&format!("{name}.{i}.bias"))?.to_vec()) };
    Ok(Upscaling {
        first: convolution(0, CHANNELS, HALF_CHANNELS)?,
        first_bias: bias(0)?,
        norm: Norm::new(w, &format!("{name}.1"))?,
        second: convolution(3, HALF_CHANNELS, QUARTER_CHANNELS)?,
        second_bias: bias(3)?,
    })
}

fn packed(matrix: &Array2<f32>, block: usize) -> Packed {
    let (rows, columns) = matrix.dim();
    Packed::pack(rows, columns, block, |row, column| matrix[[row, column]])
}

fn flat(matrix: ArrayView2<'_, f32>) -> Vec<f32> {
    matrix.iter().copied().collect()
}

/// Products of a few tokens.
impl<S: Simd, const V: usize> Ops<S, V> {
    /// `linear` on rows `[n][inputs]`, n a multiple of 4, to rows `[n][outputs]`; with ReLU behind it if `relu`.
    #[inline(always)]
    pub fn linear<const NP: usize, const TM: usize>(
        self,
        linear: &Linear,
        x: &[f32],
        out: &mut [f32],
        relu: bool,
    ) {
        let panels = linear.outputs / PANEL;
        let mut panel = 0;
        while panel + NP <= panels {
            self.linear_panels::<NP, TM>(linear, panel, x, out, relu);
            panel += NP;
        }
        while panel < panels {
            self.linear_panels::<1, TM>(linear, panel, x, out, relu);
            panel += 1;
        }
    }

    #[inline(always)]
    fn linear_panels<const N: usize, const TM: usize>(
        self,
        linear: &Linear,
        panel: usize,
        x: &[f32],
        out: &mut [f32],
        relu: bool,
    ) {
        let n = x.len() / linear.inputs;
        let right = parts(rows::<S, V>(&linear.panels), linear.inputs, panel);
        let mut bias = [self.splat(0.0); N];
        bias.copy_from_slice(&rows::<S, V>(&linear.bias)[panel..][..N]);
        let mut start = 0;
        while start < n {
            if TM == 8 && start + 8 <= n {
                self.linear_block::<N, 8>(linear, panel, x, start, right, bias, out, relu);
                start += 8;
            } else {
                self.linear_block::<N, 4>(linear, panel, x, start, right, bias, out, relu);
                start += 4;
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "the innermost part of one function")]
    fn linear_block<const N: usize, const M: usize>(
        self,
        linear: &Linear,
        panel: usize,
        x: &[f32],
        start: usize,
        right: [&[Row<S, V>]; N],
        bias: [Row<S, V>; N],
        out: &mut [f32],
        relu: bool,
    ) {
        let depth = linear.inputs;
        let x: [&[f32]; M] = parts(x, depth, start);
        let right = cut(right, depth);
        let mut sums = [bias; M];
        for k in 0..depth {
            let right = self.across(right, k);
            for i in 0..M {
                let x = self.splat(x[i][k]);
                for j in 0..N {
                    sums[i][j] = self.mul_add(x, right[j], sums[i][j]);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let out = &mut out[(start + i) * linear.outputs + panel * PANEL..][..N * PANEL];
            for (out, sum) in super::lanes::rows_mut::<S, V>(out).iter_mut().zip(sums) {
                *out = if relu { self.max(sum, self.splat(0.0)) } else { sum };
            }
        }
    }
}
