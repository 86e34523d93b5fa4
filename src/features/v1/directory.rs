//! The first directory of a TIFF or BigTIFF: the few tags that a chip needs, read with every bound checked.
//!
//! The `tiff` crate reads the pixels. It is not asked for these, because a catalogue reads thousands of
//! headers, and because sizes are checked here before it multiplies them.

use std::collections::HashMap;
use std::io;

use rawzip::ReaderAt;

use crate::stand_in::{StandIn, stand_in_at};

/// Most tags of a directory.
const MAX_TAGS: u64 = 4096;
/// Most bytes of one tag's value. GDAL's metadata of a chip has 300.
const MAX_VALUE: u64 = 1 << 20;

/// Why a directory cannot be read.
pub(crate) enum DirectoryError {
    /// The system could not read.
    Io(io::Error),
    /// The file is not a sound TIFF.
    Unsound(String),
    /// It is something else, known or not.
    NoTiff(Option<StandIn>),
}

impl From<io::Error> for DirectoryError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Unsound("it is truncated".to_owned()),
            _ => Self::Io(error),
        }
    }
}

/// The values of the wanted tags, as raw bytes in the file's byte order.
pub(crate) struct Directory {
    fields: HashMap<u16, Field>,
    little: bool,
    next: u64,
}

struct Field {
    kind: u16,
    /// Where the value begins in the file.
    at: u64,
    bytes: Vec<u8>,
}

/// Bytes of one value of a TIFF field type; `None` for types that do not exist.
const fn width(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

struct Source<'r, R: ?Sized> {
    reader: &'r R,
    size: u64,
    little: bool,
    big: bool,
}

impl<R: ReaderAt + ?Sized> Source<'_, R> {
    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>, DirectoryError> {
        let inside = at.checked_add(length).is_some_and(|end| end <= self.size);
        let length = usize::try_from(length).ok().filter(|_| inside);
        let mut bytes = vec![0; length.ok_or_else(|| DirectoryError::Unsound("it is truncated".to_owned()))?];
        self.reader.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// An offset or count: 32 bits in TIFF, 64 in BigTIFF.
    fn word(&self, bytes: &[u8]) -> u64 {
        unsigned(if self.big { bytes } else { bytes.get(..4).unwrap_or(bytes) }, self.little)
    }
}

/// An unsigned integer of up to eight bytes.
fn unsigned(bytes: &[u8], little: bool) -> u64 {
    let one = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    if little { bytes.iter().rev().fold(0, one) } else { bytes.iter().fold(0, one) }
}

impl Directory {
    /// Reads the wanted tags of the first image of a file of `size` bytes.
    pub(crate) fn read<R: ReaderAt + ?Sized>(
        reader: &R,
        size: u64,
        wanted: &[u16],
    ) -> Result<Self, DirectoryError> {
        Self::read_at(reader, size, None, wanted)
    }

    /// Reads the wanted tags of the image whose directory is at a place ([`Directory::next`]), else of the first one.
    pub(crate) fn read_at<R: ReaderAt + ?Sized>(
        reader: &R,
        size: u64,
        place: Option<u64>,
        wanted: &[u16],
    ) -> Result<Self, DirectoryError> {
        let unsound = |what: &str| DirectoryError::Unsound(what.to_owned());
        let no_tiff = || DirectoryError::NoTiff(stand_in_at(reader));
        let mut source = Source { reader, size, little: true, big: false };
        let magic = source.bytes(0, 8)?;
        source.little = match &magic[..2] {
            b"II" => true,
            b"MM" => false,
            _ => return Err(no_tiff()),
        };
        let first = match unsigned(&magic[2..4], source.little) {
            42 => unsigned(&magic[4..8], source.little),
            43 => {
                source.big = true;
                source.word(&source.bytes(8, 8)?)
            }
            _ => return Err(no_tiff()),
        };
        let first = place.unwrap_or(first);
        // Count, then entries of: tag (2), type (2), count (4 or 8), value or offset (4 or 8).
        let (count_width, entry_width, word) = if source.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = unsigned(&source.bytes(first, count_width)?, source.little);
        if count > MAX_TAGS {
            return Err(unsound("its directory is damaged"));
        }
        let begin = first.saturating_add(count_width);
        let table = source.bytes(begin, count * entry_width)?;
        let mut fields = HashMap::new();
        for (entry, at) in table
            .chunks_exact(if source.big { 20 } else { 12 })
            .zip((begin..).step_by(if source.big { 20 } else { 12 }))
        {
            let short = |at: usize| {
                // Two bytes always fit.
                u16::try_from(unsigned(&entry[at..at + 2], source.little)).unwrap_or(u16::MAX)
            };
            let (tag, kind) = (short(0), short(2));
            if !wanted.contains(&tag) {
                continue;
            }
            let length = width(kind).and_then(|w| w.checked_mul(source.word(&entry[4..4 + word])));
            let length =
                length.filter(|&n| n <= MAX_VALUE).ok_or_else(|| unsound("a tag of it is damaged"))?;
            let inline = &entry[4 + word..];
            let (at, bytes) = match usize::try_from(length) {
                Ok(short) if short <= inline.len() => (at + 4 + word as u64, inline[..short].to_vec()),
                _ => (source.word(inline), source.bytes(source.word(inline), length)?),
            };
            // Another reader might take the other one.
            if fields.insert(tag, Field { kind, at, bytes }).is_some() {
                return Err(unsound("a tag stands in it twice"));
            }
        }
        // Files that end here exist, and are read by others too.
        let next =
            source.bytes(begin + count * entry_width, word as u64).map_or(0, |bytes| source.word(&bytes));
        Ok(Self { fields, little: source.little, next })
    }

    /// Where the directory of the next image is; 0 after the last.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether numbers in the file begin with their lowest byte.
    pub(crate) const fn is_little_endian(&self) -> bool {
        self.little
    }

    /// Where the value of a tag begins in the file.
    pub(crate) fn position(&self, tag: u16) -> Option<u64> {
        self.fields.get(&tag).map(|field| field.at)
    }

    /// The integers of a tag; `None` where it is missing or holds something else.
    pub(crate) fn integers(&self, tag: u16) -> Option<Vec<u64>> {
        let field = self.fields.get(&tag)?;
        let width = match field.kind {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        Some(field.bytes.chunks_exact(width).map(|b| unsigned(b, self.little)).collect())
    }

    /// The first integer of a tag.
    pub(crate) fn integer(&self, tag: u16) -> Option<u64> {
        self.integers(tag)?.first().copied()
    }

    /// The doubles of a tag; `None` where it is missing or holds something else.
    pub(crate) fn doubles(&self, tag: u16) -> Option<Vec<f64>> {
        let field = self.fields.get(&tag).filter(|field| field.kind == 12)?;
        Some(field.bytes.chunks_exact(8).map(|b| f64::from_bits(unsigned(b, self.little))).collect())
    }

    /// The text of a tag, up to its first NUL.
    pub(crate) fn text(&self, tag: u16) -> Option<String> {
        let field = self.fields.get(&tag).filter(|field| field.kind == 2)?;
        let end = field.bytes.iter().position(|&b| b == 0).unwrap_or(field.bytes.len());
        Some(String::from_utf8_lossy(&field.bytes[..end]).into_owned())
    }
}
