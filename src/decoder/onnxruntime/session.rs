//! One ONNX graph as ONNX Runtime runs it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::ExecutionProvider as _;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::TensorRef;

use super::OnnxRuntimeOptions;
use crate::decoder::error::DecoderError;

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Who runs a graph.
#[derive(Debug, Clone)]
pub(super) enum Runner {
    /// ONNX Runtime itself, on so many threads.
    Cpu { threads: usize },
    /// TensorRT, with its engines kept in a directory.
    TensorRt(TensorRt),
}

/// What TensorRT is told for one graph.
#[derive(Debug, Clone)]
pub(super) struct TensorRt {
    pub device: u32,
    pub fp16: bool,
    pub workspace_bytes: u64,
    pub engines: PathBuf,
    pub timings: PathBuf,
    /// The input whose first dimension varies: its name, its other dimension, and that first dimension at least,
    /// usually, and at most.
    pub profile: Option<(&'static str, usize, [usize; 3])>,
}

impl TensorRt {
    pub fn new(options: &OnnxRuntimeOptions, engines: &Path, timings: &Path) -> Self {
        Self {
            device: options.device,
            fp16: options.fp16,
            workspace_bytes: options.workspace_bytes,
            engines: engines.to_owned(),
            timings: timings.to_owned(),
            profile: None,
        }
    }

    fn provider(&self) -> ort::ep::TensorRT {
        let mut provider = ort::ep::TensorRT::default()
            .with_device_id(i32::try_from(self.device).unwrap_or(i32::MAX))
            .with_fp16(self.fp16)
            // In half precision the squares of a norm overflow.
            .with_layer_norm_fp32_fallback(self.fp16)
            .with_engine_cache(true)
            .with_engine_cache_path(self.engines.display())
            .with_timing_cache(true)
            .with_timing_cache_path(self.timings.display());
        if self.workspace_bytes > 0 {
            let bytes = usize::try_from(self.workspace_bytes).unwrap_or(usize::MAX);
            provider = provider.with_max_workspace_size(bytes);
        }
        if let Some((input, width, [least, usual, most])) = self.profile {
            let shape = |n: usize| format!("{input}:{n}x{width}");
            provider = provider
                .with_profile_min_shapes(shape(least))
                .with_profile_opt_shapes(shape(usual))
                .with_profile_max_shapes(shape(most));
        }
        provider
    }
}

/// A loaded graph.
#[derive(Debug)]
pub(super) struct Graph(Mutex<Session>);

impl Graph {
    /// Loads a serialized graph. With TensorRT this builds its engine, which takes minutes, or finds it where it was
    /// kept.
    ///
    /// # Errors
    /// What ONNX Runtime says, for example that it was built without TensorRT.
    pub fn load(environment: &Environment, model: &[u8], runner: &Runner) -> Result<Self, DecoderError> {
        let load = || -> ort::Result<Session> {
            let mut builder = Session::builder(environment)?;
            match runner {
                Runner::Cpu { threads } => {
                    builder = builder
                        .with_intra_threads((*threads).max(1))?
                        // A board has other things to do between two prompts.
                        .with_config_entry("session.intra_op.allow_spinning", "0")?;
                }
                Runner::TensorRt(tensorrt) => {
                    // Registered by ourselves: ort would only log a failure and go on without.
                    tensorrt.provider().register(&mut builder)?;
                }
            }
            builder.commit_from_memory(model)
        };
        load().map(|session| Self(Mutex::new(session))).map_err(failed("load a decoder graph"))
    }

    /// Runs the graph: inputs and outputs in the order of the graph's own.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn run(&self, inputs: &[&Values]) -> Result<Vec<Values>, DecoderError> {
        let run = || -> ort::Result<Vec<Values>> {
            // A panic inside leaves nothing half done on our side.
            let mut session = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let inputs = inputs.iter().map(|input| {
                let tensor = TensorRef::from_array_view((input.shape.as_slice(), input.values.as_slice()))?;
                Ok(tensor.into())
            });
            let inputs = inputs.collect::<ort::Result<Vec<ort::session::SessionInputValue<'_>>>>()?;
            let outputs = session.run(inputs.as_slice())?;
            let values = outputs.values().map(|output| {
                let (shape, values) = output.try_extract_tensor::<f32>()?;
                let shape = shape.iter().map(|side| usize::try_from(*side).unwrap_or(0)).collect();
                Ok(Values { shape, values: values.to_vec() })
            });
            values.collect()
        };
        run().map_err(failed("run a decoder graph"))
    }
}

/// Loads TensorRT's part of ONNX Runtime, so that its version can be told.
///
/// # Errors
/// ONNX Runtime has no TensorRT, or its libraries are missing.
pub(super) fn load_tensorrt(environment: &Environment) -> Result<(), DecoderError> {
    let load = || -> ort::Result<()> {
        let mut builder: SessionBuilder = Session::builder(environment)?;
        ort::ep::TensorRT::default().register(&mut builder)
    };
    load().map_err(failed("load TensorRT"))
}

fn failed<R>(action: &'static str) -> impl Fn(ort::Error<R>) -> DecoderError {
    move |error| DecoderError::Engine { action, message: error.message().trim().to_owned() }
}
