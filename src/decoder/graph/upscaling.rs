//! From image tokens to logits: two transposed convolutions and the product with the hypernetworks' weights.
//!
//! A transposed convolution of kernel 2 and stride 2 maps every pixel to a block of 2 x 2 on its own: on token-major
//! data it is one matrix product, whose result stays in block order (see the parent module).

use ndarray::{Array2, Axis};

use super::builder::Edge;
use super::layers::Net;
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{CHANNELS, HALF_CHANNELS, MASKS, QUARTER_CHANNELS};

/// Epsilon of the LayerNorm between the two upscalings, and of those of a mask prompt (Meta's `LayerNorm2d`).
pub(super) const EPSILON: f32 = 1e-6;
/// Pixels of a 2 x 2 block.
pub(super) const BLOCK: usize = 4;
const FIRST: &str = "mask_decoder.output_upscaling.0";
const NORM: &str = "mask_decoder.output_upscaling.1";
const SECOND: &str = "mask_decoder.output_upscaling.3";

impl Net<'_> {
    /// Keys `[1, P, 256]` to logits `[1, 4, 4 grid, 4 grid]` on channels-first maps, as usual.
    pub fn usual_upscaling(
        &mut self,
        keys: &Edge,
        hyper: &Edge,
        maps: Option<[Edge; 2]>,
    ) -> Result<Edge, DecoderError> {
        let grid = self.w.family().grid() as i64;
        let by_channel = self.g.transpose("mask_decoder.upscaling/by_channel", keys, &[0, 2, 1]);
        let image =
            self.g.reshape("mask_decoder.upscaling/image", &by_channel, &[1, CHANNELS as i64, grid, grid]);

        let mut x = self.conv_transpose(&image, FIRST)?;
        if let Some([half, _]) = &maps {
            x = self.g.add("mask_decoder.upscaling/half_map", &x, half);
        }
        let last = self.g.transpose(&format!("{NORM}/channels_last"), &x, &[0, 2, 3, 1]);
        let normed = self.layer_norm(&last, NORM, EPSILON)?;
        let normed = self.g.transpose(&format!("{NORM}/channels_first"), &normed, &[0, 3, 1, 2]);
        let x = self.g.gelu("mask_decoder.output_upscaling.2", &normed);

        let mut x = self.conv_transpose(&x, SECOND)?;
        if let Some([_, quarter]) = &maps {
            x = self.g.add("mask_decoder.upscaling/quarter_map", &x, quarter);
        }
        let x = self.g.gelu("mask_decoder.output_upscaling.4", &x);
        let x = self.g.reshape("mask_decoder.upscaling/pixels", &x, &[1, QUARTER_CHANNELS as i64, -1]);
        let logits = self.g.matmul("mask_decoder.masks/MatMul", hyper, &x);
        Ok(self.g.reshape("mask_decoder.masks", &logits, &[1, MASKS as i64, 4 * grid, 4 * grid]))
    }

    fn conv_transpose(&mut self, x: &Edge, parameter: &str) -> Result<Edge, DecoderError> {
        use super::builder::Attr::Ints;
        let weight = format!("{parameter}.weight");
        let weight = self.g.weight(&weight, &self.w.owned(&weight)?);
        let bias = format!("{parameter}.bias");
        let bias = self.g.weight(&bias, &self.w.vector(&bias)?);
        let attributes = [("kernel_shape", Ints(vec![2, 2])), ("strides", Ints(vec![2, 2]))];
        Ok(self.g.op("ConvTranspose", parameter, &[x, &weight, &bias], &attributes))
    }

    /// Keys `[P, 256]` to logits `[16, 4 P]` in block order: row (mask, dy2, dx2), column (token, dy1, dx1). `maps`
    /// are in block order, `[4 P, 64]` and `[16 P, 32]`.
    pub fn block_upscaling(
        &mut self,
        keys: &Edge,
        hyper: &Edge,
        maps: Option<[Edge; 2]>,
    ) -> Result<Edge, DecoderError> {
        let mut x = self.block_product(keys, FIRST, HALF_CHANNELS)?;
        if let Some([half, _]) = &maps {
            x = self.g.add("mask_decoder.upscaling/half_map", &x, half);
        }
        let x = self.layer_norm(&x, NORM, EPSILON)?;
        let x = self.g.gelu("mask_decoder.output_upscaling.2", &x);

        let mut x = self.block_product(&x, SECOND, QUARTER_CHANNELS)?;
        if let Some([_, quarter]) = &maps {
            x = self.g.add("mask_decoder.upscaling/quarter_map", &x, quarter);
        }
        let x = self.g.gelu("mask_decoder.output_upscaling.4", &x);

        // The four pixels of a block side by side, against the hypernetworks' weights four times on a diagonal: one
        // product with 128 in the sum instead of 32.
        let (masks, channels, block) = (MASKS as i64, QUARTER_CHANNELS as i64, BLOCK as i64);
        let x = self.g.reshape("mask_decoder.masks/blocks", &x, &[-1, block * channels]);
        let diagonal = Array2::<f32>::eye(BLOCK).insert_axis(Axis(2)).insert_axis(Axis(0));
        let diagonal = self.g.weight("mask_decoder.masks/diagonal", &diagonal);
        let hyper = self.g.reshape("mask_decoder.masks/hyper", hyper, &[masks, 1, 1, channels]);
        let hyper = self.g.mul("mask_decoder.masks/hyper_diagonal", &hyper, &diagonal);
        let hyper =
            self.g.reshape("mask_decoder.masks/hyper_rows", &hyper, &[masks * block, block * channels]);
        let x = self.g.transpose("mask_decoder.masks/columns", &x, &[1, 0]);
        Ok(self.g.matmul("mask_decoder.masks/MatMul", &hyper, &x))
    }

    /// Logits in block order `[16, 4 P]` to an image `[1, 4, 4 grid, 4 grid]`.
    pub fn unblocked(&mut self, logits: &Edge) -> Edge {
        let grid = self.w.family().grid() as i64;
        let masks = MASKS as i64;
        let shape = [masks, 2, 2, grid, grid, 2, 2];
        let split = self.g.reshape("mask_decoder.masks/split", logits, &shape);
        // (mask, dy2, dx2, row, column, dy1, dx1) to (mask, row, dy1, dy2, column, dx1, dx2)
        let ordered = self.g.transpose("mask_decoder.masks/ordered", &split, &[0, 3, 5, 1, 4, 6, 2]);
        self.g.reshape("mask_decoder.masks", &ordered, &[1, masks, 4 * grid, 4 * grid])
    }

    /// A map `[1, C, 2 grid, 2 grid]` or `[1, C, 4 grid, 4 grid]` to block order.
    pub fn blocked(&mut self, name: &str, map: &Edge, channels: usize, levels: usize) -> Edge {
        let grid = self.w.family().grid() as i64;
        let channels = channels as i64;
        let (split, order): (Vec<i64>, Vec<i64>) = match levels {
            // (channel, row, dy1, column, dx1) to (row, column, dy1, dx1, channel)
            1 => (vec![channels, grid, 2, grid, 2], vec![1, 3, 2, 4, 0]),
            // (channel, row, dy1, dy2, column, dx1, dx2) to (row, column, dy1, dx1, dy2, dx2, channel)
            _ => (vec![channels, grid, 2, 2, grid, 2, 2], vec![1, 4, 2, 5, 3, 6, 0]),
        };
        let split = self.g.reshape(&format!("{name}/split"), map, &split);
        let ordered = self.g.transpose(&format!("{name}/ordered"), &split, &order);
        self.g.reshape(&format!("{name}/blocks"), &ordered, &[-1, channels])
    }

    /// The transposed convolution as a product: rows `[n, C]` to rows `[4 n, channels]` in block order.
    fn block_product(&mut self, x: &Edge, parameter: &str, channels: usize) -> Result<Edge, DecoderError> {
        let weight = self.w.owned(&format!("{parameter}.weight"))?;
        let inputs = weight.shape()[0];
        // [input, output, dy, dx] to [input, (dy, dx, output)]
        let weight = weight.permuted_axes(vec![0, 2, 3, 1]);
        let weight = weight.as_standard_layout().into_owned();
        let weight = weight
            .into_shape_with_order((inputs, BLOCK * channels))
            .map_err(DecoderError::shape("shape the upscaling"))?;
        let weight = self.g.weight(&format!("{parameter}.weight.blocks"), &weight);
        let bias = self.w.vector(&format!("{parameter}.bias"))?;
        let bias = ndarray::concatenate(Axis(0), &[bias.view(); BLOCK])
            .map_err(DecoderError::shape("repeat the upscaling's bias"))?;
        let bias = self.g.weight(&format!("{parameter}.bias.blocks"), &bias);
        let x = self.g.matmul(&format!("{parameter}/MatMul"), x, &weight);
        let x = self.g.add(&format!("{parameter}/Add"), &x, &bias);
        Ok(self.g.reshape(&format!("{parameter}/pixels"), &x, &[-1, channels as i64]))
    }
}
