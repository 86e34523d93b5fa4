//! The hot loops of the fused executor, each in a function of its own: what `neon.py` compiles for aarch64 and gives to
//! llvm-mca. The code is the program's, with the numbers of rows and panels that it takes for NEON.
//!
//! `rustc` compiles this file alone; it is no part of the crate.

#![allow(dead_code, private_interfaces, reason = "each module is used in part")]

#[path = "../../src/decoder/fused/lanes.rs"]
mod lanes;
#[path = "../../src/decoder/fused/product.rs"]
mod product;
#[path = "../../src/decoder/fused/simd.rs"]
mod simd;

use lanes::{Ops, rows, rows_mut};
use product::{Packed, accumulate, product, product_by_lane, product_of_head};
use simd::arm::Neon;

/// Vectors in a row, panels and rows of a product: `lanes::Processor::run`.
const V: usize = 4;
const NP: usize = 1;
const MR: usize = 6;
const TM: usize = 4;

/// Both upscalings, the image tokens' queries and the tokens' values.
#[inline(never)]
pub fn packed_product(neon: Neon, left: &Packed, right: &[f32], out: &mut [f32]) {
    let out = rows_mut::<Neon, V>(out);
    product::<Neon, V, NP, MR>(
        Ops(neon),
        left,
        [rows::<Neon, V>(right)],
        #[inline(always)]
        |row, [sum]| out[row] = sum,
    );
}

/// Scores of the image tokens for the tokens.
#[inline(never)]
pub fn scores_by_lane(neon: Neon, left: &[f32], right: &[f32], out: &mut [f32]) {
    let out = rows_mut::<Neon, V>(out);
    product_by_lane::<Neon, V, NP, TM>(
        Ops(neon),
        left,
        [rows::<Neon, V>(right)],
        #[inline(always)]
        |lane, [sum]| out[lane] = sum,
    );
}

/// What the image tokens give the tokens, added to what came before.
#[inline(never)]
pub fn accumulated(neon: Neon, left: &[f32], right: &[f32], sums: &mut [f32]) {
    let ops = Ops(neon);
    let scale = [ops.splat(0.5)];
    accumulate::<Neon, V, NP, 1, MR>(ops, [left], [rows::<Neon, V>(right)], scale, [rows_mut::<Neon, V>(sums)]);
}

/// Scores of one head of four tokens.
#[inline(never)]
pub fn scores_of_head(neon: Neon, left: &[f32; 64], right: &[f32; 256], out: &mut [f32; 64]) {
    let out = rows_mut::<Neon, V>(out);
    product_of_head::<Neon, V, NP>(
        Ops(neon),
        left,
        [rows::<Neon, V>(right)],
        #[inline(always)]
        |row, [sum]| out[row] = sum,
    );
}

/// The GELU between and behind the upscalings.
#[inline(never)]
pub fn gelu(neon: Neon, values: &mut [f32]) {
    Ops(neon).gelu_all(rows_mut::<Neon, V>(values));
}
