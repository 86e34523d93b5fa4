//! Matrix products in which the left factor is spread and the right one lies in panels of 16 lanes.
//!
//! All are the same outer-product scheme: a block of the result stays in registers while the sum runs. They differ in
//! how the left factor lies in memory.

use super::lanes::{Ops, PANEL, Row, parts};
use super::simd::Simd;

/// A left factor `[rows, depth]`, cut into blocks of rows: `[depth][rows of the block]`, one block after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    values: Vec<f32>,
    rows: usize,
    depth: usize,
    block: usize,
}

impl Packed {
    /// Room for `[rows, depth]` in blocks of `block` rows; kept from before where it suffices. `rows` must be a multiple
    /// of 4.
    pub fn reshape(&mut self, rows: usize, depth: usize, block: usize) {
        debug_assert!(rows.is_multiple_of(4), "{rows} rows");
        (self.rows, self.depth, self.block) = (rows, depth, block);
        self.values.resize(rows * depth, 0.0);
    }

    /// Packs `value(row, column)`.
    pub fn pack(rows: usize, depth: usize, block: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut packed = Self::default();
        packed.reshape(rows, depth, block);
        for row in 0..rows {
            for column in 0..depth {
                let place = packed.place(row, column);
                packed.values[place] = value(row, column);
            }
        }
        packed
    }

    /// Where the value of a row and column lies.
    #[inline(always)]
    pub fn place(&self, row: usize, column: usize) -> usize {
        let start = row / self.block * self.block;
        let height = self.block.min(self.rows - start);
        start * self.depth + column * height + row - start
    }

    /// The values, to be written at their [`place`](Self::place).
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

/// `left * right`: `right` is `[depth]` rows in each of `NP` panels. `each` gets the rows of the result one by one.
#[inline(always)]
pub(super) fn product<S: Simd, const V: usize, const NP: usize, const MR: usize>(
    ops: Ops<S, V>,
    left: &Packed,
    right: [&[Row<S, V>]; NP],
    mut each: impl FnMut(usize, [Row<S, V>; NP]),
) {
    debug_assert_eq!(left.block, MR);
    let mut start = 0;
    while start < left.rows {
        let height = MR.min(left.rows - start);
        let values = &left.values[start * left.depth..][..height * left.depth];
        match height {
            12 if MR == 12 => block::<S, V, NP, 12>(ops, values, right, start, &mut each),
            8 if MR == 12 => block::<S, V, NP, 8>(ops, values, right, start, &mut each),
            6 if MR == 6 => block::<S, V, NP, 6>(ops, values, right, start, &mut each),
            4 => block::<S, V, NP, 4>(ops, values, right, start, &mut each),
            // Multiples of 4 leave nothing else over.
            _ => block::<S, V, NP, 2>(ops, values, right, start, &mut each),
        }
        start += height;
    }
}

#[inline(always)]
fn block<S: Simd, const V: usize, const NP: usize, const M: usize>(
    ops: Ops<S, V>,
    left: &[f32],
    right: [&[Row<S, V>]; NP],
    start: usize,
    each: &mut impl FnMut(usize, [Row<S, V>; NP]),
) {
    let left = left.as_chunks::<M>().0;
    let depth = left.len();
    let right = cut(right, depth);
    let mut sums = [[ops.splat(0.0); NP]; M];
    for k in 0..depth {
        let right = ops.across(right, k);
        for i in 0..M {
            let x = ops.splat(left[k][i]);
            for j in 0..NP {
                sums[i][j] = ops.mul_add(x, right[j], sums[i][j]);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        each(start + i, sums);
    }
}

/// The slices, each cut to `len`: the compiler then knows that no index below is too large.
#[inline(always)]
pub(super) fn cut<T, const N: usize>(mut slices: [&[T]; N], len: usize) -> [&[T]; N] {
    for slice in &mut slices {
        *slice = &slice[..len];
    }
    slices
}

/// The transposed product of one panel: the left factor is the panel `[depth][16]` itself, of which columns `16 i` to
/// `16 i + 15` become rows of the result, `right` is `[depth]` rows in each of `N` panels. `each` gets the row of the
/// result that belongs to a lane.
#[inline(always)]
pub(super) fn product_by_lane<S: Simd, const V: usize, const N: usize, const TM: usize>(
    ops: Ops<S, V>,
    left: &[f32],
    right: [&[Row<S, V>]; N],
    mut each: impl FnMut(usize, [Row<S, V>; N]),
) {
    let left = left.as_chunks::<PANEL>().0;
    let depth = left.len();
    let right = cut(right, depth);
    for start in (0..PANEL).step_by(TM) {
        let mut sums = [[ops.splat(0.0); N]; TM];
        for k in 0..depth {
            let right = ops.across(right, k);
            let left: &[f32; TM] = &left[k].as_chunks().0[start / TM];
            for i in 0..TM {
                let x = ops.splat(left[i]);
                for j in 0..N {
                    sums[i][j] = ops.mul_add(x, right[j], sums[i][j]);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            each(start + i, sums);
        }
    }
}

/// `scale sums + left right^T` over the lanes of one or more panels: `left` and `right` are panels `[rows][16]` and
/// `[16]` rows, `sums` `[rows]` rows in each of `N` panels.
///
/// `left` gives the panels one by one, each whole.
#[inline(always)]
pub(super) fn accumulate<S: Simd, const V: usize, const NP: usize, const N: usize, const MR: usize>(
    ops: Ops<S, V>,
    left: [&[f32]; NP],
    right: [&[Row<S, V>]; NP],
    scale: [Row<S, V>; N],
    mut sums: [&mut [Row<S, V>]; N],
) {
    let rows = sums[0].len();
    let mut start = 0;
    while start < rows {
        let height = MR.min(rows - start);
        match height {
            12 if MR == 12 => accumulate_block::<S, V, NP, N, 12>(ops, left, right, scale, &mut sums, start),
            8 if MR == 12 => accumulate_block::<S, V, NP, N, 8>(ops, left, right, scale, &mut sums, start),
            6 if MR == 6 => accumulate_block::<S, V, NP, N, 6>(ops, left, right, scale, &mut sums, start),
            4 => accumulate_block::<S, V, NP, N, 4>(ops, left, right, scale, &mut sums, start),
            _ => accumulate_block::<S, V, NP, N, 2>(ops, left, right, scale, &mut sums, start),
        }
        start += height;
    }
}

#[inline(always)]
fn accumulate_block<S: Simd, const V: usize, const NP: usize, const N: usize, const M: usize>(
    ops: Ops<S, V>,
    left: [&[f32]; NP],
    right: [&[Row<S, V>]; NP],
    scale: [Row<S, V>; N],
    out: &mut [&mut [Row<S, V>]; N],
    start: usize,
) {
    let mut sums = [[ops.splat(0.0); N]; M];
    for j in 0..N {
        let out = &out[j][start..][..M];
        for i in 0..M {
            sums[i][j] = ops.mul(out[i], scale[j]);
        }
    }
    for panel in 0..NP {
        let left = &left[panel].as_chunks::<PANEL>().0[start..][..M];
        let right: [&[Row<S, V>]; N] = parts(right[panel], PANEL, 0);
        for k in 0..PANEL {
            let right = ops.across(right, k);
            for i in 0..M {
                let x = ops.splat(left[i][k]);
                for j in 0..N {
                    sums[i][j] = ops.mul_add(x, right[j], sums[i][j]);
                }
            }
        }
    }
    for j in 0..N {
        let out = &mut out[j][start..][..M];
        for i in 0..M {
            out[i] = sums[i][j];
        }
    }
}

/// The product of one head of four tokens: `left` is `[16][4]`, `right` `[16]` rows in each of `NP` panels.
#[inline(always)]
pub(super) fn product_of_head<S: Simd, const V: usize, const NP: usize>(
    ops: Ops<S, V>,
    left: &[f32],
    right: [&[Row<S, V>]; NP],
    mut each: impl FnMut(usize, [Row<S, V>; NP]),
) {
    block::<S, V, NP, 4>(ops, left, right, 0, &mut each);
}
