//! Where a command writes: standard output, a file that appears whole or not at all, a file that grows line by line,
//! or what else a name may stand for: a device, a pipe.
//!
//! Here: how a destination is opened and closed, and lines for people. Not here: replacing a file at once
//! (`durable`), removing what a signal would leave behind (`unfinished`).

mod place;

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::CliError;
use super::unfinished::Unfinished;
use crate::durable::{Replacement, unfinished_name};
use place::Place;
pub(super) use place::written_at;

/// A destination. What stood there before is replaced only on [`Output::finish`], where it is an ordinary file;
/// everything else is written to as it is and never replaced.
pub(super) struct Output {
    /// As the user named it.
    path: PathBuf,
    sink: Sink,
}

enum Sink {
    Stdout(BufWriter<io::StdoutLock<'static>>),
    /// Written in place.
    Through(BufWriter<File>),
    /// A regular file written in place, whose old lines go when the first new one comes.
    Growing {
        file: BufWriter<File>,
        is_emptied: bool,
    },
    /// A new file beside the old one, whose name a signal finds.
    Beside {
        file: Replacement,
        unfinished: Unfinished,
    },
}

impl Output {
    /// Opens `-` or a path. A regular file is replaced when all is written; its mode and, where the system
    /// allows it, its owner stay. Links are followed, devices and pipes are written through.
    ///
    /// # Errors
    /// A directory, a disk, or what the system says, under the name that was given.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Output { path: path.to_owned(), source };
        let sink = match Place::find(path)? {
            Place::Stdout => Sink::Stdout(BufWriter::new(io::stdout().lock())),
            Place::Through(options) => Sink::Through(BufWriter::new(options.open(path).map_err(failed)?)),
            Place::File(target) => match beside(&target) {
                Ok(sink) => sink,
                // A file that may be written, in a directory that may not.
                Err(error) if may_be_written_in_place(&error, &target) => {
                    let file = OpenOptions::new().write(true).truncate(true).open(&target).map_err(failed)?;
                    Sink::Through(BufWriter::new(file))
                }
                Err(error) => return Err(failed(error)),
            },
        };
        Ok(Self { path: path.to_owned(), sink })
    }

    /// Opens `-` or a path for lines that are to be seen as they come: a regular file is emptied by the first of them, or by
    /// [`Output::finish`], and grows. What was written stays, whatever happens afterwards.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub(super) fn growing(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Output { path: path.to_owned(), source };
        let Place::File(target) = Place::find(path)? else { return Self::create(path) };
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(target).map_err(failed)?;
        let sink = Sink::Growing { file: BufWriter::new(file), is_emptied: false };
        Ok(Self { path: path.to_owned(), sink })
    }

    /// Where a regular file grows until [`Output::finish`], for libraries that open files themselves; `None` for all
    /// that is written through.
    pub(super) fn temporary(&self) -> Option<&Path> {
        match &self.sink {
            Sink::Beside { file, .. } => Some(file.temporary()),
            Sink::Stdout(_) | Sink::Through(_) | Sink::Growing { .. } => None,
        }
    }

    /// One JSON value as a line, flushed so that a reader at the other end of a pipe sees it.
    pub(super) fn json_line(&mut self, value: &impl serde::Serialize) -> Result<(), CliError> {
        let written = serde_json::to_writer(&mut *self, value)
            .map_err(io::Error::from)
            .and_then(|()| self.write_all(b"\n"))
            .and_then(|()| self.flush());
        written.map_err(self.failed())
    }

    /// A text as it is, with a newline.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self, "{text}").map_err(self.failed())
    }

    /// A text as it is, with a newline, flushed so that it is seen as it comes.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.text(text)?;
        self.flush().map_err(self.failed())
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.write_all(bytes).map_err(self.failed())
    }

    /// Writes out what is left, and puts a file into its place.
    ///
    /// # Errors
    /// What the system says. The old file is then still there.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        let failed = self.failed();
        self.sink.empty().and_then(|()| self.flush()).map_err(failed)?;
        let failed = self.failed();
        if let Sink::Beside { file, unfinished } = self.sink {
            file.finish().map_err(failed)?;
            unfinished.done();
        }
        Ok(())
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> CliError + use<> {
        let path = self.path.clone();
        move |source| CliError::Output { path, source }
    }
}

impl Sink {
    /// Takes away the old lines of a file that grows.
    fn empty(&mut self) -> io::Result<()> {
        if let Self::Growing { file, is_emptied } = self
            && !*is_emptied
        {
            file.get_ref().set_len(0)?;
            *is_emptied = true;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.empty()?;
        match &mut self.sink {
            Sink::Stdout(out) => out.write(bytes),
            Sink::Through(out) => out.write(bytes),
            Sink::Growing { file, .. } => file.write(bytes),
            Sink::Beside { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stdout(out) => out.flush(),
            Sink::Through(out) => out.flush(),
            Sink::Growing { file, .. } => file.flush(),
            Sink::Beside { file, .. } => file.flush(),
        }
    }
}

/// Begins a file in place of a regular one, or of none.
fn beside(target: &Path) -> io::Result<Sink> {
    let old = target.metadata().ok();
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // Before the file is there: a signal may come at once.
    let unfinished = Unfinished::file(&target.with_file_name(unfinished_name(name)));
    let file = Replacement::begin(target)?;
    if let Some(old) = old {
        let mode = std::fs::Permissions::from_mode(old.mode() & 0o7777);
        // Owner first: a change of owner takes set-id bits away. Only root may give files away, and a card of FAT
        // has neither modes nor owners; the answer counts more than both.
        let _ = chown(file.temporary(), Some(old.uid()), Some(old.gid()));
        let _ = std::fs::set_permissions(file.temporary(), mode);
    }
    Ok(Sink::Beside { file, unfinished })
}

/// Whether it is the directory, and not the file, that does not let us write.
fn may_be_written_in_place(error: &io::Error, target: &Path) -> bool {
    use io::ErrorKind::{InvalidFilename, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidFilename) && target.is_file()
}

/// A line on standard output.
///
/// # Errors
/// What the system says; where the reader has gone away, [`CliError::is_broken_pipe`].
pub(super) fn say(line: &impl Display) -> Result<(), CliError> {
    writeln!(io::stdout(), "{line}").map_err(|source| CliError::Output { path: PathBuf::from("-"), source })
}

/// A line on standard error. Nobody can be told where that cannot be written.
pub fn note(line: &impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
