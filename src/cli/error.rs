//! What ends a command.

use std::path::{Path, PathBuf};

use crate::engine::EngineError;
use crate::models::ModelsError;

/// Why a command could not do its work; printed on standard error.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A folder or its manifest.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    /// A checkpoint or an imported model.
    #[error(transparent)]
    Models(#[from] ModelsError),
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
    Engine(#[from] EngineError),
    /// A group of boards.
    #[error(transparent)]
    Fleet(#[from] super::everything::FleetError),
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
    /// The raster that was named for a picture.
    #[error(transparent)]
    Raster(#[from] crate::picture::RasterError),
    /// A file of prompts.
    #[error(transparent)]
    Prompts(#[from] super::prompts::PromptsError),
    /// What the command has to say cannot be written.
    #[error("cannot write {name}: {source}{advice}", name = written_to(path), advice = advice(path, source))]
    Output {
        /// As the user named it; `-` for standard output.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
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

    /// Whether the reader of what we write went away, which is no fault (`... | head`).
    pub fn is_broken_pipe(&self) -> bool {
        let source = match self {
            Self::Output { source, .. } | Self::File { source, .. } => source,
            Self::Serve(super::serve::ServeError::Output(source)) => source,
            Self::Export(crate::layers::export::ExportError::Output { source, .. }) => source,
            #[cfg(feature = "demo")]
            Self::Demo(crate::demo::DemoError::Output(source)) => source,
            _ => return false,
        };
        source.kind() == std::io::ErrorKind::BrokenPipe
    }

    /// The exit status: 2 where the command line is at fault, as for what clap finds, else 1.
    pub const fn status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Models(ModelsError::NoDirectory { .. })
            | Self::Engine(EngineError::Models(ModelsError::NoDirectory { .. })) => 2,
            _ => 1,
        }
    }
}

fn written_to(path: &Path) -> String {
    if path == Path::new("-") { "to standard output".to_owned() } else { path.display().to_string() }
}

/// What can be done about a destination that cannot be written; empty, or a clause of its own.
fn advice(path: &Path, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists());
    match (error.kind(), directory) {
        (ErrorKind::NotFound, Some(directory)) => {
            format!("; make the directory {} first", directory.display())
        }
        (ErrorKind::PermissionDenied, _) => "; choose a place that you may write to".to_owned(),
        (ErrorKind::ReadOnlyFilesystem, _) => "; the file system is mounted read-only".to_owned(),
        (ErrorKind::StorageFull, _) => "; free some space there".to_owned(),
        _ => String::new(),
    }
}
