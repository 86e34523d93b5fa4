//! The fused executor's own parts; that it computes what the graphs compute is tested beside them.

use super::lanes::{Ops, PANEL, Processor, Work, rows, rows_mut};
use super::simd::Simd;
use super::*;
use crate::decoder::tests::{chip, difference, masked, prompt};

/// exp and GELU of every value.
struct Functions<'a> {
    x: &'a [f32],
    exp: &'a mut [f32],
    gelu: &'a mut [f32],
}

impl Work for Functions<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let (exp, gelu) = (rows_mut::<S, V>(self.exp), rows_mut::<S, V>(self.gelu));
        for (i, x) in rows::<S, V>(self.x).iter().enumerate() {
            exp[i] = ops.exp(*x);
            gelu[i] = *x;
        }
        ops.gelu_all(gelu);
    }
}

/// Phi by the continued fraction and the series of the error function, in double precision.
fn normal_distribution(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let upper = if z < 3.0 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        0.5 - sum / std::f64::consts::PI.sqrt()
    } else {
        let fraction = (1..200).rev().fold(z, |f, k| z + f64::from(k) / 2.0 / f);
        0.5 * (-z * z).exp() / (std::f64::consts::PI.sqrt() * fraction)
    };
    if x > 0.0 { 1.0 - upper } else { upper }
}

#[test]
fn exp_and_gelu_keep_the_stated_bounds() {
    let x: Vec<f32> = (0..64 * 4096).map(|i| (i as f32 / 4096.0 - 32.0) * 3.0).collect();
    for processor in Processor::all() {
        let (mut exp, mut gelu) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        processor.run(Functions { x: &x, exp: &mut exp, gelu: &mut gelu });
        for ((x, exp), gelu) in x.iter().zip(exp).zip(gelu) {
            let x = f64::from(*x);
            if x <= 0.0 {
                let expected = x.max(-87.0).exp();
                assert!((f64::from(exp) - expected).abs() <= 2e-7 * expected, "exp({x}) is not {exp}");
            }
            let expected = x * normal_distribution(x);
            let error = (f64::from(gelu) - expected).abs();
            assert!(error <= 1e-6 + 1.2e-7 * x.abs(), "GELU({x}) is {expected}, not {gelu}");
        }
    }
    assert_eq!(x.len() % PANEL, 0);
}

#[test]
fn every_instruction_set_gives_the_same_answer_but_for_rounding() {
    for family in Family::ALL {
        let (weights, chip) = (Weights::random(family, 1), chip(family));
        // Few tokens and many, with a mask and without.
        let prompts =
            [prompt(family, 2), masked(family, 4), prompt(family, 9), prompt(family, 14), masked(family, 22)];
        let answers = |processor: Processor| {
            let decoder = FusedDecoder::on(processor, &weights, family, 1).unwrap();
            let prepared = decoder.prepare(&chip).unwrap();
            prompts.each_ref().map(|prompt| decoder.decode(&prepared, prompt).unwrap())
        };
        let best = answers(Processor::detect());
        for processor in Processor::all().skip(1) {
            for (i, (answer, best)) in answers(processor).iter().zip(&best).enumerate() {
                let difference = difference(answer, best);
                assert!(difference < 2e-5, "{family}, {processor:?}, prompt {i}: {difference}");
            }
        }
    }
}

#[test]
fn many_prompts_give_the_answers_of_each_alone_on_any_number_of_threads() {
    let family = Family::Sam;
    let prompts: Vec<FramePrompt> =
        [2, 3, 2, 20, 5].map(|n| prompt(family, n)).into_iter().chain([masked(family, 2)]).collect();
    let weights = Weights::random(family, 1);
    let decoder = |threads| FusedDecoder::new(&weights, family, threads).unwrap();
    let one = decoder(1);
    let prepared = one.prepare(&chip(family)).unwrap();
    let alone: Vec<_> = prompts.iter().map(|prompt| Some(one.decode(&prepared, prompt).unwrap())).collect();
    for threads in [1, 2, 20] {
        assert_eq!(
            decoder(threads).decode_many(&prepared, &prompts, Keep::ALL).unwrap(),
            alone,
            "{threads} threads"
        );
    }
}
