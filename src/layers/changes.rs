//! Changes of a layer's file: on the card when they return.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};

use super::error::LayerError;
use super::file::{LayerFile, Stamp};
use super::line::{Line, classify};
use super::lines::{MARK_EVERY, Scan, Span};
use super::op::{JournalEntry, LayerOp};
use crate::durable::{DiskFile, Replacement};

/// Changes remembered as made, so that a journal given again costs no look into the file.
const REMEMBERED: usize = 4096;

impl LayerFile {
    /// What is found in the file, and what is found gone from it, is made durable before it counts as made: it may be in
    /// the memory of the system only, since the run that wrote it was killed before its sync, or its sync failed.
    fn make_sure(&mut self) -> io::Result<()> {
        if self.known.is_none() {
            return Ok(());
        }
        if self.dropped {
            // A copy's sync is true.
            self.rewrite_without(&[])?;
            self.known = None;
            self.dropped = false;
            return Ok(());
        }
        let file = self.open(OpenOptions::new().append(true))?;
        self.sync(&file)?;
        self.sync_dir()
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
        if self.unsure && !open.is_empty() {
            self.make_sure().map_err(self.failed("sync"))?;
            self.refresh(&HashSet::new())?;
        }
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
        let failed = self.failed("append to");
        // Whatever is in the file at this moment stays: somebody else may have added to it since it was looked at.
        let mut file = self.disk.create(&self.path, false).map_err(&failed)?;
        let mut start = file.metadata().map_err(&failed)?.len();
        if start != self.known.as_ref().map_or(0, |(stamp, _)| stamp.len) {
            self.refresh(&HashSet::new())?;
            start = file.metadata().map_err(&failed)?.len();
        }
        let is_new = self.known.is_none();
        let (_, mut scan) = self.known.take().unwrap_or((Stamp { len: 0, modified: None }, Scan::default()));
        let mut text = String::new();
        for line in lines {
            scan.feature_at(start + text.len() as u64);
            text.push_str(line);
            text.push('\n');
        }
        if let Err(error) = file.append(text.as_bytes()).and_then(|()| self.sync(&file)) {
            // Take back what was written in part. If that fails too, the next reader cuts off a torn line, and
            // looks for the ids of the whole ones.
            let _ = take_back(&file, start, text.as_bytes());
            return Err(failed(error));
        }
        if is_new {
            self.sync_dir().map_err(&failed)?;
        }
        scan.bytes = start + text.len() as u64;
        scan.lines += lines.len() as u64;
        let metadata = file.metadata().map_err(&failed)?;
        self.known = Some((Stamp::of(&metadata), scan));
        self.keep_scan();
        Ok(())
    }

    /// Takes out the lines with this id; none is fine. They are looked for from the end, where the last saved are.
    fn remove(&mut self, id: &str) -> Result<(), LayerError> {
        self.refresh(&HashSet::new())?;
        let Some((stamp, scan)) = &self.known else { return Ok(()) };
        let (len, marks) = (stamp.len, scan.marks.clone());
        let mut end = len;
        for (block, start) in marks.iter().enumerate().rev() {
            let spans = self.spans_in(*start, end, id)?;
            match spans[..] {
                [] => end = *start,
                [span] if span.offset + span.len == len => return self.shorten(span),
                _ => {
                    self.rewrite_without(&spans).map_err(self.failed("rewrite"))?;
                    return self.read_from_block(block, spans.len() as u64);
                }
            }
        }
        Ok(())
    }

    /// Takes out the last line.
    fn shorten(&mut self, last: Span) -> Result<(), LayerError> {
        let failed = self.failed("shorten");
        let file = self.open(OpenOptions::new().write(true)).map_err(&failed)?;
        file.set_len(last.offset).and_then(|()| self.sync(&file)).map_err(&failed)?;
        let metadata = file.metadata().map_err(&failed)?;
        if let Some((stamp, scan)) = &mut self.known {
            *stamp = Stamp::of(&metadata);
            scan.features -= 1;
            scan.lines -= 1;
            scan.bytes = last.offset;
            scan.marks.truncate(usize::try_from(scan.features.div_ceil(MARK_EVERY)).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    /// Of a file that was written anew without some lines of this block of features, what stands before it is known.
    fn read_from_block(&mut self, block: usize, without: u64) -> Result<(), LayerError> {
        let Some((_, mut scan)) = self.known.take() else { return Ok(()) };
        let read = || {
            let file = File::open(&self.path)?;
            let stamp = Stamp::of(&file.metadata()?);
            scan.bytes = scan.marks.get(block).copied().unwrap_or(0);
            scan.marks.truncate(block);
            scan.features = block as u64 * MARK_EVERY;
            let (lines, bad_lines) = (scan.lines - without, scan.bad_lines);
            scan.read_on(self.reader(file, scan.bytes)?, &HashSet::new())?;
            (scan.lines, scan.bad_lines) = (lines, bad_lines);
            Ok((stamp, scan))
        };
        self.known = Some(read().map_err(self.failed("read"))?);
        self.kept_len = 0;
        self.keep_scan();
        Ok(())
    }

    /// Lines with this id between two places.
    fn spans_in(&self, start: u64, end: u64, id: &str) -> Result<Vec<Span>, LayerError> {
        let mut lines = self.lines_from(start)?;
        let mut spans = Vec::new();
        while let Some((span, line)) = lines.next().map_err(self.failed("read"))?
            && span.offset < end
        {
            if classify(line) == Line::Feature(Some(id.to_owned())) {
                spans.push(span);
            }
        }
        Ok(spans)
    }

    fn rewrite_without(&self, spans: &[Span]) -> io::Result<()> {
        let mut from = File::open(&self.path)?;
        let mut to = Replacement::begin_on(&self.disk, &self.path)?;
        let mut at = 0;
        for span in spans {
            io::copy(&mut self.progress.reading(&from).take(span.offset - at), &mut to)?;
            at = span.offset + span.len;
            from.seek(SeekFrom::Start(at))?;
        }
        io::copy(&mut self.progress.reading(&from), &mut to)?;
        to.finish()
    }
}

/// Takes what we have written from `start` on, whole or in part, out of the file again; not if somebody else has
/// written there.
fn take_back(file: &DiskFile, start: u64, ours: &[u8]) -> io::Result<()> {
    let mut written = Vec::new();
    let mut reader = File::open(file.path())?;
    reader.seek(SeekFrom::Start(start))?;
    reader.take(ours.len() as u64 + 1).read_to_end(&mut written)?;
    if ours.starts_with(&written) { file.set_len(start) } else { Ok(()) }
}
