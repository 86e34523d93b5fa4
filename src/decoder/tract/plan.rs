//! One ONNX graph as tract runs it.

use std::sync::Arc;

use prost::Message as _;
use tract_linalg::multithread::Executor;
use tract_onnx::Onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::IntoArcTensor;
use tract_onnx::tract_core::runtime::RunOptions;

use super::operators;
use crate::decoder::error::DecoderError;
use crate::decoder::graph::onnx::ModelProto;

/// An optimised graph, ready to run; threads may share it.
#[derive(Debug)]
pub(in crate::decoder) struct Plan(Arc<TypedRunnableModel>);

impl Plan {
    /// Loads and optimises a split graph. `executor` is where its larger products run.
    pub fn load(model: &ModelProto, executor: &Executor) -> Result<Self, DecoderError> {
        let operators = Onnx { op_register: operators::register(), ..Onnx::default() };
        Self::load_with(operators, model, executor)
    }

    /// Loads any graph of ONNX: with all of tract's operators.
    #[cfg(test)]
    pub fn load_any(model: &ModelProto, executor: &Executor) -> Result<Self, DecoderError> {
        Self::load_with(tract_onnx::onnx(), model, executor)
    }

    fn load_with(operators: Onnx, model: &ModelProto, executor: &Executor) -> Result<Self, DecoderError> {
        let load = || {
            // Through the bytes of a file, so that what is verified is what other runtimes read.
            let bytes = model.encode_to_vec();
            let model = tract_onnx::pb::ModelProto::decode(bytes.as_slice())?;
            // Output shapes may hold symbols that tract's own inference states in another form.
            let model = operators.with_ignore_output_shapes(true).model_for_proto_model(&model)?;
            let options = RunOptions { executor: Some(executor.clone()), ..RunOptions::default() };
            model.into_optimized()?.into_runnable_with_options(&options)
        };
        load().map(Self).map_err(DecoderError::engine("load a decoder graph"))
    }

    /// Runs the graph: inputs and outputs in the order of the graph's own.
    pub fn run(
        &self,
        inputs: impl IntoIterator<Item = Arc<Tensor>>,
    ) -> Result<Vec<Arc<Tensor>>, DecoderError> {
        let inputs = inputs.into_iter().map(TValue::from_const).collect();
        let outputs = self.0.run(inputs).map_err(DecoderError::engine("run a decoder graph"))?;
        Ok(outputs.into_iter().map(IntoArcTensor::into_arc_tensor).collect())
    }
}

/// The values of a tensor of `f32`.
pub(in crate::decoder) fn values(tensor: &Tensor) -> Result<&[f32], DecoderError> {
    let read = || tensor.try_as_plain_ram()?.as_slice::<f32>();
    read().map_err(DecoderError::engine("read a tensor"))
}

/// A tensor from values in row-major order.
pub(in crate::decoder) fn tensor(shape: &[usize], values: &[f32]) -> Result<Arc<Tensor>, DecoderError> {
    Tensor::from_shape(shape, values).map(Arc::new).map_err(DecoderError::engine("make a tensor"))
}
