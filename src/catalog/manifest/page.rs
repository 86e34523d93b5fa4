//! One page of a Parquet column: its header, and its bytes decompressed. Values are taken out of it in
//! `column`.
//!
//! Nothing is allocated on the word of a header: a page's sizes are checked against the file and
//! against what its codec can compress at best.
//!
//! Source: `parquet.thrift` of the Apache Parquet format.

use std::io::{Read, Seek, SeekFrom};

use parquet::basic::CompressionCodec;

use super::thrift::{CompactReader, Kind, ThriftError};

/// The largest page that is read; usual writers stop at 1 MiB, DuckDB at a row group.
const MAX_PAGE: usize = 32 << 20;
/// The largest page header; it may hold the smallest and largest value of its page.
const MAX_HEADER: usize = 1 << 20;

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// The file cannot be read.
    #[error("cannot read ({0})")]
    Io(#[from] std::io::Error),
    /// The header is not one.
    #[error("the header of a page is damaged ({0})")]
    Header(#[from] ThriftError),
    /// A size in the header cannot be true.
    #[error("a page says it has {what} {value}, which cannot be")]
    Lies { what: &'static str, value: i64 },
    /// The compressed bytes are damaged.
    #[error("a page cannot be decompressed ({0})")]
    Compression(String),
}

/// How the bytes of a column are compressed; the codecs that are compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageCodec {
    /// Not at all.
    Plain,
    /// Raw Snappy, the default of pandas.
    Snappy,
    /// GZIP members.
    Gzip,
}

impl PageCodec {
    /// The codec of a column, or its name where we cannot read it.
    pub(super) const fn new(codec: CompressionCodec) -> Result<Self, &'static str> {
        match codec {
            CompressionCodec::UNCOMPRESSED => Ok(Self::Plain),
            CompressionCodec::SNAPPY => Ok(Self::Snappy),
            CompressionCodec::GZIP => Ok(Self::Gzip),
            CompressionCodec::LZO => Err("lzo"),
            CompressionCodec::BROTLI => Err("brotli"),
            CompressionCodec::LZ4 | CompressionCodec::LZ4_RAW => Err("lz4"),
            CompressionCodec::ZSTD => Err("zstd"),
        }
    }

    /// The most bytes that so many compressed bytes can stand for: Snappy copies 64 bytes with three,
    /// Deflate 258 with two bits.
    const fn most(self, compressed: usize) -> usize {
        match self {
            Self::Plain => compressed,
            Self::Snappy => compressed.saturating_mul(22).saturating_add(64),
            Self::Gzip => compressed.saturating_mul(1032).saturating_add(64),
        }
    }

    /// Decompresses into `out`, whose length is then `length`.
    fn decompress(self, bytes: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), PageError> {
        out.clear();
        match self {
            Self::Plain => out.extend_from_slice(bytes),
            Self::Snappy => {
                // More than the header tells does not fit; less leaves the rest of `out` to be cut off.
                out.resize(length, 0);
                let written = snap::raw::Decoder::new().decompress(bytes, out).map_err(compression_error)?;
                out.truncate(written);
            }
            Self::Gzip => {
                let members = flate2::read::MultiGzDecoder::new(bytes);
                members.take(length as u64 + 1).read_to_end(out).map_err(compression_error)?;
            }
        }
        if out.len() != length {
            return Err(PageError::Compression(format!("it does not give the {length} bytes of its header")));
        }
        Ok(())
    }
}

fn compression_error(error: impl std::fmt::Display) -> PageError {
    PageError::Compression(error.to_string())
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// The values that data pages point to.
    Dictionary,
    /// Levels and values, compressed together.
    Data,
    /// Levels of so many bytes uncompressed, then values.
    DataV2 { levels: usize },
    /// An index or something newer: stepped over.
    Other,
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    /// How many values, nulls included. Not yet checked against anything.
    pub(super) values: usize,
    /// The code of the values' encoding.
    pub(super) encoding: i64,
    /// The code of the definition levels' encoding.
    pub(super) level_encoding: i64,
    compressed: usize,
    uncompressed: usize,
    is_compressed: bool,
}

/// Reads the page at `offset` of the file, which ends before `end`. Its bytes are decompressed into
/// `out`; `scratch` holds them compressed. Returns the header and the offset behind the page.
pub(super) fn read_page<R: Read + Seek>(
    file: &mut R,
    (offset, end): (u64, u64),
    codec: PageCodec,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(PageHeader, u64), PageError> {
    let (header, header_length) = read_header(file, offset, end, scratch)?;
    let start = offset + header_length as u64;
    let behind = start + header.compressed as u64;
    if behind > end {
        return Err(lies("a size of", header.compressed));
    }
    if header.kind == PageKind::Other {
        out.clear();
        return Ok((header, behind));
    }
    if header.compressed > MAX_PAGE {
        return Err(lies("a size of", header.compressed));
    }
    let codec = if header.is_compressed { codec } else { PageCodec::Plain };
    if header.uncompressed > MAX_PAGE || header.uncompressed > codec.most(header.compressed) {
        return Err(lies("an uncompressed size of", header.uncompressed));
    }
    scratch.clear();
    scratch.resize(header.compressed, 0);
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(scratch)?;
    let PageKind::DataV2 { levels } = header.kind else {
        codec.decompress(scratch, header.uncompressed, out)?;
        return Ok((header, behind));
    };
    // The levels stand before the values and are never compressed.
    let (Some(values), Some(length)) = (scratch.get(levels..), header.uncompressed.checked_sub(levels))
    else {
        return Err(lies("levels of", levels));
    };
    if length == 0 {
        out.clear();
    } else {
        codec.decompress(values, length, out)?;
    }
    out.splice(..0, scratch[..levels].iter().copied());
    Ok((header, behind))
}

fn lies(what: &'static str, value: usize) -> PageError {
    PageError::Lies { what, value: value as i64 }
}

/// Reads a header, first from a few bytes, from more where they do not hold it.
fn read_header<R: Read + Seek>(
    file: &mut R,
    offset: u64,
    end: u64,
    scratch: &mut Vec<u8>,
) -> Result<(PageHeader, usize), PageError> {
    let there = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut window = 512;
    loop {
        let length = there.min(window);
        scratch.clear();
        scratch.resize(length, 0);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(scratch)?;
        match parse_header(scratch) {
            Err(PageError::Header(ThriftError::CutOff | ThriftError::LongList(_)))
                if length < there && window < MAX_HEADER =>
            {
                window *= 16;
            }
            other => return other,
        }
    }
}

/// Parses the structure `PageHeader`; also returns its length.
fn parse_header(bytes: &[u8]) -> Result<(PageHeader, usize), PageError> {
    let mut reader = CompactReader::new(bytes);
    let mut kind = None;
    let (mut compressed, mut uncompressed) = (None, None);
    let mut data = DataHeader::default();
    let mut last = 0;
    while let Some((id, field)) = reader.field(&mut last)? {
        match (id, field) {
            (1, Kind::Int) => kind = Some(reader.int()?),
            (2, Kind::Int) => uncompressed = Some(size("an uncompressed size of", reader.int()?)?),
            (3, Kind::Int) => compressed = Some(size("a size of", reader.int()?)?),
            (5, Kind::Struct) => data = DataHeader::parse(&mut reader, DATA_V1)?,
            (7, Kind::Struct) => data = DataHeader::parse(&mut reader, DICTIONARY)?,
            (8, Kind::Struct) => data = DataHeader::parse(&mut reader, DATA_V2)?,
            (_, other) => reader.skip(other)?,
        }
    }
    let (Some(kind), Some(compressed), Some(uncompressed)) = (kind, compressed, uncompressed) else {
        return Err(PageError::Header(ThriftError::WrongType));
    };
    let kind = match kind {
        0 => PageKind::Data,
        2 => PageKind::Dictionary,
        3 => {
            let levels = data.definition_bytes.checked_add(data.repetition_bytes);
            PageKind::DataV2 { levels: levels.ok_or_else(|| lies("levels of", data.definition_bytes))? }
        }
        _ => PageKind::Other,
    };
    let header = PageHeader {
        kind,
        values: data.values,
        encoding: data.encoding,
        level_encoding: data.level_encoding,
        compressed,
        uncompressed,
        is_compressed: data.is_compressed,
    };
    Ok((header, reader.position()))
}

/// The codes of encodings that are read; see `Encoding` in `parquet.thrift`.
pub(super) const ENCODING_PLAIN: i64 = 0;
/// The same as [`ENCODING_RLE_DICTIONARY`], in older files.
pub(super) const ENCODING_PLAIN_DICTIONARY: i64 = 2;
/// Runs and bit-packed groups; levels.
pub(super) const ENCODING_RLE: i64 = 3;
/// Runs and bit-packed groups of indices into the dictionary.
pub(super) const ENCODING_RLE_DICTIONARY: i64 = 8;

/// Which fields of a page's own header mean what: ids of (values, encoding, encoding of definition
/// levels, bytes of definition levels, bytes of repetition levels, compressed). Zero is no field.
type FieldIds = [i64; 6];
const DATA_V1: FieldIds = [1, 2, 3, 0, 0, 0];
const DICTIONARY: FieldIds = [1, 2, 0, 0, 0, 0];
const DATA_V2: FieldIds = [1, 4, 0, 5, 6, 7];

/// The part of a header that depends on the page's kind.
struct DataHeader {
    values: usize,
    encoding: i64,
    level_encoding: i64,
    definition_bytes: usize,
    repetition_bytes: usize,
    is_compressed: bool,
}

impl Default for DataHeader {
    fn default() -> Self {
        Self {
            values: 0,
            encoding: -1,
            level_encoding: ENCODING_RLE,
            definition_bytes: 0,
            repetition_bytes: 0,
            is_compressed: true,
        }
    }
}

impl DataHeader {
    fn parse(reader: &mut CompactReader<'_>, ids: FieldIds) -> Result<Self, PageError> {
        let [values, encoding, level_encoding, definition_bytes, repetition_bytes, compressed] = ids;
        let mut header = Self::default();
        let mut last = 0;
        while let Some((id, field)) = reader.field(&mut last)? {
            match field {
                Kind::Int if id == values => header.values = size("a number of values of", reader.int()?)?,
                Kind::Int if id == encoding => header.encoding = reader.int()?,
                Kind::Int if id == level_encoding => header.level_encoding = reader.int()?,
                Kind::Int if id == definition_bytes => {
                    header.definition_bytes = size("levels of", reader.int()?)?;
                }
                Kind::Int if id == repetition_bytes => {
                    header.repetition_bytes = size("levels of", reader.int()?)?;
                }
                Kind::Bool(value) if id == compressed => header.is_compressed = value,
                other => reader.skip(other)?,
            }
        }
        Ok(header)
    }
}

/// A size as the format stores it: 31 bits.
fn size(what: &'static str, value: i64) -> Result<usize, PageError> {
    i32::try_from(value)
        .ok()
        .and_then(|value| usize::try_from(value).ok())
        .ok_or(PageError::Lies { what, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_cannot_claim_more_than_its_codec_can_hold() {
        assert_eq!(PageCodec::Plain.most(10), 10);
        let zeros = vec![0; 1 << 20];
        let packed = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        assert!(PageCodec::Snappy.most(packed.len()) >= zeros.len(), "{}", packed.len());
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut gzip, &zeros).unwrap();
        let packed = gzip.finish().unwrap();
        assert!(PageCodec::Gzip.most(packed.len()) >= zeros.len(), "{}", packed.len());
    }

    #[test]
    fn another_length_than_the_header_tells_is_an_error() {
        let packed = snap::raw::Encoder::new().compress_vec(b"twelve bytes").unwrap();
        let mut out = Vec::new();
        assert!(PageCodec::Snappy.decompress(&packed, 12, &mut out).is_ok());
        assert_eq!(out, b"twelve bytes");
        for length in [0, 11, 13] {
            assert!(PageCodec::Snappy.decompress(&packed, length, &mut out).is_err());
            assert!(PageCodec::Plain.decompress(b"twelve bytes", length, &mut out).is_err());
        }
    }
}
