//! One layer's file: what it holds. Changes to it are `changes`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::SystemTime;

use super::error::LayerError;
use super::filter::Filter;
use super::kept;
use super::line::{Line, MAX_LINE, classify};
use super::lines::{Lines, MARK_EVERY, Scan, Span};
use super::problem::{LayerProblem, Problems};
use super::progress::Progress;
use crate::durable::{Disk, DiskFile};
use crate::regular_file;

/// What the files of one directory have in common.
#[derive(Debug, Clone)]
pub(super) struct Belongings {
    pub dir: PathBuf,
    pub disk: Disk,
    pub problems: Problems,
    pub progress: Progress,
    /// Whether a crash may have left changes in a file that are still in the journal.
    pub unsure: bool,
}

#[derive(Debug)]
pub(super) struct LayerFile {
    layer: String,
    pub(super) path: PathBuf,
    pub(super) disk: Disk,
    /// What the file held when it last had this stamp; `None` before it was first read.
    pub(super) known: Option<(Stamp, Scan)>,
    /// How much of what is known was kept beside the file.
    pub(super) kept_len: u64,
    /// Changes of the journal may be in the file already: from before the start, or from a write that failed.
    pub(super) unsure: bool,
    /// A sync has failed: what was written may be dropped by the system though it can still be read.
    pub(super) dropped: bool,
    pub(super) made: VecDeque<(u64, String)>,
    problems: Problems,
    pub(super) progress: Progress,
    /// The last problem.
    told: Option<LayerProblem>,
}

/// Tells whether somebody else has changed the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub len: u64,
    pub modified: Option<SystemTime>,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl LayerFile {
    pub fn new(belongings: &Belongings, layer: &str) -> Self {
        Self {
            layer: layer.to_owned(),
            path: super::layer_path(&belongings.dir, layer),
            disk: belongings.disk.clone(),
            known: None,
            unsure: belongings.unsure,
            dropped: false,
            made: VecDeque::new(),
            kept_len: 0,
            problems: belongings.problems.clone(),
            progress: belongings.progress.clone(),
            told: None,
        }
    }

    pub(super) fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> LayerError + use<> {
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
    pub(super) fn refresh(
        &mut self,
        wanted: &HashSet<&str>,
    ) -> Result<HashMap<String, Vec<Span>>, LayerError> {
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
        let file = regular_file::open(&self.path).map_err(self.failed("open"))?;
        let stamp = Stamp::of(&file.metadata().map_err(self.failed("read"))?);
        let kept =
            if wanted.is_empty() { kept::load(&self.path, &file, stamp.len, stamp.modified) } else { None };
        let mut scan = kept.unwrap_or_default();
        let read = stamp.len.saturating_sub(scan.bytes);
        self.kept_len = scan.bytes;
        if read > 0 {
            let bad_lines = scan.bad_lines;
            let lines = self.reader(file, scan.bytes).map_err(self.failed("read"))?;
            scan.read_on(lines, wanted).map_err(self.failed("read"))?;
            if !is_known && self.take_out(&scan.hollow) {
                let (layer, lines) = (self.layer.clone(), scan.hollow.len());
                self.found(LayerProblem::HollowLines { layer, lines });
                return self.refresh(wanted);
            }
            if scan.bad_lines > bad_lines && !is_known {
                let (layer, lines, first) = (self.layer.clone(), scan.bad_lines, scan.described.clone());
                self.found(LayerProblem::BadLines { layer, lines, first });
            }
        }
        let found = std::mem::take(&mut scan.found);
        self.known = Some((stamp, scan));
        self.keep_scan();
        Ok(found)
    }

    /// Keeps what is known of a large file beside it, now and then.
    pub(super) fn keep_scan(&mut self) {
        let Some((stamp, scan)) = &self.known else { return };
        if scan.bytes.abs_diff(self.kept_len) < kept::WORTH {
            return;
        }
        if let Err(error) = kept::save(&self.disk, &self.path, scan, stamp.modified) {
            // The next start reads the file instead.
            tracing::debug!(layer = self.layer, %error, "what was found in a layer is not kept");
        }
        self.kept_len = scan.bytes;
    }

    /// Reads a file from a place on; each piece that is read is a sign of life.
    pub(super) fn reader(&self, mut file: File, offset: u64) -> io::Result<BufReader<impl Read + use<>>> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(BufReader::with_capacity(1 << 16, self.progress.reading(file)))
    }

    /// Lines of ours behind text of two bytes a letter would be readable for nobody, and its last newline is no end of a line.
    fn refuse_utf_16(&self, file: &mut File) -> Result<(), LayerError> {
        let mut mark = [0; 2];
        match file.read_exact(&mut mark) {
            Ok(()) if matches!(mark, [0xff, 0xfe] | [0xfe, 0xff]) => {
                Err(LayerError::Utf16 { path: self.path.clone() })
            }
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(self.failed("read")(error)),
            _ => Ok(()),
        }
    }

    /// Makes the file end in a newline: a whole last feature gets one, anything else after the last newline is
    /// cut off, and kept aside as far as the card has room.
    fn repair_tail(&mut self) -> Result<(), LayerError> {
        let mut file = regular_file::open(&self.path).map_err(self.failed("open"))?;
        self.refuse_utf_16(&mut file)?;
        let len = file.metadata().map_err(self.failed("read"))?.len();
        let start = last_line_start(&mut file, len).map_err(self.failed("read"))?;
        if start == len {
            return Ok(());
        }
        file.seek(SeekFrom::Start(start)).map_err(self.failed("read"))?;
        let mut tail = Vec::new();
        file.take(MAX_LINE as u64 + 1).read_to_end(&mut tail).map_err(self.failed("read"))?;
        let failed = self.failed("repair");
        if matches!(classify(&tail), Line::Feature(_)) {
            let mut file = self.open(OpenOptions::new().append(true)).map_err(&failed)?;
            file.append(b"\n").map_err(&failed)?;
            return self.sync(&file).map_err(&failed);
        }
        let kept = self.path.with_extension("geojsonl.torn");
        let kept =
            self.disk.create(&kept, true).and_then(|mut file| file.append(&tail)).is_ok().then_some(kept);
        let file = self.open(OpenOptions::new().write(true)).map_err(&failed)?;
        file.set_len(start).map_err(&failed)?;
        self.sync(&file).map_err(&failed)?;
        let (layer, bytes) = (self.layer.clone(), len - start);
        self.found(LayerProblem::TornLine { layer, bytes, kept });
        Ok(())
    }

    /// Notes a problem; what was told is not told again.
    fn found(&mut self, problem: LayerProblem) {
        if self.told.as_ref() != Some(&problem) {
            self.told = Some(problem.clone());
            self.problems.push(problem);
        }
    }

    pub(super) fn open(&self, how: &OpenOptions) -> io::Result<DiskFile> {
        self.disk.open(&self.path, how)
    }

    pub(super) fn sync(&mut self, file: &DiskFile) -> io::Result<()> {
        let synced = file.sync();
        self.dropped |= synced.is_err();
        synced
    }

    pub(super) fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir(self.path.parent().unwrap_or(&self.path))
    }

    pub(super) fn lines_from(&self, offset: u64) -> Result<Lines<BufReader<impl Read + use<>>>, LayerError> {
        let file = regular_file::open(&self.path).map_err(self.failed("open"))?;
        Ok(Lines::at(self.reader(file, offset).map_err(self.failed("read"))?, offset))
    }

    /// Features from a place on: see [`super::Layers::fetch_where`].
    pub fn page(
        &mut self,
        offset: u64,
        limit: u64,
        max_bytes: usize,
        filter: &Filter,
    ) -> Result<super::Page, LayerError> {
        let scan = self.scan()?;
        let total = scan.features;
        let mut page = super::Page { offset, total, lines: Vec::new(), next: None };
        let mark = usize::try_from(offset / MARK_EVERY).ok().and_then(|at| scan.marks.get(at)).copied();
        let Some(mark) = mark.filter(|_| offset < total) else { return Ok(page) };
        // Ids that are still to come; of those that are asked for none is there twice.
        let mut to_come = filter.ids.as_ref().map(std::collections::HashSet::len);
        let mut lines = self.lines_from(mark)?;
        let (mut index, mut bytes) = (offset - offset % MARK_EVERY, 0usize);
        while index < total && (page.lines.len() as u64) < limit && to_come != Some(0) {
            let Some((_, line)) = lines.next().map_err(self.failed("read"))? else { break };
            let Line::Feature(id) = classify(line) else { continue };
            if index >= offset && filter.fits(id.as_deref(), super::line::trim(line)) {
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
                to_come = to_come.map(|ids| ids.saturating_sub(1));
            }
            index += 1;
        }
        page.next = Some(index.max(offset)).filter(|next| *next < total && to_come != Some(0));
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
