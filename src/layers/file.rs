//! One layer's file: what it holds, and changes to it that are on the card when they return.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::LayerError;
use super::line::{Line, MAX_LINE, classify};
use super::lines::{Lines, MARK_EVERY, Scan, Span, scan};
use super::op::{JournalEntry, LayerOp};
use super::problem::LayerProblem;
use crate::durable::{Replacement, sync_dir};

/// Changes remembered as made, so that a journal given again costs no look into the file.
const REMEMBERED: usize = 4096;

#[derive(Debug)]
pub(super) struct LayerFile {
    layer: String,
    path: PathBuf,
    /// What the file held when it last had this stamp; `None` before it was first read.
    known: Option<(Stamp, Scan)>,
    /// Changes of the journal may be in the file already: from before the start, or from a write that failed.
    unsure: bool,
    made: VecDeque<(u64, String)>,
    pub syncs: u64,
    pub problems: Vec<LayerProblem>,
}

/// Tells whether somebody else has changed the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl LayerFile {
    pub fn new(dir: &Path, layer: &str) -> Self {
        Self {
            layer: layer.to_owned(),
            path: super::layer_path(dir, layer),
            known: None,
            unsure: true,
            made: VecDeque::new(),
            syncs: 0,
            problems: Vec::new(),
        }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> LayerError + use<> {
        let path = self.path.clone();
        move |error| LayerError::io(doing, &path, error)
    }

    fn unknown(&self) -> LayerError {
        LayerError::Unknown { layer: self.layer.clone() }
    }

    /// What the file holds, read anew if somebody else has changed it.
    pub fn scan(&mut self) -> Result<&Scan, LayerError> {
        self.refresh(&HashSet::new()).map(drop)?;
        self.known.as_ref().map(|(_, scan)| scan).ok_or_else(|| self.unknown())
    }

    /// Reads the file if what is known of it is not true (any more), or if these ids are to be found in it.
    fn refresh(&mut self, wanted: &HashSet<&str>) -> Result<HashMap<String, Vec<Span>>, LayerError> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known = None;
                return Ok(HashMap::new());
            }
            Err(error) => return Err(self.failed("read")(error)),
        };
        let is_known = self.known.as_ref().is_some_and(|(stamp, _)| *stamp == Stamp::of(&metadata));
        if is_known && wanted.is_empty() {
            return Ok(HashMap::new());
        }
        if !is_known {
            self.repair_tail()?;
        }
        let file = File::open(&self.path).map_err(self.failed("open"))?;
        let stamp = Stamp::of(&file.metadata().map_err(self.failed("read"))?);
        let mut scan = scan(BufReader::with_capacity(1 << 16, file), wanted).map_err(self.failed("read"))?;
        let found = std::mem::take(&mut scan.found);
        if scan.bad_lines > 0 && !is_known {
            let (layer, lines, first) = (self.layer.clone(), scan.bad_lines, scan.described.clone());
            self.problems.push(LayerProblem::BadLines { layer, lines, first });
        }
        self.known = Some((stamp, scan));
        Ok(found)
    }

    /// Makes the file end in a newline: a whole last feature gets one, anything else after the last newline is
    /// cut off, and kept aside as far as the card has room.
    fn repair_tail(&mut self) -> Result<(), LayerError> {
        let mut file = File::open(&self.path).map_err(self.failed("open"))?;
        let len = file.metadata().map_err(self.failed("read"))?.len();
        let start = last_line_start(&mut file, len).map_err(self.failed("read"))?;
        if start == len {
            return Ok(());
        }
        file.seek(SeekFrom::Start(start)).map_err(self.failed("read"))?;
        let mut tail = Vec::new();
        file.take(MAX_LINE as u64 + 1).read_to_end(&mut tail).map_err(self.failed("read"))?;
        if matches!(classify(&tail), Line::Feature(_)) {
            let mut file = OpenOptions::new().append(true).open(&self.path).map_err(self.failed("repair"))?;
            file.write_all(b"\n").and_then(|()| file.sync_data()).map_err(self.failed("repair"))?;
        } else {
            let kept = self.path.with_extension("geojsonl.torn");
            let kept = fs::write(&kept, &tail).is_ok().then_some(kept);
            let file = OpenOptions::new().write(true).open(&self.path).map_err(self.failed("repair"))?;
            file.set_len(start).and_then(|()| file.sync_data()).map_err(self.failed("repair"))?;
            let (layer, bytes) = (self.layer.clone(), len - start);
            self.problems.push(LayerProblem::TornLine { layer, bytes, kept });
        }
        self.syncs += 1;
        Ok(())
    }

    /// Makes the changes in order, with one sync for each run of appends. What is done is pushed to `done`, also
    /// if a later one fails.
    pub fn apply(&mut self, entries: &[&JournalEntry], done: &mut Vec<u64>) -> Result<(), LayerError> {
        let result = self.try_apply(entries, done);
        if result.is_err() {
            self.unsure = true;
            self.known = None;
        }
        result
    }

    fn try_apply(&mut self, entries: &[&JournalEntry], done: &mut Vec<u64>) -> Result<(), LayerError> {
        let is_made =
            |entry: &JournalEntry| self.made.iter().any(|(seq, id)| *seq == entry.seq && id == entry.op.id());
        let (made, open): (Vec<&JournalEntry>, Vec<_>) = entries.iter().partition(|entry| is_made(entry));
        done.extend(made.iter().map(|entry| entry.seq));
        let wanted: HashSet<&str> =
            if self.unsure { open.iter().map(|e| e.op.id()).collect() } else { HashSet::new() };
        let mut present: HashSet<String> = self.refresh(&wanted)?.into_keys().collect();
        let mut run = Vec::new();
        for entry in &open {
            match &entry.op {
                LayerOp::Append { id, .. } if present.contains(id) => {}
                LayerOp::Append { id, line, .. } => {
                    present.insert(id.clone());
                    run.push(line.as_str());
                }
                LayerOp::Remove { id, .. } => {
                    self.append(&run)?;
                    run.clear();
                    self.remove(id)?;
                    present.remove(id);
                }
            }
        }
        self.append(&run)?;
        self.unsure = false;
        for entry in open {
            done.push(entry.seq);
            self.made.push_back((entry.seq, entry.op.id().to_owned()));
        }
        while self.made.len() > REMEMBERED {
            self.made.pop_front();
        }
        Ok(())
    }

    fn append(&mut self, lines: &[&str]) -> Result<(), LayerError> {
        if lines.is_empty() {
            return Ok(());
        }
        let is_new = self.known.is_none();
        let (stamp, mut scan) =
            self.known.take().unwrap_or((Stamp { len: 0, modified: None }, Scan::default()));
        let start = stamp.len;
        let mut text = String::new();
        for line in lines {
            scan.feature_at(start + text.len() as u64);
            text.push_str(line);
            text.push('\n');
        }
        let failed = self.failed("append to");
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).map_err(&failed)?;
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
            // Take back what was written in part. If that fails too, the next reader cuts off a torn line, and
            // looks for the ids of the whole ones.
            let _ = file.set_len(start);
            return Err(failed(error));
        }
        self.syncs += 1;
        if is_new {
            sync_dir(self.path.parent().unwrap_or(&self.path)).map_err(&failed)?;
            self.syncs += 1;
        }
        scan.bytes = start + text.len() as u64;
        let metadata = file.metadata().map_err(&failed)?;
        self.known = Some((Stamp::of(&metadata), scan));
        Ok(())
    }

    /// Takes out each line with this id; none is fine.
    fn remove(&mut self, id: &str) -> Result<(), LayerError> {
        self.refresh(&HashSet::new())?;
        let Some((stamp, scan)) = &self.known else { return Ok(()) };
        let (len, last_mark) = (stamp.len, scan.marks.last().copied().unwrap_or(0));
        // Nearly always it is the last line.
        let from = self.spans_from(last_mark, id)?;
        if let [span] = from[..]
            && span.offset + span.len == len
        {
            let failed = self.failed("shorten");
            let file = OpenOptions::new().write(true).open(&self.path).map_err(&failed)?;
            file.set_len(span.offset).and_then(|()| file.sync_data()).map_err(&failed)?;
            self.syncs += 1;
            let metadata = file.metadata().map_err(&failed)?;
            if let Some((stamp, scan)) = &mut self.known {
                *stamp = Stamp::of(&metadata);
                scan.features -= 1;
                scan.bytes = span.offset;
                scan.marks
                    .truncate(usize::try_from(scan.features.div_ceil(MARK_EVERY)).unwrap_or(usize::MAX));
            }
            return Ok(());
        }
        let found = self.refresh(&HashSet::from([id]))?;
        let Some(spans) = found.get(id) else { return Ok(()) };
        self.rewrite_without(spans).map_err(self.failed("rewrite"))?;
        self.syncs += 2;
        self.known = None;
        self.refresh(&HashSet::new()).map(drop)
    }

    /// Lines with this id from an offset on.
    fn spans_from(&self, offset: u64, id: &str) -> Result<Vec<Span>, LayerError> {
        let mut lines = self.lines_from(offset)?;
        let mut spans = Vec::new();
        while let Some((span, line)) = lines.next().map_err(self.failed("read"))? {
            if classify(line) == Line::Feature(Some(id.to_owned())) {
                spans.push(span);
            }
        }
        Ok(spans)
    }

    fn lines_from(&self, offset: u64) -> Result<Lines<BufReader<File>>, LayerError> {
        let mut file = File::open(&self.path).map_err(self.failed("open"))?;
        file.seek(SeekFrom::Start(offset)).map_err(self.failed("read"))?;
        Ok(Lines::at(BufReader::with_capacity(1 << 16, file), offset))
    }

    fn rewrite_without(&self, spans: &[Span]) -> io::Result<()> {
        let mut from = File::open(&self.path)?;
        let mut to = Replacement::begin(&self.path)?;
        let mut at = 0;
        for span in spans {
            io::copy(&mut (&mut from).take(span.offset - at), &mut to)?;
            at = span.offset + span.len;
            from.seek(SeekFrom::Start(at))?;
        }
        io::copy(&mut from, &mut to)?;
        to.finish()
    }

    /// Features from a place on: see [`super::Layers::fetch`].
    pub fn page(&mut self, offset: u64, limit: u64, max_bytes: usize) -> Result<super::Page, LayerError> {
        let scan = self.scan()?;
        let total = scan.features;
        let mut page = super::Page { offset, total, lines: Vec::new(), next: None };
        let mark = usize::try_from(offset / MARK_EVERY).ok().and_then(|at| scan.marks.get(at)).copied();
        let Some(mark) = mark.filter(|_| offset < total && limit > 0) else { return Ok(page) };
        let end = offset.saturating_add(limit).min(total);
        let mut lines = self.lines_from(mark)?;
        let (mut index, mut bytes) = (offset - offset % MARK_EVERY, 0usize);
        while index < end {
            let Some((_, line)) = lines.next().map_err(self.failed("read"))? else { break };
            if !matches!(classify(line), Line::Feature(_)) {
                continue;
            }
            if index >= offset {
                let line = super::line::trim(line);
                if line.len() > max_bytes {
                    if page.lines.is_empty() {
                        let (layer, bytes) = (self.layer.clone(), line.len());
                        return Err(LayerError::ObjectTooLarge { layer, index, bytes, limit: max_bytes });
                    }
                    break;
                }
                bytes = bytes.saturating_add(line.len() + 1);
                if bytes > max_bytes && !page.lines.is_empty() {
                    break;
                }
                // A feature was parsed as JSON, so it is UTF-8.
                page.lines.push(String::from_utf8_lossy(line).into_owned());
            }
            index += 1;
        }
        page.next = Some(index).filter(|next| *next < total);
        Ok(page)
    }
}

/// Where the last line begins: just after the last newline.
fn last_line_start(file: &mut File, len: u64) -> io::Result<u64> {
    let mut chunk = [0u8; 4096];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        // At most 4096.
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|b| *b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
