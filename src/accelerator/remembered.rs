//! What is remembered of the engines' comparison, in the state directory: one entry for each model, version of the
//! program and processor, so that each is compared once.
//!
//! A file that is damaged or gone costs a comparison, nothing else.

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::report::Difference;
use crate::decoder::instruction_set;
use crate::durable::Replacement;
use crate::models::ModelInfo;

/// Entries kept, the newest; a board has a few models, and was upgraded some times.
const MOST: usize = 32;
/// A larger file is none of ours.
const MAX_BYTES: u64 = 1 << 20;

/// Under what circumstances a comparison holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Circumstances {
    /// SHA-256 of the checkpoint and CRC-32 of the imported weights.
    model: String,
    /// Version and commit of the program.
    program: String,
    /// Instruction set, and the processor's own name.
    processor: String,
}

impl Circumstances {
    /// Those of a model here and now.
    pub fn of(model: &ModelInfo) -> Self {
        Self {
            model: format!("{}-{}", model.sha256, model.decoder_crc32()),
            program: crate::program::version_and_commit(),
            processor: format!("{}, {}", instruction_set(), crate::machine::processor()),
        }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    of: Circumstances,
    #[serde(with = "exact")]
    difference: Difference,
}

/// All that is remembered, the newest last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    comparisons: Vec<Entry>,
}

impl Remembered {
    /// Reads the file; nothing is remembered where there is none, or one that cannot be read.
    pub fn read(file: &Path) -> Self {
        let read = || {
            std::fs::metadata(file).ok().filter(|about| about.is_file() && about.len() <= MAX_BYTES)?;
            serde_json::from_slice(&std::fs::read(file).ok()?).ok()
        };
        read().unwrap_or_default()
    }

    /// How far the engines were apart under these circumstances, if they have been compared.
    pub fn difference(&self, of: &Circumstances) -> Option<Difference> {
        self.comparisons.iter().rev().find(|entry| entry.of == *of).map(|entry| entry.difference)
    }

    /// Remembers a comparison.
    pub fn put(&mut self, of: Circumstances, difference: Difference) {
        self.comparisons.retain(|entry| entry.of != of);
        self.comparisons.push(Entry { of, difference });
        let surplus = self.comparisons.len().saturating_sub(MOST);
        self.comparisons.drain(..surplus);
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        let mut replacement = Replacement::begin(file)?;
        serde_json::to_writer_pretty(&mut replacement, self)?;
        replacement.write_all(b"\n")?;
        replacement.finish()
    }
}

/// Numbers as text: JSON has none that is no number, and a comparison may end in one.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Difference;

    pub fn serialize<S: Serializer>(difference: &Difference, serializer: S) -> Result<S::Ok, S::Error> {
        let Difference { logits, scores, pixels } = difference;
        serializer.serialize_str(&format!("{logits} {scores} {pixels}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Difference, D::Error> {
        let text = String::deserialize(deserializer)?;
        let numbers: Result<Vec<f32>, _> = text.split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([logits, scores, pixels]) => {
                Ok(Difference { logits: *logits, scores: *scores, pixels: *pixels })
            }
            _ => Err(serde::de::Error::custom("three numbers are expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(model: &str) -> Circumstances {
        Circumstances { model: model.to_owned(), program: "1".to_owned(), processor: "x".to_owned() }
    }

    #[test]
    fn a_comparison_is_remembered_for_its_model_program_and_processor_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("engines.json");
        let mut remembered = Remembered::read(&file);
        let small = Difference { logits: 7e-7, scores: 1e-8, pixels: 0.0 };
        let none = Difference { logits: f32::NAN, ..small };
        remembered.put(of("a"), none);
        remembered.put(of("a"), small);
        remembered.put(of("b"), none);
        remembered.write(&file).unwrap();
        let again = Remembered::read(&file);
        assert_eq!(again.difference(&of("a")), Some(small));
        assert!(again.difference(&of("b")).unwrap().logits.is_nan());
        for other in [
            Circumstances { program: "2".to_owned(), ..of("a") },
            Circumstances { processor: "y".to_owned(), ..of("a") },
            of("c"),
        ] {
            assert_eq!(again.difference(&other), None);
        }
    }

    #[test]
    fn the_newest_are_kept_and_a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("engines.json");
        let mut remembered = Remembered::default();
        for i in 0..=MOST {
            remembered.put(of(&i.to_string()), Difference::default());
        }
        assert_eq!(remembered.difference(&of("0")), None);
        assert!(remembered.difference(&of("1")).is_some());
        std::fs::write(&file, b"{\"comparisons\": [{").unwrap();
        assert!(Remembered::read(&file).comparisons.is_empty());
        assert!(Remembered::read(dir.path()).comparisons.is_empty(), "a directory");
    }
}
