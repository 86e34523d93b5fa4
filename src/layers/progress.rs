//! Signs of life while a large file is read.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// Whom to tell that there is progress; nobody by default.
#[derive(Clone, Default)]
pub(super) struct Progress(Option<Arc<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl Progress {
    pub fn told_to(listener: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// The reader, each read of which is told.
    pub fn reading<R: Read>(&self, reader: R) -> Reading<R> {
        Reading { reader, progress: self.clone() }
    }
}

/// A reader that tells of each read.
#[derive(Debug)]
pub(super) struct Reading<R> {
    reader: R,
    progress: Progress,
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if let Some(listener) = &self.progress.0 {
            listener();
        }
        Ok(read)
    }
}
