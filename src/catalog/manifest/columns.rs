//! The columns of a manifest: all that geosam writes must be there, of the right type and in a codec that
//! is compiled in. This is checked for the whole file before the first row is read.

use std::io::{Read, Seek};
use std::path::Path;

use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::file::metadata::ParquetMetaData;

use super::column::{Chunk, Column, ColumnError, Width};
use super::page::PageCodec;
use crate::catalog::CatalogError;
use crate::catalog::chips::MAX_CHIPS;

/// The columns that geosam requires. `source_path` must be there, but only tells which raster belongs under a picture.
const REQUIRED: [&str; 12] = [
    "feature_path",
    "chip_id",
    "source_path",
    "checkpoint_path",
    "model_type",
    "transform",
    "shape",
    "crs",
    "dst_shape",
    "chip_center_x",
    "chip_center_y",
    "geometry",
];

/// How numbers are stored.
#[derive(Debug, Clone, Copy)]
enum Number {
    F64,
    F32,
    I64,
    I32,
}

/// The columns of a manifest, each at the same row.
pub(super) struct Columns<R> {
    file: R,
    scratch: Vec<u8>,
    /// The next row.
    pub(super) row: usize,
    /// How many rows there are.
    pub(super) rows: usize,
    texts: [(&'static str, Column); 9],
    numbers: [(&'static str, Column, Number); 2],
    /// `source_path`, as long as it can be read.
    source: Option<Column>,
}

/// The columns of bytes that are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    FeaturePath,
    ChipId,
    CheckpointPath,
    ModelType,
    Transform,
    Shape,
    Crs,
    DstShape,
    Geometry,
}

impl Text {
    const ALL: [(Self, &'static str); 9] = [
        (Self::FeaturePath, "feature_path"),
        (Self::ChipId, "chip_id"),
        (Self::CheckpointPath, "checkpoint_path"),
        (Self::ModelType, "model_type"),
        (Self::Transform, "transform"),
        (Self::Shape, "shape"),
        (Self::Crs, "crs"),
        (Self::DstShape, "dst_shape"),
        (Self::Geometry, "geometry"),
    ];
}

/// The columns of numbers that are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Coordinate {
    CenterX,
    CenterY,
}

impl<R: Read + Seek> Columns<R> {
    /// Checks the columns of a file of `length` bytes, and stands before the first row.
    pub(super) fn open(
        file: R,
        length: u64,
        metadata: &ParquetMetaData,
        path: &Path,
    ) -> Result<Self, CatalogError> {
        let schema = metadata.file_metadata().schema_descr();
        // Nested columns have several leaves, none of which is the column itself.
        let position = |name: &str| {
            schema.columns().iter().position(|c| c.path().parts() == [name]).filter(|&i| {
                let leaf = schema.column(i);
                leaf.max_rep_level() == 0 && leaf.max_def_level() <= 1
            })
        };
        let there =
            |name: &str| schema.columns().iter().any(|c| c.path().parts().first().is_some_and(|p| p == name));
        let missing: Vec<_> = REQUIRED.into_iter().filter(|name| !there(name)).collect();
        if !missing.is_empty() {
            return Err(CatalogError::MissingColumns { path: path.to_owned(), columns: missing.join(", ") });
        }
        let rows = count_rows(metadata, path)?;
        let checker = Checker { metadata, length, path };
        let column = |name: &'static str, expected: &'static str| {
            let wrong =
                |found| CatalogError::ColumnType { path: path.to_owned(), column: name, expected, found };
            let i = position(name).ok_or_else(|| wrong("a nested or repeated type".to_owned()))?;
            let descriptor = schema.column(i);
            let optional = descriptor.max_def_level() == 1;
            let chunks = checker.chunks(i, name)?;
            Ok::<_, CatalogError>((descriptor.physical_type(), optional, chunks))
        };
        let text = |(_, name): (Text, &'static str)| {
            let expected = if name == "geometry" { "WKB (bytes)" } else { "text" };
            let (physical, optional, chunks) = column(name, expected)?;
            // As Arrow writes a column of nulls alone that was given no type.
            let is_untyped = position(name)
                .is_some_and(|i| schema.column(i).logical_type_ref() == Some(&LogicalType::Unknown));
            if physical != PhysicalType::BYTE_ARRAY && !is_untyped {
                let found = physical.to_string();
                return Err(CatalogError::ColumnType {
                    path: path.to_owned(),
                    column: name,
                    expected,
                    found,
                });
            }
            Ok((name, Column::new(chunks, optional, Width::Variable)))
        };
        let number = |name: &'static str| {
            let expected = "numbers";
            let (physical, optional, chunks) = column(name, expected)?;
            let (number, width) = match physical {
                PhysicalType::DOUBLE => (Number::F64, 8),
                PhysicalType::FLOAT => (Number::F32, 4),
                PhysicalType::INT64 => (Number::I64, 8),
                PhysicalType::INT32 => (Number::I32, 4),
                other => {
                    let found = other.to_string();
                    return Err(CatalogError::ColumnType {
                        path: path.to_owned(),
                        column: name,
                        expected,
                        found,
                    });
                }
            };
            Ok((name, Column::new(chunks, optional, Width::Fixed(width)), number))
        };
        let [a, b, c, d, e, f, g, h, i] = Text::ALL.map(text);
        let texts = [a?, b?, c?, d?, e?, f?, g?, h?, i?];
        let numbers = [number("chip_center_x")?, number("chip_center_y")?];
        let source = column("source_path", "text").ok().and_then(|(physical, optional, chunks)| {
            let is_text = physical == PhysicalType::BYTE_ARRAY;
            is_text.then(|| Column::new(chunks, optional, Width::Variable))
        });
        Ok(Self { file, scratch: Vec::new(), row: 0, rows, texts, numbers, source })
    }

    /// Takes the next row's `source_path` into `last`, and says whether it is another one. A folder is good without it:
    /// a column that cannot be read says nothing more.
    pub(super) fn source(&mut self, last: &mut Vec<u8>) -> bool {
        let Some(column) = &mut self.source else { return false };
        match column.next(&mut self.file, &mut self.scratch) {
            Ok(bytes) if bytes == last.as_slice() => false,
            Ok(bytes) => {
                bytes.clone_into(last);
                true
            }
            Err(_) => {
                self.source = None;
                false
            }
        }
    }

    /// Bytes of the next row's value of a column.
    pub(super) fn bytes(&mut self, which: Text, path: &Path) -> Result<&[u8], CatalogError> {
        let row = self.row;
        let (name, column) = &mut self.texts[which as usize];
        let name = *name;
        column.next(&mut self.file, &mut self.scratch).map_err(|error| column_error(path, row, name, error))
    }

    /// The same; `None` for a null.
    pub(super) fn bytes_or_none(&mut self, which: Text, path: &Path) -> Result<Option<&[u8]>, CatalogError> {
        let row = self.row;
        let (name, column) = &mut self.texts[which as usize];
        let name = *name;
        match column.next(&mut self.file, &mut self.scratch) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ColumnError::Null) => Ok(None),
            Err(error) => Err(column_error(path, row, name, error)),
        }
    }

    /// The next row's number of a column.
    pub(super) fn number(&mut self, which: Coordinate, path: &Path) -> Result<f64, CatalogError> {
        let row = self.row;
        let (name, column, number) = &mut self.numbers[which as usize];
        let name = *name;
        let failed = |error| column_error(path, row, name, error);
        let bytes = column.next(&mut self.file, &mut self.scratch).map_err(failed)?;
        let value = match number {
            Number::F64 => bytes.first_chunk().map(|&b| f64::from_le_bytes(b)),
            Number::F32 => bytes.first_chunk().map(|&b| f64::from(f32::from_le_bytes(b))),
            Number::I64 => bytes.first_chunk().map(|&b| i64::from_le_bytes(b) as f64),
            Number::I32 => bytes.first_chunk().map(|&b| f64::from(i32::from_le_bytes(b))),
        };
        let value = value.ok_or_else(|| failed(ColumnError::CutOff))?;
        if value.is_finite() {
            Ok(value)
        } else {
            let problem = format!("is {value}, not a finite number");
            Err(CatalogError::BadRow { path: path.to_owned(), row, column: name, problem })
        }
    }
}

/// Rows of the file, where they are as many in the row groups as in all.
fn count_rows(metadata: &ParquetMetaData, path: &Path) -> Result<usize, CatalogError> {
    let told = metadata.file_metadata().num_rows();
    let counted = metadata.row_groups().iter().try_fold(0_i64, |sum, group| {
        (group.num_rows() >= 0).then(|| sum.checked_add(group.num_rows())).flatten()
    });
    if counted != Some(told) {
        return Err(damaged(
            path,
            "its row groups have another number of rows than its footer tells".to_owned(),
        ));
    }
    let rows = u64::try_from(told).unwrap_or(0);
    match usize::try_from(rows) {
        Ok(count) if (1..=MAX_CHIPS).contains(&rows) => Ok(count),
        _ => Err(CatalogError::ChipCount { path: path.to_owned(), rows, limit: MAX_CHIPS }),
    }
}

struct Checker<'a> {
    metadata: &'a ParquetMetaData,
    length: u64,
    path: &'a Path,
}

impl Checker<'_> {
    /// Where a column's pages are in each row group.
    fn chunks(&self, column: usize, name: &'static str) -> Result<Vec<Chunk>, CatalogError> {
        self.metadata
            .row_groups()
            .iter()
            .map(|group| {
                let chunk = group
                    .columns()
                    .get(column)
                    .ok_or_else(|| damaged(self.path, format!("a row group lacks the column {name}")))?;
                let codec = PageCodec::new(chunk.compression_codec()).map_err(|codec| {
                    let what = format!("{codec} compression");
                    CatalogError::Unsupported { path: self.path.to_owned(), column: name.to_owned(), what }
                })?;
                if chunk.num_values() != group.num_rows() {
                    return Err(damaged(
                        self.path,
                        format!("column {name} has another number of values than rows"),
                    ));
                }
                // Some writers tell no dictionary, and put it where the data begins.
                let start = chunk
                    .dictionary_page_offset()
                    .filter(|&offset| offset > 0)
                    .map_or(chunk.data_page_offset(), |offset| offset.min(chunk.data_page_offset()));
                let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
                let range = range.and_then(|(start, size)| Some((start, start.checked_add(size)?)));
                match range.filter(|&(_, end)| end <= self.length) {
                    // A row group has zero rows or more, as was counted.
                    Some(range) => Ok(Chunk { range, codec, rows: group.num_rows().unsigned_abs() }),
                    None => Err(damaged(self.path, format!("column {name} lies outside the file"))),
                }
            })
            .collect()
    }
}

pub(super) fn damaged(path: &Path, problem: String) -> CatalogError {
    let problem = format!("{problem}; the copy is damaged, copy it again");
    CatalogError::NotParquet { path: path.to_owned(), problem }
}

fn column_error(path: &Path, row: usize, name: &'static str, error: ColumnError) -> CatalogError {
    match error {
        ColumnError::Page(super::page::PageError::Io(source)) => {
            CatalogError::Io { path: path.to_owned(), action: "read the manifest", source }
        }
        ColumnError::Null => CatalogError::BadRow {
            path: path.to_owned(),
            row,
            column: name,
            problem: "is missing".to_owned(),
        },
        ColumnError::Encoding(encoding) => CatalogError::Unsupported {
            path: path.to_owned(),
            column: name.to_owned(),
            what: format!("the encoding {encoding}"),
        },
        other => damaged(path, format!("column {name}, about row {row}: {other}")),
    }
}
