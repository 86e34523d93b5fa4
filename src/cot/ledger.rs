//! What receivers may show, kept over a restart: `<state>/cot.jsonl`, an entry a line, appended without a sync and written
//! anew when most of it is past. What a power cut takes from its end is found out from the layers' files, but for an
//! object that was saved and deleted within the seconds before it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::known::Known;
use crate::durable::{Disk, Replacement};

/// The file's name in the state directory.
pub(crate) const FILE_NAME: &str = "cot.jsonl";

/// A larger file is not ours.
const MOST_BYTES: u64 = 64 << 20;

/// Lines that are always put up with.
const FEW: usize = 1024;

/// A change of what is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub(super) enum Entry {
    /// An object was sent.
    Object { id: String, layer: String, parts: Vec<(String, [f64; 4])> },
    /// It is gone.
    Gone { id: String },
    /// A part is to be deleted.
    Owed { uid: String, layer: String, bounds: [f64; 4] },
    /// It is deleted, or shown again.
    Done { uid: String },
}

/// The file.
#[derive(Debug)]
pub(super) struct Ledger {
    disk: Disk,
    path: PathBuf,
    lines: usize,
    /// Whether it could not be written, which is told once.
    failing: bool,
}

impl Ledger {
    /// Reads what is known. Lines that are no entries are passed over.
    pub fn open(disk: &Disk, state: &Path, known: &mut Known) -> Self {
        let path = state.join(FILE_NAME);
        let mut ledger = Self { disk: disk.clone(), path, lines: 0, failing: false };
        match ledger.read() {
            Ok(bytes) => {
                for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    ledger.lines += 1;
                    if let Ok(entry) = serde_json::from_slice(line) {
                        known.take_up(entry);
                    }
                }
                if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                    // The next line must not go on from half a one.
                    ledger.lines = usize::MAX;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %ledger.path.display(), %error, "what was sent to TAK before cannot be read");
                ledger.lines = usize::MAX;
            }
        }
        ledger
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        if fs::metadata(&self.path)?.len() > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large to be ours"));
        }
        fs::read(&self.path)
    }

    /// Writes entries; `all` gives what is known in as few entries as can be, where the file is to be written anew.
    pub fn write(&mut self, entries: &[Entry], known: usize, all: impl FnOnce() -> Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let is_past = self.lines.saturating_add(entries.len()) > FEW.saturating_add(known.saturating_mul(4));
        let written = if is_past { self.anew(&all()) } else { self.append(entries) };
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                // Written whole as soon as that can be done.
                self.lines = usize::MAX;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(path = %self.path.display(), %error, "what was sent to TAK is not kept over a restart");
                }
            }
        }
    }

    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.disk.create(&self.path, false)?.append(&text(entries)?)?;
        self.lines += entries.len();
        Ok(())
    }

    fn anew(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut file = Replacement::begin_on(&self.disk, &self.path)?;
        file.write_all(&text(entries)?)?;
        file.finish()?;
        self.lines = entries.len();
        Ok(())
    }
}

fn text(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(id: &str) -> Entry {
        Entry::Object {
            id: id.to_owned(),
            layer: "a".to_owned(),
            parts: vec![(id.to_owned(), [0.0, 1.0, 2.0, 3.5])],
        }
    }

    fn read(state: &Path) -> (Ledger, Known) {
        let mut known = Known::new(1);
        let ledger = Ledger::open(&Disk::default(), state, &mut known);
        (ledger, known)
    }

    #[test]
    fn what_is_written_is_read_again_and_a_torn_line_is_passed_over() {
        let state = tempfile::tempdir().unwrap();
        let (mut ledger, _) = read(state.path());
        ledger.write(&[object("x"), object("y")], 2, Vec::new);
        ledger.write(&[Entry::Gone { id: "x".to_owned() }], 1, Vec::new);
        let path = state.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"what\":\"obj"].concat()).unwrap();
        let (mut ledger, known) = read(state.path());
        assert!(known.is_shown("y") && !known.is_shown("x"));
        ledger.write(&[object("z")], 2, || vec![object("y"), object("z")]);
        let (_, known) = read(state.path());
        assert!(known.is_shown("y") && known.is_shown("z"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn the_file_is_written_anew_when_most_of_it_is_past() {
        let state = tempfile::tempdir().unwrap();
        let (mut ledger, _) = read(state.path());
        for _ in 0..FEW + 10 {
            ledger.write(&[object("x")], 1, || vec![object("x")]);
        }
        let lines = fs::read_to_string(state.path().join(FILE_NAME)).unwrap().lines().count();
        assert!(lines < FEW, "{lines}");
    }
}
