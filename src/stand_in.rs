//! What often lies in the place of a file that was fetched, and is not the file: a pointer of Git LFS, a web page. Only messages go
//! by it.

use std::fmt;

use rawzip::ReaderAt;

/// How many bytes of a file's beginning tell.
pub(crate) const BEGINNING: usize = 512;

/// Something in the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StandIn {
    /// What it is, to follow "is".
    pub what: &'static str,
    /// What to do, as a clause of its own.
    pub advice: &'static str,
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.advice)
    }
}

const POINTER: StandIn = StandIn {
    what: "a pointer of Git LFS in place of the file",
    advice: "run `git lfs pull` where it was cloned, and copy it from there",
};
/// Of pages, and of what else begins as XML where XML is never meant.
pub(crate) const WEB_PAGE: StandIn = StandIn {
    what: "a web page, as a download that needs a login or has moved leaves it",
    advice: "download the file itself",
};
const SERVER_ERROR: StandIn = StandIn {
    what: "a server's error message, as a download that was refused leaves it",
    advice: "download the file again",
};

/// How pages begin, in lower case.
const OF_PAGES: [&[u8]; 5] = [b"<!doctype html", b"<html", b"<head", b"<body", b"<script"];

/// What stands in the place of a file that begins so; none where it is not known.
pub(crate) fn stand_in(beginning: &[u8]) -> Option<StandIn> {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    // git-lfs/docs/spec.md: a pointer's first line.
    if text.starts_with(b"version https://git-lfs") {
        return Some(POINTER);
    }
    let element = first_element(text);
    let begins = |mark: &[u8]| element.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark));
    if OF_PAGES.iter().any(|mark| begins(mark)) {
        return Some(WEB_PAGE);
    }
    // As stores of objects say it (S3 and those like it).
    begins(b"<error>").then_some(SERVER_ERROR)
}

/// The same by a file that is open. One that cannot be read tells nothing here.
pub(crate) fn stand_in_at<R: ReaderAt + ?Sized>(reader: &R) -> Option<StandIn> {
    let mut beginning = [0; BEGINNING];
    let length = reader.read_at(&mut beginning, 0).ok()?;
    stand_in(beginning.get(..length)?)
}

/// What follows the declaration and the comments of XML or HTML.
fn first_element(mut text: &[u8]) -> &[u8] {
    for _ in 0..8 {
        let end: &[u8] = match text {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            _ => break,
        };
        let Some(at) = text.windows(end.len()).position(|part| part == end) else { break };
        text = text.get(at + end.len()..).unwrap_or_default().trim_ascii_start();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_pages_are_known_however_they_begin() {
        for (begins, is) in [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", POINTER),
            ("<!DOCTYPE html>\n<html>", WEB_PAGE),
            ("\u{feff}\r\n <HTML lang=\"de\">", WEB_PAGE),
            ("<?xml version=\"1.0\"?>\n<!-- a --><!-- b -->\n<!doctype HTML PUBLIC \"-//W3C\">", WEB_PAGE),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>",
                SERVER_ERROR,
            ),
        ] {
            assert_eq!(stand_in(begins.as_bytes()), Some(is), "{begins}");
            assert_eq!(stand_in_at(begins.as_bytes()), Some(is), "{begins}");
        }
    }

    #[test]
    fn other_files_are_left_to_who_reads_them() {
        for begins in [
            "",
            "<",
            "<!--",
            "<?xml",
            "<?xml version=\"1.0\"?><kml>",
            "<VRTDataset>",
            "PAR1",
            "II*\0",
            "version 2",
            "lon,lat",
        ] {
            assert_eq!(stand_in(begins.as_bytes()), None, "{begins}");
        }
    }
}
