//! One column of a Parquet file, value after value. Where columns stand is known in `columns`, what
//! their values mean in `row`.
//!
//! The `parquet` crate reads columns too, but its decoders panic on damaged pages: on a text whose
//! length field is cut off, on indices without a dictionary, on delta-encoded lengths that run over. A
//! card may hold such pages, so the few encodings that manifests use are read here.

use std::io::{Read, Seek};

use super::page::{
    ENCODING_PLAIN, ENCODING_PLAIN_DICTIONARY, ENCODING_RLE, ENCODING_RLE_DICTIONARY, PageCodec, PageError,
    PageHeader, PageKind, read_page,
};
use super::runs::{DamagedRuns, Runs};

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ColumnError {
    /// Its page cannot be read.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The levels or indices of its page are damaged.
    #[error(transparent)]
    Runs(#[from] DamagedRuns),
    /// Its page is cut off, or has less values than it says.
    #[error("a page ends within a value")]
    CutOff,
    /// A page points to a value that the dictionary does not have.
    #[error("a page points outside its dictionary")]
    NotInDictionary,
    /// The column has less pages than rows, or more.
    #[error("its pages hold another number of rows than the footer tells")]
    RowCount,
    /// The value is missing.
    #[error("is missing")]
    Null,
    /// The values are encoded in a way that is not read here.
    #[error("uses the encoding {0}")]
    Encoding(String),
}

/// The bytes of one column in one row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// Offset in the file of the first page, and of what follows the last.
    pub(super) range: (u64, u64),
    /// How the pages are compressed.
    pub(super) codec: PageCodec,
    /// Rows of the row group.
    pub(super) rows: u64,
}

/// How values are laid out in a plain page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Bytes with their length before them.
    Variable,
    /// So many bytes each.
    Fixed(usize),
}

#[derive(Debug, Clone, Copy)]
enum Values {
    Plain { position: usize },
    Indices(Runs),
}

/// A position in a column. At most one page and one dictionary are in memory.
#[derive(Debug)]
pub(super) struct Column {
    chunks: std::vec::IntoIter<Chunk>,
    /// Whether values may be missing, so that pages begin with levels.
    optional: bool,
    width: Width,
    chunk: Option<Chunk>,
    /// Rows of the chunk in pages not yet read.
    rows_ahead: u64,
    page: Vec<u8>,
    values: Values,
    /// Values left in the page before one is missing, and in all.
    present: usize,
    left: usize,
    /// The levels behind the first that is missing.
    levels: Option<Runs>,
    dictionary: Vec<u8>,
    entries: Vec<(u32, u32)>,
    has_dictionary: bool,
}

impl Column {
    /// A column at its first value.
    pub(super) fn new(chunks: Vec<Chunk>, optional: bool, width: Width) -> Self {
        Self {
            chunks: chunks.into_iter(),
            optional,
            width,
            chunk: None,
            rows_ahead: 0,
            page: Vec::new(),
            values: Values::Plain { position: 0 },
            present: 0,
            left: 0,
            levels: None,
            dictionary: Vec::new(),
            entries: Vec::new(),
            has_dictionary: false,
        }
    }

    /// The next value's bytes. `scratch` is free to be overwritten. After [`ColumnError::Null`] the column stands behind the value
    /// that is missing; after any other error it is not to be read on.
    pub(super) fn next<R: Read + Seek>(
        &mut self,
        file: &mut R,
        scratch: &mut Vec<u8>,
    ) -> Result<&[u8], ColumnError> {
        while self.left == 0 {
            self.turn_page(file, scratch)?;
        }
        if self.present == 0 {
            self.left -= 1;
            if let Some(levels) = &mut self.levels {
                self.present = levels.count_leading(&self.page, 1, self.left)?;
            }
            return Err(ColumnError::Null);
        }
        self.left -= 1;
        self.present -= 1;
        match &mut self.values {
            Values::Plain { position } => {
                let (start, end) = plain_value(&self.page, *position, self.width)?;
                *position = end;
                Ok(&self.page[start..end])
            }
            Values::Indices(runs) => {
                let index = runs.next(&self.page)?;
                let &(start, end) = self.entries.get(index as usize).ok_or(ColumnError::NotInDictionary)?;
                Ok(&self.dictionary[start as usize..end as usize])
            }
        }
    }

    /// Reads the next page. A chunk has at least as many bytes as a header for every call, so that
    /// calling this until there are values comes to an end.
    fn turn_page<R: Read + Seek>(&mut self, file: &mut R, scratch: &mut Vec<u8>) -> Result<(), ColumnError> {
        while self.rows_ahead == 0 {
            let chunk = self.chunks.next().ok_or(ColumnError::RowCount)?;
            self.chunk = Some(chunk);
            self.rows_ahead = chunk.rows;
            self.has_dictionary = false;
        }
        let chunk = self.chunk.as_mut().ok_or(ColumnError::RowCount)?;
        if chunk.range.0 >= chunk.range.1 {
            return Err(ColumnError::RowCount);
        }
        let (header, behind) = read_page(file, chunk.range, chunk.codec, scratch, &mut self.page)?;
        chunk.range.0 = behind;
        match header.kind {
            PageKind::Other => Ok(()),
            PageKind::Dictionary => self.read_dictionary(&header),
            PageKind::Data | PageKind::DataV2 { .. } => {
                self.rows_ahead =
                    self.rows_ahead.checked_sub(header.values as u64).ok_or(ColumnError::RowCount)?;
                self.start_values(&header)
            }
        }
    }

    fn read_dictionary(&mut self, header: &PageHeader) -> Result<(), ColumnError> {
        if !matches!(header.encoding, ENCODING_PLAIN | ENCODING_PLAIN_DICTIONARY) {
            return Err(ColumnError::Encoding(encoding_name(header.encoding)));
        }
        std::mem::swap(&mut self.dictionary, &mut self.page);
        self.page.clear();
        self.entries.clear();
        let mut position = 0;
        // Grows with the bytes that are there, not with the number that the header tells.
        for _ in 0..header.values {
            let (start, end) = plain_value(&self.dictionary, position, self.width)?;
            // A page has less than 2^32 bytes.
            self.entries.push((start as u32, end as u32));
            position = end;
        }
        self.has_dictionary = true;
        Ok(())
    }

    fn start_values(&mut self, header: &PageHeader) -> Result<(), ColumnError> {
        self.left = header.values;
        self.present = header.values;
        self.levels = None;
        let values_at = match header.kind {
            PageKind::DataV2 { levels } => {
                if self.optional {
                    self.count_present(0, levels)?;
                }
                levels
            }
            _ if self.optional => {
                if header.level_encoding != ENCODING_RLE {
                    return Err(ColumnError::Encoding(format!("{} of levels", header.level_encoding)));
                }
                let (start, end) = plain_value(&self.page, 0, Width::Variable)?;
                self.count_present(start, end)?;
                end
            }
            _ => 0,
        };
        self.values = match header.encoding {
            ENCODING_PLAIN => Values::Plain { position: values_at },
            ENCODING_PLAIN_DICTIONARY | ENCODING_RLE_DICTIONARY if self.has_dictionary => {
                match self.page.get(values_at) {
                    Some(&width) => Values::Indices(Runs::new(width, values_at + 1, self.page.len())?),
                    // Without a byte there may be no value; if there is one, it is cut off.
                    None => Values::Plain { position: self.page.len() },
                }
            }
            ENCODING_PLAIN_DICTIONARY | ENCODING_RLE_DICTIONARY => return Err(ColumnError::NotInDictionary),
            other => return Err(ColumnError::Encoding(encoding_name(other))),
        };
        Ok(())
    }

    /// Counts the values before the first that is missing, from the levels in `start..end`.
    fn count_present(&mut self, start: usize, end: usize) -> Result<(), ColumnError> {
        let mut levels = Runs::new(1, start, end)?;
        self.present = levels.count_leading(&self.page, 1, self.left)?;
        self.levels = Some(levels);
        Ok(())
    }
}

/// Where the value at `position` starts and ends.
fn plain_value(page: &[u8], position: usize, width: Width) -> Result<(usize, usize), ColumnError> {
    let (start, length) = match width {
        Width::Fixed(length) => (position, length),
        Width::Variable => {
            let prefix =
                page.get(position..).and_then(|rest| rest.first_chunk()).ok_or(ColumnError::CutOff)?;
            (position + 4, u32::from_le_bytes(*prefix) as usize)
        }
    };
    let end = start.checked_add(length).filter(|&end| end <= page.len()).ok_or(ColumnError::CutOff)?;
    Ok((start, end))
}

fn encoding_name(code: i64) -> String {
    match code {
        ENCODING_RLE => "RLE".to_owned(),
        5 => "DELTA_BINARY_PACKED".to_owned(),
        6 => "DELTA_LENGTH_BYTE_ARRAY".to_owned(),
        7 => "DELTA_BYTE_ARRAY".to_owned(),
        9 => "BYTE_STREAM_SPLIT".to_owned(),
        other => format!("number {other}"),
    }
}
