//! What a scan of a large layer file has found, kept beside it, so that a start need not read hundreds of megabytes to
//! count features.
//!
//! `.<layer>.geojsonl.scan` is a help and never believed: it holds for a file that has just its length and time, or that
//! has grown and has the same last bytes at that place; otherwise the file is read. It is not synced, and may be deleted.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::lines::Scan;
use crate::durable::Disk;
use crate::regular_file;

/// Bytes of a file, or more of it, from which on it is worth to keep what was found.
pub(super) const WORTH: u64 = 1024 * 1024;

/// Bytes before the end of what was read by which the file is recognised.
const TAIL: u64 = 64 * 1024;

/// The form of the file; of form 1 are those that count lines that are not UTF-8 as features.
const FORM: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Kept {
    form: u32,
    len: u64,
    modified_ns: u128,
    tail: u32,
    features: u64,
    lines: u64,
    bad_lines: u64,
    marks: Vec<u64>,
}

fn place(layer_file: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(layer_file.file_name().unwrap_or_default());
    name.push(".scan");
    layer_file.with_file_name(name)
}

fn nanoseconds(time: Option<SystemTime>) -> u128 {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos())
}

/// A checksum of the bytes before this place.
fn tail_of(mut file: &File, len: u64) -> io::Result<u32> {
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(len.min(TAIL)).read_to_end(&mut bytes)?;
    Ok(crc32fast::hash(&bytes))
}

/// What is known of a file without reading it: of all of it, or of its first bytes (to [`Scan::bytes`]).
pub(super) fn load(path: &Path, file: &File, len: u64, modified: Option<SystemTime>) -> Option<Scan> {
    let text = fs::read_to_string(place(path)).ok()?;
    let (sum, json) = text.split_once('\n')?;
    if sum != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return None;
    }
    let kept: Kept = serde_json::from_str(json).ok()?;
    let same = kept.len == len && kept.modified_ns == nanoseconds(modified);
    let grown = kept.len < len && tail_of(file, kept.len).ok()? == kept.tail;
    if kept.form != FORM || !(same || grown) {
        return None;
    }
    let Kept { len, features, lines, bad_lines, marks, .. } = kept;
    Some(Scan { features, marks, bytes: len, bad_lines, lines, ..Scan::default() })
}

/// Keeps what was found in a file of this length and time.
pub(super) fn save(disk: &Disk, path: &Path, scan: &Scan, modified: Option<SystemTime>) -> io::Result<()> {
    let kept = Kept {
        form: FORM,
        len: scan.bytes,
        modified_ns: nanoseconds(modified),
        tail: tail_of(&regular_file::open(path)?, scan.bytes)?,
        features: scan.features,
        lines: scan.lines,
        bad_lines: scan.bad_lines,
        marks: scan.marks.clone(),
    };
    let json = serde_json::to_string(&kept)?;
    let text = format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
    let place = place(path);
    let fresh = place.with_extension("scan.tmp-");
    disk.create(&fresh, true)?.append(text.as_bytes())?;
    disk.rename(&fresh, &place)
}

/// Takes away what was kept of a file that is going; it would be no harm if it stayed.
pub(super) fn discard(disk: &Disk, path: &Path) {
    let _ = disk.remove_file(&place(path));
}
