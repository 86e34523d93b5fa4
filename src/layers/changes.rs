//! Changes of a layer's file: on the card when they return.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use super::error::LayerError;
use super::file::{LayerFile, Stamp};
use super::line::{Line, classify};
use super::lines::{MARK_EVERY, Scan, Span};
use super::op::{JournalEntry, LayerOp};
use crate::durable::{DiskFile, Replacement};
use crate::regular_file;

/// Changes remembered as made, so that a journal given again costs no look into the file.
const REMEMBERED: usize = 4096;

/// What becomes of lines, by the id of their feature: another line, or none.
type Edits<'a> = HashMap<&'a str, Option<&'a str>>;

/// A line of the file, and what comes into its place.
struct Piece<'a> {
    span: Span,
    line: Option<&'a str>,
}

impl LayerFile {
    /// What is found in the file, and what is found gone from it, is made durable before it counts as made: it may be in
    /// the memory of the system only, since the run that wrote it was killed before its sync, or its sync failed.
    fn make_sure(&mut self) -> io::Result<()> {
        if self.known.is_none() {
            return Ok(());
        }
        if self.dropped {
            // A copy's sync is true.
            self.rewrite(&[])?;
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
        // One of them is empty: appends go to the end of the file, edits into it.
        let (mut run, mut edits) = (Vec::new(), Edits::new());
        for entry in &open {
            match &entry.op {
                LayerOp::Append { id, .. } if present.contains(id) => {}
                LayerOp::Append { id, line, .. } => {
                    self.edit(&std::mem::take(&mut edits))?;
                    present.insert(id.clone());
                    run.push(line.as_str());
                }
                LayerOp::Replace { id, line, .. } => {
                    self.append(&std::mem::take(&mut run))?;
                    // What is removed is not put back.
                    if edits.get(id.as_str()) != Some(&None) {
                        edits.insert(id, Some(line.as_str()));
                    }
                }
                LayerOp::Remove { id, .. } => {
                    self.append(&std::mem::take(&mut run))?;
                    edits.insert(id, None);
                    present.remove(id);
                }
            }
        }
        self.append(&run)?;
        self.edit(&edits)?;
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

    /// Puts other lines in the place of those with these ids, or none; that none is there is fine. They are looked for
    /// from the end, where the last saved are, and the file is written anew once for all of them.
    fn edit(&mut self, edits: &Edits<'_>) -> Result<(), LayerError> {
        if edits.is_empty() {
            return Ok(());
        }
        self.refresh(&HashSet::new())?;
        let Some((stamp, scan)) = &self.known else { return Ok(()) };
        let (len, marks) = (stamp.len, scan.marks.clone());
        let mut left: HashSet<&str> = edits.keys().copied().collect();
        let (mut end, mut first_block, mut pieces) = (len, 0, Vec::new());
        for (block, start) in marks.iter().enumerate().rev() {
            if left.is_empty() {
                break;
            }
            let found = self.spans_in(*start, end, &left)?;
            if !found.is_empty() {
                first_block = block;
            }
            for (id, span) in found.into_iter().rev() {
                // Of a block all lines of an id are taken; those before it are somebody else's.
                if let Some((id, line)) = edits.get_key_value(id.as_str()) {
                    left.remove(*id);
                    pieces.push(Piece { span, line: *line });
                }
            }
            end = *start;
        }
        match &pieces[..] {
            [] => Ok(()),
            [Piece { span, line: None }] if span.offset + span.len == len => self.shorten(*span),
            _ => {
                pieces.reverse();
                self.rewrite(&pieces).map_err(self.failed("rewrite"))?;
                let removed = pieces.iter().filter(|piece| piece.line.is_none()).count();
                self.read_from_block(first_block, removed as u64)
            }
        }
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

    /// Of a file that was written anew with changes from this block of features on, what stands before it is known.
    fn read_from_block(&mut self, block: usize, without: u64) -> Result<(), LayerError> {
        let Some((_, mut scan)) = self.known.take() else { return Ok(()) };
        let read = || {
            let file = regular_file::open(&self.path)?;
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

    /// Lines with these ids between two places, in order.
    fn spans_in(&self, start: u64, end: u64, ids: &HashSet<&str>) -> Result<Vec<(String, Span)>, LayerError> {
        let mut lines = self.lines_from(start)?;
        let mut spans = Vec::new();
        while let Some((span, line)) = lines.next().map_err(self.failed("read"))?
            && span.offset < end
        {
            if let Line::Feature(Some(id)) = classify(line)
                && ids.contains(id.as_str())
            {
                spans.push((id, span));
            }
        }
        Ok(spans)
    }

    /// Takes out what a power cut has left of lines; says whether there was anything, and it is gone. A card that is full
    /// keeps them, as lines that are skipped.
    pub(super) fn take_out(&self, hollow: &[Span]) -> bool {
        let pieces: Vec<Piece<'_>> = hollow.iter().map(|span| Piece { span: *span, line: None }).collect();
        !pieces.is_empty() && self.rewrite(&pieces).is_ok()
    }

    /// Writes the file anew, with these pieces, in order, in the place of their lines.
    fn rewrite(&self, pieces: &[Piece<'_>]) -> io::Result<()> {
        let mut from = regular_file::open(&self.path)?;
        let mut to = Replacement::begin_on(&self.disk, &self.path)?;
        let mut at = 0;
        for Piece { span, line } in pieces {
            io::copy(&mut self.progress.reading(&from).take(span.offset - at), &mut to)?;
            if let Some(line) = line {
                to.write_all(line.as_bytes())?;
                to.write_all(b"\n")?;
            }
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
    let mut reader = regular_file::open(file.path())?;
    reader.seek(SeekFrom::Start(start))?;
    reader.take(ours.len() as u64 + 1).read_to_end(&mut written)?;
    if ours.starts_with(&written) { file.set_len(start) } else { Ok(()) }
}
