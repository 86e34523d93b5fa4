//! The arithmetic of the passes: rows of 16 numbers, held in as many vectors as the processor needs for them.
//!
//! Here: the choice of the instruction set when the program runs, element-wise operations, exp, GELU and LayerNorm. Not here:
//! matrix products (`product`), and what is computed with them.

#[cfg(target_arch = "aarch64")]
use super::simd::arm;
#[cfg(target_arch = "x86_64")]
use super::simd::x86;
use super::simd::{Portable, Simd};

/// Image tokens that lie side by side in memory: the lanes of one row. A cache line of `f32`.
pub(super) const PANEL: usize = 16;

/// A row of [`PANEL`] numbers in `V` vectors.
pub(super) type Row<S, const V: usize> = [<S as Simd>::Vector; V];

/// Work that is compiled once for every instruction set.
///
/// `V` vectors make a row; products take `NP` panels at a time, `MR` rows of the left factor where that is packed and
/// `TM` where it is not: what fits into the registers.
pub(super) trait Work {
    type Output;
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        self,
        ops: Ops<S, V>,
    ) -> Self::Output;
}

/// The instruction set of the processor that the program runs on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(arm::Neon),
    Portable(Portable),
}

impl Processor {
    /// Asks the processor.
    pub fn detect() -> Self {
        Self::all().next().unwrap_or(Self::Portable(Portable))
    }

    /// What the instruction set is called.
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "NEON",
            Self::Portable(_) => "portable",
        }
    }

    /// Every instruction set that can be used here, the best first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = [x86::Avx512::detect().map(Self::Avx512), x86::Avx2::detect().map(Self::Avx2)];
        #[cfg(target_arch = "aarch64")]
        let special = [arm::Neon::detect().map(Self::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let special: [Option<Self>; 0] = [];
        special.into_iter().flatten().chain([Self::Portable(Portable)])
    }

    /// Does the work with this instruction set.
    pub fn run<W: Work>(self, work: W) -> W::Output {
        // A product keeps MR x NP or TM x NP rows in registers: 24 of 32 vectors with AVX-512, 12 of 16 with AVX2, 24
        // of 32 with NEON.
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.compiled_for(
                #[inline(always)]
                || work.run::<_, 1, 2, 12, 8>(Ops(simd)),
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.compiled_for(
                #[inline(always)]
                || work.run::<_, 2, 1, 6, 4>(Ops(simd)),
            ),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.compiled_for(
                #[inline(always)]
                || work.run::<_, 4, 1, 6, 4>(Ops(simd)),
            ),
            Self::Portable(simd) => work.run::<_, 4, 1, 6, 4>(Ops(simd)),
        }
    }

    /// Rows in a block of a packed left factor.
    pub fn block(self) -> usize {
        self.run(Block)
    }
}

struct Block;

impl Work for Block {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        self,
        _: Ops<S, V>,
    ) -> usize {
        MR
    }
}

/// `values` as rows; what does not fill a row at the end is left out.
#[inline(always)]
pub(super) fn rows<S: Simd, const V: usize>(values: &[f32]) -> &[Row<S, V>] {
    S::vectors(values).as_chunks().0
}

/// `values` as rows to be written.
#[inline(always)]
pub(super) fn rows_mut<S: Simd, const V: usize>(values: &mut [f32]) -> &mut [Row<S, V>] {
    S::vectors_mut(values).as_chunks_mut().0
}

/// `N` neighbours among parts of `len`, from part `first` on.
#[inline(always)]
pub(super) fn parts<T, const N: usize>(values: &[T], len: usize, first: usize) -> [&[T]; N] {
    let mut parts = [&values[..0]; N];
    for i in 0..N {
        parts[i] = &values[(first + i) * len..][..len];
    }
    parts
}

/// An operation on two rows. (Closures and the adapters that take them are no place for vectors: what is not inlined
/// is compiled for the least of processors.)
macro_rules! element_wise {
    ($name:ident) => {
        #[inline(always)]
        pub fn $name(self, a: Row<S, V>, b: Row<S, V>) -> Row<S, V> {
            let mut out = a;
            for i in 0..V {
                out[i] = self.0.$name(a[i], b[i]);
            }
            out
        }
    };
}

/// Operations on rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ops<S, const V: usize>(pub S);

/// The highest power of the polynomial in [`Ops::gelu`], and half the width of its interval.
const GELU_REACH: f32 = 5.25;
/// Minimax polynomial of (Phi(x) - 1/2) / x in t = 2 (x / 5.25)^2 - 1, lowest power first; the error of x Phi(x)
/// without rounding is 4e-8.
const GELU: [f32; 15] = [
    0.134_659_35,
    -0.067_126_77,
    0.049_645_677,
    -0.039_764_848,
    0.032_033_99,
    -0.025_027_907,
    0.018_517_792,
    -0.012_832_941,
    0.008_495_442,
    -0.005_335_028,
    0.002_749_178,
    -0.001_145_261,
    0.000_792_432_17,
    -0.000_619_136_7,
    0.000_196_118_62,
];

impl<S: Simd, const V: usize> Ops<S, V> {
    #[inline(always)]
    pub fn splat(self, x: f32) -> Row<S, V> {
        [self.0.splat(x); V]
    }

    element_wise!(add);
    element_wise!(sub);
    element_wise!(mul);
    element_wise!(div);
    element_wise!(max);
    element_wise!(min);

    #[inline(always)]
    pub fn sqrt(self, mut a: Row<S, V>) -> Row<S, V> {
        for x in &mut a {
            *x = self.0.sqrt(*x);
        }
        a
    }

    /// `a b + c`, rounded once where the processor can.
    #[inline(always)]
    pub fn mul_add(self, a: Row<S, V>, b: Row<S, V>, c: Row<S, V>) -> Row<S, V> {
        let mut out = c;
        for i in 0..V {
            out[i] = self.0.mul_add(a[i], b[i], c[i]);
        }
        out
    }

    /// Row `k` of every panel.
    #[inline(always)]
    pub fn across<const N: usize>(self, panels: [&[Row<S, V>]; N], k: usize) -> [Row<S, V>; N] {
        let mut rows = [self.splat(0.0); N];
        for j in 0..N {
            rows[j] = panels[j][k];
        }
        rows
    }

    /// The largest of a row.
    #[inline(always)]
    pub fn largest(self, a: Row<S, V>) -> f32 {
        let mut largest = a[0];
        for x in &a[1..] {
            largest = self.0.max(largest, *x);
        }
        self.0.largest(largest)
    }

    /// The sum of a row.
    #[inline(always)]
    pub fn sum(self, a: Row<S, V>) -> f32 {
        let mut sum = a[0];
        for x in &a[1..] {
            sum = self.0.add(sum, *x);
        }
        self.0.sum(sum)
    }

    /// e^x for x <= 0, with a relative error of 2e-7; below -87, where it is almost the smallest `f32`, that of -87.
    ///
    /// Cephes' `expf`: x = n ln 2 + r, a polynomial for e^r, n added to the exponent.
    #[inline(always)]
    pub fn exp(self, x: Row<S, V>) -> Row<S, V> {
        // Adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        let x = self.max(x, self.splat(-87.0));
        let shifted = self.mul_add(x, self.splat(std::f32::consts::LOG2_E), self.splat(ROUND));
        let n = self.sub(shifted, self.splat(ROUND));
        let r = self.mul_add(n, self.splat(-0.693_359_4), x);
        let r = self.mul_add(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
            p = self.mul_add(p, r, self.splat(c));
        }
        let mut out = p;
        for i in 0..V {
            out[i] = self.0.scale(p[i], shifted[i]);
        }
        out
    }

    /// x Phi(x), the exact GELU, with an error below 1e-6 + 1.2e-7 |x|.
    #[inline(always)]
    pub fn gelu(self, x: Row<S, V>) -> Row<S, V> {
        #[cfg(debug_assertions)]
        if super::broken::is_broken() {
            return self.max(x, self.splat(0.0));
        }
        let near = self.min(self.max(x, self.splat(-GELU_REACH)), self.splat(GELU_REACH));
        let scale = self.splat(2.0 / (GELU_REACH * GELU_REACH));
        let t = self.mul_add(self.mul(near, scale), near, self.splat(-1.0));
        let mut p = self.splat(GELU[GELU.len() - 1]);
        for c in GELU.iter().rev().skip(1) {
            p = self.mul_add(p, t, self.splat(*c));
        }
        let phi = self.mul_add(p, near, self.splat(0.5));
        self.mul(x, phi)
    }

    #[inline(always)]
    fn gelu_four(self, x: [Row<S, V>; 4]) -> [Row<S, V>; 4] {
        [self.gelu(x[0]), self.gelu(x[1]), self.gelu(x[2]), self.gelu(x[3])]
    }

    /// The sum of two lists of rows, row by row: image tokens and their positions.
    #[inline(always)]
    pub fn add_all(self, out: &mut [Row<S, V>], a: &[Row<S, V>], b: &[Row<S, V>]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = self.add(*a, *b);
        }
    }

    /// [`gelu`](Self::gelu) of every row.
    #[inline(always)]
    pub fn gelu_all(self, rows: &mut [Row<S, V>]) {
        // Four rows at a time: the polynomial is a chain of dependent operations.
        let (fours, rest) = rows.as_chunks_mut::<4>();
        for four in fours {
            *four = self.gelu_four(*four);
        }
        for row in rest {
            *row = self.gelu(*row);
        }
    }
}

impl<S: Simd, const V: usize> Ops<S, V> {
    /// LayerNorm down the rows, for every lane.
    #[inline(always)]
    pub fn norm(self, rows: &mut [Row<S, V>], weight: &[f32], bias: &[f32], epsilon: f32) {
        let share = self.splat((rows.len() as f32).recip());
        let mean = self.mul(
            self.sum_of(
                rows,
                #[inline(always)]
                |x| x,
            ),
            share,
        );
        let variance = self.mul(
            self.sum_of(
                rows,
                #[inline(always)]
                |x| {
                    let x = self.sub(x, mean);
                    self.mul(x, x)
                },
            ),
            share,
        );
        let deviation = self.sqrt(self.add(variance, self.splat(epsilon)));
        let scale = self.div(self.splat(1.0), deviation);
        for ((row, weight), bias) in rows.iter_mut().zip(weight).zip(bias) {
            let x = self.mul(self.sub(*row, mean), scale);
            *row = self.mul_add(x, self.splat(*weight), self.splat(*bias));
        }
    }

    /// The sum of `f` of every row, in four parts that do not wait for each other.
    #[inline(always)]
    fn sum_of(self, rows: &[Row<S, V>], f: impl Fn(Row<S, V>) -> Row<S, V>) -> Row<S, V> {
        let mut sums = [self.splat(0.0); 4];
        for four in rows.as_chunks::<4>().0 {
            for i in 0..4 {
                sums[i] = self.add(sums[i], f(four[i]));
            }
        }
        self.add(self.add(sums[0], sums[1]), self.add(sums[2], sums[3]))
    }
}
