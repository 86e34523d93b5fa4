//! A mask as a prompt: in the usual form, three convolutions on the mask; and for the split decoder as a graph between
//! `prepare` and `decode`, which corrects what was prepared without a mask ([`MaskProducts`]).

use ndarray::{Array1, Array2};

use super::builder::{Attr, Dim, Edge};
use super::layers::Net;
use super::onnx::ModelProto;
use super::split::{PREPARED, prepared_shapes};
use super::upscaling::{BLOCK, EPSILON};
use super::whole::fixed;
use crate::decoder::error::DecoderError;
use crate::decoder::mask_products::{MASK_CHANNELS, MaskProducts};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, Weights};
use crate::models::MASK_PROMPT;

/// The mask's input, in every graph that takes one.
pub(super) const MASK_INPUT: &str = "mask_input";
/// Whether it counts, in the usual graph.
const HAS_MASK: &str = "has_mask_input";

/// Builds the graph between `prepare` and `decode` for a prompt with a mask: [`PREPARED`] and `mask_input [1, 1, 4 grid,
/// 4 grid]` in, the same arrays as the decode graph takes them out, each name with `masked_` before it.
///
/// # Errors
/// Weights without the parameters of mask prompts, or with one that is missing.
pub fn mask(weights: &Weights) -> Result<ModelProto, DecoderError> {
    let family = weights.family();
    if !weights.takes_masks() {
        return Err(DecoderError::NoMaskParameters { family });
    }
    let mut net = Net::new("mask", weights, false);
    let doc = "From the prepare graph.";
    let [keys, k, v, q] = prepared_shapes(family).map(|(name, shape)| net.g.input(name, &shape, doc));
    let mask = net.mask_input();
    let hidden = net.mask_hidden(&mask)?;

    let products = MaskProducts::new(weights)?;
    let layer = super::transformer::layer_name(0);
    let tokens = net.mask_product(&hidden, "tokens", products.tokens());
    let keys = net.g.add("masked/keys", &keys, &tokens);
    let mut corrected =
        |given: &Edge, name: &str, linear: &str, transposed: bool| -> Result<Edge, DecoderError> {
            let added = products.through(weights, &format!("{layer}.{linear}"))?;
            let added = net.mask_product(&hidden, name, added);
            let added = if transposed {
                net.heads_transposed(&format!("masked/{name}"), &added, CROSS_CHANNELS)
            } else {
                net.heads(&format!("masked/{name}"), &added, CROSS_CHANNELS)
            };
            Ok(net.g.add(&format!("masked/{name}/Add"), given, &added))
        };
    let k = corrected(&k, "k", "cross_attn_token_to_image.k_proj", true)?;
    let v = corrected(&v, "v", "cross_attn_token_to_image.v_proj", false)?;
    let q = corrected(&q, "q", "cross_attn_image_to_token.q_proj", true)?;
    for (((_, shape), name), edge) in
        prepared_shapes(family).into_iter().zip(PREPARED).zip([&keys, &k, &v, &q])
    {
        let doc = "To be given to the decode graph in place of what was prepared.";
        net.g.output(edge, &format!("masked_{name}"), &shape, doc);
    }
    Ok(net.g.finish(&super::export::doc(family, super::export::MASK), &super::export::metadata(family)))
}

impl Net<'_> {
    fn mask_input(&mut self) -> Edge {
        let side = self.w.family().low_resolution();
        let doc = "Low-resolution logits of one mask of an earlier answer on the same chip.";
        self.g.input(MASK_INPUT, &fixed(&[1, side, side]), doc)
    }

    /// What is added to the image embedding in the usual graph, `[1, 256, grid, grid]` or of a shape that spreads to it: the
    /// mask that is given if there is one, else the embedding of "no mask" `no_mask [1, 256, 1, 1]`.
    pub fn mask_or(&mut self, no_mask: &Edge) -> Result<Edge, DecoderError> {
        if !self.w.takes_masks() {
            return Ok(no_mask.clone());
        }
        let mask = self.mask_input();
        let doc = "1 where mask_input counts, 0 where there is no mask; its values must be finite then too.";
        let has = self.g.input(HAS_MASK, &[Dim::Fixed(1)], doc);
        let dense = self.usual_mask(&mask)?;
        let has = self.g.reshape("mask/has", &has, &[1, 1, 1, 1]);
        let one = self.g.scalar(1.0);
        let has_none = self.g.sub("mask/has_none", &one, &has);
        let given = self.g.mul("mask/given", &dense, &has);
        let none = self.g.mul("mask/none", no_mask, &has_none);
        Ok(self.g.add("mask/dense", &given, &none))
    }

    /// The convolutions on maps with the channels first, as usual.
    fn usual_mask(&mut self, mask: &Edge) -> Result<Edge, DecoderError> {
        let mut x = mask.clone();
        for (convolution, norm) in [(0, 1), (3, 4)] {
            x = self.convolution(&x, &format!("{MASK_PROMPT}.{convolution}"), 2)?;
            let norm = format!("{MASK_PROMPT}.{norm}");
            let last = self.g.transpose(&format!("{norm}/channels_last"), &x, &[0, 2, 3, 1]);
            let normed = self.layer_norm(&last, &norm, EPSILON)?;
            let normed = self.g.transpose(&format!("{norm}/channels_first"), &normed, &[0, 3, 1, 2]);
            x = self.g.gelu(&format!("{norm}/Gelu"), &normed);
        }
        self.convolution(&x, &format!("{MASK_PROMPT}.6"), 1)
    }

    /// A convolution whose kernel is as wide as its stride.
    fn convolution(&mut self, x: &Edge, parameter: &str, width: i64) -> Result<Edge, DecoderError> {
        let weight = format!("{parameter}.weight");
        let weight = self.g.weight(&weight, &self.w.owned(&weight)?);
        let bias = format!("{parameter}.bias");
        let bias = self.g.weight(&bias, &self.w.vector(&bias)?);
        let attributes =
            [("kernel_shape", Attr::Ints(vec![width; 2])), ("strides", Attr::Ints(vec![width; 2]))];
        Ok(self.g.op("Conv", parameter, &[x, &weight, &bias], &attributes))
    }

    /// The first two convolutions as products, each on blocks of 2 x 2: `[P, 16]`.
    fn mask_hidden(&mut self, mask: &Edge) -> Result<Edge, DecoderError> {
        let grid = self.w.family().grid() as i64;
        // (row, dy1, dy2, column, dx1, dx2) to (row, column, dy1, dx1, dy2, dx2)
        let split = self.g.reshape("mask/split", mask, &[grid, 2, 2, grid, 2, 2]);
        let mut x = self.g.transpose("mask/blocks", &split, &[0, 3, 1, 4, 2, 5]);
        let mut inputs = 1;
        for ((convolution, norm), outputs) in [(0, 1), (3, 4)].into_iter().zip(MASK_CHANNELS) {
            let name = format!("{MASK_PROMPT}.{convolution}");
            x = self.g.reshape(&format!("{name}/blocks"), &x, &[-1, (BLOCK * inputs) as i64]);
            // [output, input, dy, dx] to [(dy, dx, input), output]
            let weight = self.w.owned(&format!("{name}.weight"))?.permuted_axes(vec![2, 3, 1, 0]);
            let weight = weight.as_standard_layout().into_owned();
            let weight = weight
                .into_shape_with_order((BLOCK * inputs, outputs))
                .map_err(DecoderError::shape("shape a convolution of the mask"))?;
            let weight = self.g.weight(&format!("{name}.weight.blocks"), &weight);
            let bias = format!("{name}.bias");
            let bias = self.g.weight(&bias, &self.w.vector(&bias)?);
            let product = self.g.matmul(&format!("{name}/MatMul"), &x, &weight);
            let sum = self.g.add(&format!("{name}/Add"), &product, &bias);
            let norm = format!("{MASK_PROMPT}.{norm}");
            let normed = self.layer_norm(&sum, &norm, EPSILON)?;
            x = self.g.gelu(&format!("{norm}/Gelu"), &normed);
            inputs = outputs;
        }
        Ok(x)
    }

    /// `[P, 16]` through a product of parameters.
    fn mask_product(&mut self, hidden: &Edge, name: &str, product: (Array2<f32>, Array1<f32>)) -> Edge {
        let (weight, bias) = product;
        debug_assert!(weight.nrows() <= CHANNELS);
        let weight = self.g.weight(&format!("mask/{name}.weight.T"), &weight.reversed_axes());
        let bias = self.g.weight(&format!("mask/{name}.bias"), &bias);
        let product = self.g.matmul(&format!("mask/{name}/MatMul"), hidden, &weight);
        self.g.add(&format!("mask/{name}/Add"), &product, &bias)
    }
}
