//! What ends a command.

use std::path::PathBuf;

/// Why a command could not do its work; printed on standard error, exit status 1.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A folder or its manifest.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    /// A checkpoint or an imported model.
    #[error(transparent)]
    Models(#[from] crate::models::ModelsError),
    /// Building or exporting a decoder.
    #[error(transparent)]
    Decoder(#[from] crate::decoder::DecoderError),
    /// The service's configuration.
    #[error(transparent)]
    Serve(#[from] super::serve::ServeError),
    /// The service itself.
    #[error(transparent)]
    Service(#[from] crate::service::ServiceError),
    /// The engine on a GPU.
    #[error(transparent)]
    Accelerator(#[from] crate::accelerator::AcceleratorError),
    /// The demo.
    #[cfg(feature = "demo")]
    #[error(transparent)]
    Demo(#[from] crate::demo::DemoError),
    /// A layer, or where it is exported to.
    #[error(transparent)]
    Export(#[from] crate::layers::export::ExportError),
    /// The way of a prompt.
    #[error("{code}: {0}", code = .0.code())]
    Engine(#[from] crate::engine::EngineError),
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG is \"{filter}\", which is no log filter: {problem}")]
    Log {
        /// What it says.
        filter: String,
        /// What is wrong.
        problem: String,
    },
    /// A value on the command line.
    #[error("{0}")]
    Usage(String),
    /// A request that is refused as a whole.
    #[error("BAD_REQUEST: {0}")]
    Request(#[from] crate::api::RequestError),
    /// A mask or logits cannot be written.
    #[error("{path}: {source}")]
    Dump {
        /// The file.
        path: PathBuf,
        /// Why.
        source: crate::mask::MaskError,
    },
    /// A picture cannot be made.
    #[error(transparent)]
    Picture(#[from] crate::picture::PictureError),
    /// A file of ours cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file; `-` for a standard stream.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl CliError {
    /// For `map_err` on file operations.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// Whether the reader of our standard output went away, which is no fault (`... | head`).
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
