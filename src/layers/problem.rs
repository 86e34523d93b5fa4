//! What was found wrong in a layer file and got along with.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::line::{BEGINS, COLLECTION};

/// Problems that wait to be told; more are not noted.
const PROBLEMS: usize = 64;

/// Problems of all layers, in a place of their own: whoever tells them must not wait for a file that is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct Problems(Arc<Mutex<Vec<LayerProblem>>>);

impl Problems {
    pub fn push(&self, problem: LayerProblem) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < PROBLEMS {
            problems.push(problem);
        }
    }

    pub fn take(&self) -> Vec<LayerProblem> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something about a layer file that somebody should hear of. Reported once for each state of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerProblem {
    /// The last line was not whole (power lost while it was written) and is cut off. If it was being saved, it is
    /// in the journal and saved again.
    TornLine {
        /// The layer.
        layer: String,
        /// Bytes cut off.
        bytes: u64,
        /// Where they are now (only the last such piece is kept), if the card had room.
        kept: Option<PathBuf>,
    },
    /// Lines with zeros in them (power lost before they were on the card, where the file had grown already), which are taken
    /// out. What was being saved is in the journal and saved again.
    HollowLines {
        /// The layer.
        layer: String,
        /// How many.
        lines: usize,
    },
    /// Lines that are not features: skipped, and left in the file.
    BadLines {
        /// The layer.
        layer: String,
        /// How many.
        lines: u64,
        /// The first of them: number, from 1, and what is wrong.
        first: Vec<(u64, &'static str)>,
    },
}

impl std::fmt::Display for LayerProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TornLine { layer, bytes, kept } => {
                write!(f, "layer {layer}: a torn last line of {bytes} bytes was cut off")?;
                kept.as_ref().map_or(Ok(()), |path| write!(f, " and is now {}", path.display()))
            }
            Self::HollowLines { layer, lines } => {
                write!(
                    f,
                    "layer {layer}: {lines} lines with zeros in them, as a power cut leaves them, were taken out"
                )
            }
            Self::BadLines { layer, lines, first } => {
                match lines {
                    1 => write!(f, "layer {layer}: 1 line is no GeoJSON Feature and is skipped:")?,
                    _ => write!(f, "layer {layer}: {lines} lines are not GeoJSON Features and are skipped:")?,
                }
                for (number, problem) in first {
                    write!(f, " line {number}, {problem};")?;
                }
                if is_written_anew(first) {
                    return write!(
                        f,
                        " another program has written the file anew, as one GeoJSON text; make lines of it again \
                         (ogr2ogr -f GeoJSONSeq NEW.geojsonl {layer}.geojsonl), and put NEW.geojsonl into its place"
                    );
                }
                f.write_str(" mend them or take them out")
            }
        }
    }
}

/// Whether the first line is how a GeoJSON text of one or of many lines begins.
fn is_written_anew(first: &[(u64, &'static str)]) -> bool {
    matches!(first, [(1, problem), ..] if [BEGINS, COLLECTION].contains(problem))
}
