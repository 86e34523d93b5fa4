//! JSON texts in a stream: one a line, as programs write requests, or one over many lines, as GDAL and QGIS write
//! GeoJSON and editors write JSON.

use std::collections::VecDeque;
use std::io::{self, BufRead};

/// One JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Document {
    /// The line that it begins in, from 1.
    pub line: u64,
    pub text: Vec<u8>,
    /// Whether its brackets are still open at the end.
    pub is_open: bool,
}

/// Takes the texts apart.
pub(in crate::cli) struct Documents<R> {
    input: R,
    /// Lines taken from the input.
    lines: u64,
    /// Lines that were looked at and given back, with their numbers.
    given_back: VecDeque<(u64, Vec<u8>)>,
    /// Most bytes of a text over several lines.
    limit: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// RFC 8142 puts it before each text of a sequence, as GDAL does with `RS=YES`.
const RECORD_SEPARATOR: u8 = 0x1E;

impl<R: BufRead> Documents<R> {
    pub(in crate::cli) fn new(input: R, limit: usize) -> Self {
        Self { input, lines: 0, given_back: VecDeque::new(), limit }
    }

    /// The next text; `None` at the end.
    pub(in crate::cli) fn next(&mut self) -> io::Result<Option<Document>> {
        let Some((line, first)) = self.next_line()? else { return Ok(None) };
        let mut depth = opened(&first);
        if depth <= 0 || !goes_on(&first) {
            return Ok(Some(Document { line, is_open: depth > 0, text: first }));
        }
        let mut lines = vec![(line, first)];
        let mut bytes = 0;
        while depth > 0 && bytes <= self.limit {
            let Some(next) = self.next_line()? else { break };
            depth += opened(&next.1);
            bytes += next.1.len();
            lines.push(next);
        }
        // A line that was cut off, before others that are whole: it alone is broken.
        let is_open = depth > 0;
        if is_open && lines.get(1).is_some_and(|(_, second)| is_object(second)) {
            self.given_back.extend(lines.drain(1..));
        }
        let last = lines.last().map_or(line, |(number, _)| *number);
        // Blank lines were passed over, but count in what the parser says of a place.
        let mut text = Vec::new();
        let mut lines = lines.into_iter().peekable();
        for number in line..=last {
            if let Some((_, part)) = lines.next_if(|(n, _)| *n == number) {
                text.extend(part);
            } else {
                text.push(b'\n');
            }
        }
        Ok(Some(Document { line, text, is_open }))
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        if let Some(line) = self.given_back.pop_front() {
            return Ok(Some(line));
        }
        loop {
            let mut line = Vec::new();
            if self.input.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            self.lines += 1;
            if self.lines == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            if line.first() == Some(&RECORD_SEPARATOR) {
                line.remove(0);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.lines, line)));
            }
        }
    }
}

/// Brackets opened and not closed in a line; a string does not go on in the next one.
fn opened(line: &[u8]) -> i64 {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for &byte in line {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth -= 1,
            _ => {}
        }
    }
    depth
}

/// Whether a line with open brackets ends where JSON may go on in the next one.
fn goes_on(line: &[u8]) -> bool {
    line.trim_ascii_end().last().is_some_and(|byte| b"[{,:".contains(byte))
}

/// Whether a line is a whole object.
fn is_object(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"{") && line.ends_with(b"}") && opened(line) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Vec<(u64, String, bool)> {
        let mut documents = Documents::new(text.as_bytes(), 1 << 20);
        std::iter::from_fn(|| documents.next().unwrap())
            .map(|d| (d.line, String::from_utf8(d.text).unwrap(), d.is_open))
            .collect()
    }

    #[test]
    fn a_text_is_a_line_or_goes_over_several() {
        let gdal = "{\n\"type\": \"FeatureCollection\",\n\n\"features\": [\n{ \"a\": \"]\\\"\" }\n]\n}\n";
        let text = format!("\u{FEFF}{{\"id\":1}}\n\n{gdal}\u{1e}{{\"id\":2}}");
        let expected = [(1, "{\"id\":1}\n", false), (3, gdal, false), (10, "{\"id\":2}", false)];
        assert_eq!(documents(&text), expected.map(|(n, t, o)| (n, t.to_owned(), o)));
    }

    #[test]
    fn a_broken_line_does_not_swallow_the_lines_after_it() {
        for broken in ["{\"points\": [[1, 2]", "{\"points\": [[1, 2],"] {
            let text = format!("{broken}\n{{\"id\":1}}\n{{\"id\":2}}\n");
            let found = documents(&text);
            let lines: Vec<(u64, bool)> = found.iter().map(|d| (d.0, d.2)).collect();
            assert_eq!(lines, [(1, true), (2, false), (3, false)], "{broken}");
        }
    }

    #[test]
    fn a_text_that_is_cut_off_is_one_text() {
        let found =
            documents("{\n\"type\": \"FeatureCollection\",\n\"features\": [\n{\"a\":1},\n{\"a\":2},\n");
        assert_eq!((found.len(), found[0].2), (1, true));
    }
}
