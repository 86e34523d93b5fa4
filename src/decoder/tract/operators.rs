//! The ONNX operators that our split graphs are made of, as tract's own operations.
//!
//! tract-onnx has a table of all that ONNX has, which keeps every operation of tract in the program: 10 MB on a board,
//! of which these graphs need eighteen operators. So this table takes the place of the whole one
//! (docs/decisions/2026-11-29-tract-on-every-board.md). That it means the same is tested: the usual graph, to which all
//! answers are compared, is loaded with the whole table.

use tract_onnx::model::{OnnxOpRegister, ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops;

use super::layer_norm::LayerNorm;

/// An operation, and the names of the outer edges that it takes in, of which we have none.
type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// The operators.
pub(super) fn register() -> OnnxOpRegister {
    let mut all = OnnxOpRegister::default();
    all.insert("Identity", |_, _| built(Box::<ops::identity::Identity>::default()));
    all.insert("Add", |_, _| built(ops::math::Add.into_hir()));
    all.insert("Sub", |_, _| built(ops::math::Sub.into_hir()));
    all.insert("Mul", |_, _| built(ops::math::Mul.into_hir()));
    all.insert("Div", |_, _| built(ops::math::Div.into_hir()));
    all.insert("Max", |_, _| built(Box::new(ops::binary::Nary(Box::new(ops::math::Max), false))));
    all.insert("Exp", |_, _| built(ops::math::exp().into_hir()));
    all.insert("Erf", |_, _| built(ops::math::erf().into_hir()));
    all.insert("Sigmoid", |_, _| built(ops::nn::sigmoid().into_hir()));
    all.insert("Relu", |_, _| built(expand(ops::activations::Clip::new(Some(0.0), None))));
    all.insert("MatMul", |_, _| built(expand(ops::matmul::MatMulInference::default())));
    all.insert("Reshape", |_, _| built(expand(ops::array::Reshape::new(false))));
    all.insert("Transpose", |_, node| {
        let permutation = node.get_attr_opt_vec("perm")?;
        built(expand(ops::array::PermuteAxes::new(permutation.map(Into::into))))
    });
    all.insert("Concat", |_, node| built(expand(ops::array::Concat::new(node.get_attr("axis")?))));
    all.insert("Slice", slice);
    all.insert("Softmax", |_, node| built(expand(ops::nn::Softmax::new(node.get_attr("axis")?))));
    all.insert("ReduceSum", reduce_sum);
    all.insert("LayerNormalization", |_, node| {
        built(expand(LayerNormalization { axis: node.get_attr("axis")?, epsilon: node.get_attr("epsilon")? }))
    });
    all
}

fn built(operation: Box<dyn InferenceOp>) -> Built {
    Ok((operation, Vec::new()))
}

/// Starts, ends and axes are inputs.
fn slice(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let mut optional = optional_inputs(node).skip(3);
    let mut next = || optional.next().flatten();
    built(Box::new(ops::array::StridedSlice {
        begin_mask: 0,
        end_mask: 0,
        shrink_axis_mask: 0,
        optional_axes_input: next(),
        optional_steps_input: next(),
    }))
}

/// The axes are the second input (since operator set 13), in our graphs always a constant.
fn reduce_sum(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let graph = context.model.graph.as_ref().context("a model without a graph")?;
    let name = node.input.get(1).context("ReduceSum without axes")?;
    let axes = graph.initializer.iter().find(|tensor| tensor.name == *name);
    let axes = context.load_tensor(axes.context("axes of ReduceSum that are no constant")?)?;
    let axes = axes.try_as_plain_ram()?.as_slice::<i64>()?.to_vec();
    built(expand(SumOver { axes }))
}

/// An axis counted from the end, if it is negative.
fn axis_of(axis: i64, rank: usize) -> usize {
    usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).unwrap_or(rank)
}

/// The sum over some axes, which stay as axes of length one.
#[derive(Debug, Clone)]
struct SumOver {
    axes: Vec<i64>,
}

impl Expansion for SumOver {
    fn name(&self) -> StaticName {
        "SumOver".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.given(&inputs[0].shape, move |solver, mut shape| {
            for axis in &self.axes {
                let axis = axis_of(*axis, shape.len());
                *shape.get_mut(axis).context("an axis of ReduceSum that is not there")? = 1.to_dim();
            }
            solver.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let axes = self.axes.iter().map(|axis| axis_of(*axis, rank)).collect();
        model.wire_node(prefix, Reduce { axes, reducer: Reducer::Sum }, &inputs[..1])
    }
}

/// LayerNormalization over the last axis: input, weight, bias.
#[derive(Debug, Clone)]
struct LayerNormalization {
    axis: i64,
    epsilon: f32,
}

impl Expansion for LayerNormalization {
    fn name(&self) -> StaticName {
        "LayerNormalization".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        check_output_arity(outputs, 1)?;
        for other in [&inputs[1], &inputs[2], &outputs[0]] {
            solver.equals(&inputs[0].datum_type, &other.datum_type)?;
        }
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        ensure!(axis_of(self.axis, rank) + 1 == rank, "a norm over more than the last axis");
        model.wire_node(prefix, LayerNorm { epsilon: self.epsilon }, inputs)
    }
}
