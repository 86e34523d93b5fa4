//! A layer file line by line, in bounded memory whatever the file holds.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};

use super::line::{Line, MAX_LINE, classify};

/// Features between two marks of the index: the most that is read to reach one of them.
pub(super) const MARK_EVERY: u64 = 64;

/// Bad lines that are described; more are counted.
pub(super) const DESCRIBED: usize = 8;

/// Hollow lines that are taken out at a time. A commit has fewer.
const MOST_HOLLOW: usize = 4096;

/// A line's place in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes, the newline among them.
    pub len: u64,
    /// Whether it ends in a newline; only the last line of a file may not.
    pub ended: bool,
}

/// Reads lines, keeping at most [`MAX_LINE`] and one bytes of each.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    offset: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Lines from a reader that stands at this byte of the file.
    pub const fn at(reader: R, offset: u64) -> Self {
        Self { reader, offset, buffer: Vec::new() }
    }

    /// The line that was given last.
    pub fn last(&self) -> &[u8] {
        &self.buffer
    }

    /// The next line and where it stands; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<(Span, &[u8])>> {
        self.buffer.clear();
        let (mut len, mut ended) = (0u64, false);
        while !ended {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let newline = chunk.iter().position(|b| *b == b'\n');
            let take = newline.map_or(chunk.len(), |at| at + 1);
            let room = (MAX_LINE + 1).saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(&chunk[..take.min(room)]);
            self.reader.consume(take);
            len += take as u64;
            ended = newline.is_some();
        }
        if len == 0 {
            return Ok(None);
        }
        let span = Span { offset: self.offset, len, ended };
        self.offset += len;
        Ok(Some((span, &self.buffer)))
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// Features.
    pub features: u64,
    /// Offset of every 64th feature, from the first.
    pub marks: Vec<u64>,
    /// Bytes to the end of the last line that ends in a newline.
    pub bytes: u64,
    /// Lines that are neither blank nor a feature.
    pub bad_lines: u64,
    /// The first of them that were met: number of the line, from 1, and what is wrong.
    pub described: Vec<(u64, &'static str)>,
    /// Lines.
    pub lines: u64,
    /// Lines with NUL bytes (but not UTF-16), of which no JSON has one: what a power cut has left of lines whose blocks were not on the card.
    pub hollow: Vec<Span>,
    /// Where the ids that were asked for stand.
    pub found: HashMap<String, Vec<Span>>,
}

impl Scan {
    /// Reads on, from a reader that stands where this scan has ended.
    pub(super) fn read_on(&mut self, reader: impl BufRead, wanted: &HashSet<&str>) -> io::Result<()> {
        let mut lines = Lines::at(reader, self.bytes);
        while let Some((span, line)) = lines.next()? {
            if !span.ended {
                break;
            }
            self.lines += 1;
            self.bytes = span.offset + span.len;
            match classify(line) {
                Line::Blank => {}
                Line::Feature(id) => {
                    self.feature_at(span.offset);
                    if let Some(id) = id.filter(|id| wanted.contains(id.as_str())) {
                        self.found.entry(id).or_default().push(span);
                    }
                }
                Line::Bad(problem) => {
                    self.bad_lines += 1;
                    if is_hollow(line) && self.hollow.len() < MOST_HOLLOW {
                        self.hollow.push(span);
                    }
                    if self.described.len() < DESCRIBED {
                        self.described.push((self.lines, problem));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn feature_at(&mut self, offset: u64) {
        if self.features.is_multiple_of(MARK_EVERY) {
            self.marks.push(offset);
        }
        self.features += 1;
    }
}

/// Whether a line has zeros in it as a power cut leaves them. In UTF-16 every other byte of plain text is one, and never two
/// beside each other: somebody's editor has written that.
fn is_hollow(line: &[u8]) -> bool {
    let zeros = line.iter().filter(|byte| **byte == 0).count();
    let is_utf_16 = zeros * 3 >= line.len() && !line.windows(2).any(|pair| pair == [0, 0]);
    zeros > 0 && !is_utf_16
}

/// Reads a layer file, looking for these ids. A last line that does not end in a newline is not looked at.
///
/// # Errors
/// Those of the reader.
pub fn scan(reader: impl BufRead, wanted: &HashSet<&str>) -> io::Result<Scan> {
    let mut scan = Scan::default();
    scan.read_on(reader, wanted)?;
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_counted_and_found_past_blank_and_bad_lines() {
        let file = b"{\"type\":\"Feature\",\"id\":\"a\"}\n\nnonsense\n{\"type\":\"Feature\",\"id\":\"b\"}\n{\"type\":";
        let scan = scan(&file[..], &HashSet::from(["b", "c"])).unwrap();
        assert_eq!((scan.features, scan.bad_lines), (2, 1));
        assert_eq!(scan.described, [(3, "it is not JSON")]);
        assert_eq!(scan.bytes as usize, file.len() - 8);
        assert_eq!(scan.found["b"], [Span { offset: 38, len: 28, ended: true }]);
        assert!(!scan.found.contains_key("c"));
    }

    #[test]
    fn a_line_without_end_is_not_kept_in_memory() {
        let endless = io::BufReader::new(io::Read::take(io::repeat(b'['), 3 * MAX_LINE as u64));
        let mut lines = Lines::at(endless, 0);
        let (span, line) = lines.next().unwrap().unwrap();
        assert_eq!((span.len, span.ended, line.len()), (3 * MAX_LINE as u64, false, MAX_LINE + 1));
        assert!(lines.next().unwrap().is_none());
    }
}
