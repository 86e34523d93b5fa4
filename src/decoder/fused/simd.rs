//! Vectors of `f32`, and the instruction sets that compute with them: AVX-512, AVX2 with FMA, NEON, and whatever the
//! compiler makes of short arrays.
//!
//! This is the only `unsafe` code of the decoder (docs/decisions/2026-11-24-fused-decoder.md). It is sound for two reasons: a vector is an array of `f32`, as plain
//! as the values in a slice; and a token of an instruction set exists only where the processor was asked and has it.
//!
//! Here: single operations on single vectors. Not here: anything made of them (`lanes`).

use std::fmt::Debug;

/// The operations of one instruction set; the value is the proof that the processor has it.
///
/// All are inlined: they become single instructions only inside a function that is compiled for the instruction set,
/// see [`Processor::run`](super::lanes::Processor::run).
pub(super) trait Simd: Copy + Debug + Send + Sync + 'static {
    /// One vector.
    type Vector: Copy + Debug;
    /// Numbers in a vector.
    const LANES: usize;

    /// `values` as vectors; what does not fill a vector at the end is left out.
    fn vectors(values: &[f32]) -> &[Self::Vector];
    fn vectors_mut(values: &mut [f32]) -> &mut [Self::Vector];

    fn splat(self, x: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Either one where one is not a number.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Either one where one is not a number.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sqrt(self, a: Self::Vector) -> Self::Vector;
    /// `a b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a 2^n`, the integer n standing in the lowest bits of `n`, by addition to the exponent.
    fn scale(self, a: Self::Vector, n: Self::Vector) -> Self::Vector;
    /// The sum of the lanes.
    fn sum(self, a: Self::Vector) -> f32;
    /// The largest of the lanes.
    fn largest(self, a: Self::Vector) -> f32;
}

/// Bits of an `f32` below the exponent.
const MANTISSA: u32 = 23;

/// What every instruction set has in common: vectors are arrays.
macro_rules! arrays {
    ($lanes:literal) => {
        type Vector = [f32; $lanes];
        const LANES: usize = $lanes;

        #[inline(always)]
        fn vectors(values: &[f32]) -> &[Self::Vector] {
            values.as_chunks().0
        }

        #[inline(always)]
        fn vectors_mut(values: &mut [f32]) -> &mut [Self::Vector] {
            values.as_chunks_mut().0
        }
    };
}

/// Operations that are one intrinsic each.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! intrinsics {
    ($register:ty: $($name:ident($($argument:ident),+) = $intrinsic:ident;)+) => {
        $(
            #[inline(always)]
            fn $name(self, $($argument: Self::Vector),+) -> Self::Vector {
                // SAFETY: `self` proves that the processor has the instruction. Vector registers and arrays of as many
                // `f32` have the same size, and all bits are valid in both.
                unsafe {
                    let result = $intrinsic($(transmute::<Self::Vector, $register>($argument)),+);
                    transmute::<$register, Self::Vector>(result)
                }
            }
        )+
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::{MANTISSA, Simd};

    /// AVX-512 F.
    #[derive(Debug, Clone, Copy)]
    pub struct Avx512(());

    /// AVX2 and FMA.
    #[derive(Debug, Clone, Copy)]
    pub struct Avx2(());

    impl Avx512 {
        pub fn detect() -> Option<Self> {
            is_x86_feature_detected!("avx512f").then_some(Self(()))
        }

        /// Calls `f`, compiled with these instructions if it is always inlined.
        #[inline(always)]
        pub fn compiled_for<R>(self, f: impl FnOnce() -> R) -> R {
            #[target_feature(enable = "avx512f")]
            fn call<R>(f: impl FnOnce() -> R) -> R {
                f()
            }
            // SAFETY: `self` proves that the processor has the feature.
            unsafe { call(f) }
        }
    }

    impl Avx2 {
        pub fn detect() -> Option<Self> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
        }

        /// Calls `f`, compiled with these instructions if it is always inlined.
        #[inline(always)]
        pub fn compiled_for<R>(self, f: impl FnOnce() -> R) -> R {
            #[target_feature(enable = "avx2,fma")]
            fn call<R>(f: impl FnOnce() -> R) -> R {
                f()
            }
            // SAFETY: `self` proves that the processor has the features.
            unsafe { call(f) }
        }
    }

    impl Simd for Avx512 {
        arrays!(16);

        intrinsics! { __m512:
            add(a, b) = _mm512_add_ps;
            sub(a, b) = _mm512_sub_ps;
            mul(a, b) = _mm512_mul_ps;
            div(a, b) = _mm512_div_ps;
            max(a, b) = _mm512_max_ps;
            min(a, b) = _mm512_min_ps;
            sqrt(a) = _mm512_sqrt_ps;
            mul_add(a, b, c) = _mm512_fmadd_ps;
        }

        #[inline(always)]
        fn splat(self, x: f32) -> Self::Vector {
            // SAFETY: as for `intrinsics`.
            unsafe { transmute::<__m512, Self::Vector>(_mm512_set1_ps(x)) }
        }

        #[inline(always)]
        fn scale(self, a: Self::Vector, n: Self::Vector) -> Self::Vector {
            // SAFETY: as for `intrinsics`; integers have no invalid bits either.
            unsafe {
                let n = _mm512_slli_epi32::<MANTISSA>(transmute::<Self::Vector, __m512i>(n));
                let sum = _mm512_add_epi32(transmute::<Self::Vector, __m512i>(a), n);
                transmute::<__m512i, Self::Vector>(sum)
            }
        }

        #[inline(always)]
        fn sum(self, a: Self::Vector) -> f32 {
            // SAFETY: as for `intrinsics`.
            unsafe { _mm512_reduce_add_ps(transmute::<Self::Vector, __m512>(a)) }
        }

        #[inline(always)]
        fn largest(self, a: Self::Vector) -> f32 {
            // SAFETY: as for `intrinsics`.
            unsafe { _mm512_reduce_max_ps(transmute::<Self::Vector, __m512>(a)) }
        }
    }

    impl Simd for Avx2 {
        arrays!(8);

        intrinsics! { __m256:
            add(a, b) = _mm256_add_ps;
            sub(a, b) = _mm256_sub_ps;
            mul(a, b) = _mm256_mul_ps;
            div(a, b) = _mm256_div_ps;
            max(a, b) = _mm256_max_ps;
            min(a, b) = _mm256_min_ps;
            sqrt(a) = _mm256_sqrt_ps;
            mul_add(a, b, c) = _mm256_fmadd_ps;
        }

        #[inline(always)]
        fn splat(self, x: f32) -> Self::Vector {
            // SAFETY: as for `intrinsics`.
            unsafe { transmute::<__m256, Self::Vector>(_mm256_set1_ps(x)) }
        }

        #[inline(always)]
        fn scale(self, a: Self::Vector, n: Self::Vector) -> Self::Vector {
            // SAFETY: as for `intrinsics`; integers have no invalid bits either.
            unsafe {
                let n = _mm256_slli_epi32::<{ MANTISSA as i32 }>(transmute::<Self::Vector, __m256i>(n));
                let sum = _mm256_add_epi32(transmute::<Self::Vector, __m256i>(a), n);
                transmute::<__m256i, Self::Vector>(sum)
            }
        }

        #[inline(always)]
        fn sum(self, a: Self::Vector) -> f32 {
            super::folded(a, |a, b| a + b)
        }

        #[inline(always)]
        fn largest(self, a: Self::Vector) -> f32 {
            super::folded(a, f32::max)
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod arm {
    use std::arch::aarch64::*;
    use std::mem::transmute;

    use super::{MANTISSA, Simd};

    /// NEON, which every 64-bit ARM processor has that this program is built for.
    #[derive(Debug, Clone, Copy)]
    pub struct Neon(());

    impl Neon {
        pub fn detect() -> Option<Self> {
            std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
        }

        /// Calls `f`: the instructions need no function of their own.
        #[inline(always)]
        pub fn compiled_for<R>(self, f: impl FnOnce() -> R) -> R {
            f()
        }
    }

    impl Simd for Neon {
        arrays!(4);

        intrinsics! { float32x4_t:
            add(a, b) = vaddq_f32;
            sub(a, b) = vsubq_f32;
            mul(a, b) = vmulq_f32;
            div(a, b) = vdivq_f32;
            max(a, b) = vmaxq_f32;
            min(a, b) = vminq_f32;
            sqrt(a) = vsqrtq_f32;
        }

        #[inline(always)]
        fn splat(self, x: f32) -> Self::Vector {
            [x; 4]
        }

        #[inline(always)]
        fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            // SAFETY: as for `intrinsics`.
            unsafe {
                let a = transmute::<Self::Vector, float32x4_t>(a);
                let b = transmute::<Self::Vector, float32x4_t>(b);
                let c = transmute::<Self::Vector, float32x4_t>(c);
                transmute::<float32x4_t, Self::Vector>(vfmaq_f32(c, a, b))
            }
        }

        #[inline(always)]
        fn scale(self, a: Self::Vector, n: Self::Vector) -> Self::Vector {
            // SAFETY: as for `intrinsics`; integers have no invalid bits either.
            unsafe {
                let n = vshlq_n_s32::<{ MANTISSA as i32 }>(transmute::<Self::Vector, int32x4_t>(n));
                let sum = vaddq_s32(transmute::<Self::Vector, int32x4_t>(a), n);
                transmute::<int32x4_t, Self::Vector>(sum)
            }
        }

        #[inline(always)]
        fn sum(self, a: Self::Vector) -> f32 {
            super::folded(a, |a, b| a + b)
        }

        #[inline(always)]
        fn largest(self, a: Self::Vector) -> f32 {
            super::folded(a, f32::max)
        }
    }
}

/// Four numbers at a time, on any processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

/// Operations lane by lane, which the compiler makes vectors of.
macro_rules! lane_by_lane {
    ($($name:ident($a:ident, $b:ident) = $value:expr;)+) => {
        $(
            #[inline(always)]
            fn $name(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                let mut out = a;
                for i in 0..Self::LANES {
                    let ($a, $b) = (a[i], b[i]);
                    out[i] = $value;
                }
                out
            }
        )+
    };
}

impl Simd for Portable {
    arrays!(4);

    lane_by_lane! {
        add(a, b) = a + b;
        sub(a, b) = a - b;
        mul(a, b) = a * b;
        div(a, b) = a / b;
        max(a, b) = if a > b { a } else { b };
        min(a, b) = if a < b { a } else { b };
        scale(a, n) = f32::from_bits(a.to_bits().wrapping_add(n.to_bits() << MANTISSA));
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::Vector {
        [x; 4]
    }

    #[inline(always)]
    fn sqrt(self, a: Self::Vector) -> Self::Vector {
        [a[0].sqrt(), a[1].sqrt(), a[2].sqrt(), a[3].sqrt()]
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Rounded twice: without the instruction, `f32::mul_add` is a slow call.
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn sum(self, a: Self::Vector) -> f32 {
        folded(a, |a, b| a + b)
    }

    #[inline(always)]
    fn largest(self, a: Self::Vector) -> f32 {
        folded(a, f32::max)
    }
}

/// All lanes folded into one.
#[inline(always)]
fn folded<const N: usize>(lanes: [f32; N], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut folded = lanes[0];
    for lane in &lanes[1..] {
        folded = f(folded, *lane);
    }
    folded
}
