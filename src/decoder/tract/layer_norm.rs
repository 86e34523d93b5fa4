//! LayerNormalization as one operation, a row at a time.
//!
//! Of tract's own operations it would be seven, each of which goes through all of memory; and of the last two, weight and bias of a
//! row, tract 0.23.9 makes a chain that takes 4 to 8 ms for 4096 rows, a quarter of a decode. Which norms there are
//! is not here (`graph`), nor how ONNX names them (`operators`).

use tract_linalg::multithread::par_chunks_mut;
use tract_onnx::tract_hir::internal::*;

/// Over the last axis: input, weight and bias of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerNorm {
    pub epsilon: f32,
}

/// An epsilon is a number.
impl Eq for LayerNorm {}

impl Op for LayerNorm {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    op_as_typed_op!();
}

impl EvalOp for LayerNorm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, weight, bias) = args_3!(inputs);
        let mut tensor = input.into_tensor();
        let mut view = tensor.try_as_plain_ram_mut()?;
        let rows = view.as_slice_mut::<f32>()?;
        let (weight, bias) = (weight.try_as_plain_ram()?, bias.try_as_plain_ram()?);
        let (weight, bias) = (weight.as_slice::<f32>()?, bias.as_slice::<f32>()?);
        ensure!(!weight.is_empty() && weight.len() == bias.len() && rows.len() % weight.len() == 0);
        let total = rows.len();
        par_chunks_mut(rows, weight.len(), total, |_, rows| {
            rows.chunks_exact_mut(weight.len()).for_each(|row| norm(row, weight, bias, self.epsilon));
            Ok(())
        })?;
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for LayerNorm {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }
}

fn norm(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let length = row.len() as f32;
    let mean = sum(row, |x| x) / length;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / length;
    let scale = (variance + epsilon).sqrt().recip();
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

/// In lanes, which processors have; one sum alone would wait for itself.
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = row.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for values in whole {
        lanes.iter_mut().zip(values).for_each(|(lane, &x)| *lane += of(x));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| of(x)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::XorShift;

    #[test]
    fn a_row_has_the_mean_and_deviation_of_its_bias_and_weight_whatever_its_length() {
        let mut random = XorShift::new(1);
        for length in [1, 5, 16, 31, 64, 256] {
            let row: Vec<f32> = (0..length).map(|_| 3.0 + 2.0 * random.symmetric()).collect();
            let of_doubles = |values: &[f64]| values.iter().sum::<f64>() / length as f64;
            let exact: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let mean = of_doubles(&exact);
            let variance = of_doubles(&exact.iter().map(|x| (x - mean).powi(2)).collect::<Vec<_>>());
            let mut normed = row.clone();
            norm(&mut normed, &vec![0.5; length], &vec![7.0; length], 1e-5);
            for (normed, x) in normed.iter().zip(exact) {
                let expected = (x - mean) / (variance + 1e-5).sqrt() * 0.5 + 7.0;
                assert!((f64::from(*normed) - expected).abs() < 1e-5, "{normed} instead of {expected}");
            }
        }
    }
}
