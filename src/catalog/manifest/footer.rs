//! The footer of a Parquet file: found, checked, and decoded by the `parquet` crate. Pages and values
//! are read in `page` and `column`.
//!
//! The crate sizes its lists in bounds but descends the schema by recursion and walks lists it skips
//! without looking at their length. So the raw footer is walked here first.

use std::io::{Read, Seek, SeekFrom};

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::thrift::{CompactReader, Kind};

/// `PAR1`, at both ends of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// `PARE`, instead, where the footer is encrypted.
const MAGIC_ENCRYPTED: &[u8; 4] = b"PARE";
/// The longest footer: a thousand row groups of a manifest take 4 MiB.
const MAX_FOOTER: u64 = 16 << 20;
/// The most columns, nested ones counted; a manifest has twelve.
const MAX_SCHEMA_ELEMENTS: u64 = 1000;

/// Reads the footer. The second result is the length of the file.
pub(super) fn read_footer<R: Read + Seek>(file: &mut R) -> Result<(ParquetMetaData, u64), FooterError> {
    let length = file.seek(SeekFrom::End(0))?;
    if length < 12 {
        return Err(FooterError::NotParquet);
    }
    let mut tail = [0; 8];
    file.seek(SeekFrom::Start(length - 8))?;
    file.read_exact(&mut tail)?;
    let [l0, l1, l2, l3, magic @ ..] = tail;
    if magic == *MAGIC_ENCRYPTED {
        return Err(FooterError::Encrypted);
    }
    if magic != *MAGIC {
        return Err(FooterError::NotParquet);
    }
    let footer_length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    if footer_length > length - 12 || footer_length > MAX_FOOTER {
        return Err(FooterError::Malformed(format!(
            "its footer says it is {footer_length} bytes long, in a file of {length}"
        )));
    }
    let mut footer = vec![0; footer_length as usize];
    file.seek(SeekFrom::Start(length - 8 - footer_length))?;
    file.read_exact(&mut footer)?;
    check_lists(&footer).map_err(FooterError::Malformed)?;
    let metadata = ParquetMetaDataReader::decode_metadata(&footer)
        .map_err(|e| FooterError::Malformed(format!("its footer cannot be decoded ({e})")))?;
    Ok((metadata, length))
}

/// Walks the structure `FileMetaData`, so that no list is longer than its bytes and the schema stays
/// shallow enough for recursion.
fn check_lists(footer: &[u8]) -> Result<(), String> {
    let in_footer = |e| format!("its footer is damaged ({e})");
    let mut reader = CompactReader::new(footer);
    let mut last = 0;
    while let Some((id, kind)) = reader.field(&mut last).map_err(in_footer)? {
        if (id, kind) == (2, Kind::List) {
            let (count, element) = reader.list().map_err(in_footer)?;
            if count > MAX_SCHEMA_ELEMENTS {
                return Err(format!("it has {count} columns; a manifest may have {MAX_SCHEMA_ELEMENTS}"));
            }
            for _ in 0..count {
                reader.skip_element(element).map_err(in_footer)?;
            }
        } else {
            reader.skip(kind).map_err(in_footer)?;
        }
    }
    Ok(())
}

/// Why a file has no footer that we read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FooterError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file does not end as a Parquet file does: another format, or the copy is not complete.
    #[error("not Parquet")]
    NotParquet,
    /// The footer is encrypted.
    #[error("encrypted")]
    Encrypted,
    /// The footer is damaged, or it lies.
    #[error("{0}")]
    Malformed(String),
}
