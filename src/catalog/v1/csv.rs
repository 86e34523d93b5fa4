//! The CSV index of a v1 folder: a row a chip, appended by the encoder, rewritten by the plugin.

use std::path::Path;

use super::super::CatalogError;
use crate::features::file_name_of;
use crate::geo::Bounds;

/// One row of the index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CsvRow {
    /// The row in the file, from 0.
    pub(super) row: usize,
    pub(super) bounds: Bounds,
    /// File name of the chip, without directories.
    pub(super) file: String,
    pub(super) crs: String,
    /// Source pixels in CRS units, as the encoder writes it. The plugin, when it rewrites the index, writes
    /// the size of a token instead, 16 pixels.
    pub(super) resolution: Option<f64>,
    pub(super) model_type: Option<String>,
}

/// Positions of the columns.
#[derive(Debug)]
pub(super) struct CsvColumns {
    bounds: [usize; 4],
    file: usize,
    crs: usize,
    resolution: Option<usize>,
    model_type: Option<usize>,
}

impl CsvColumns {
    /// The columns of a v1 index; `None` where it is another table.
    fn find(header: &csv::StringRecord) -> Option<Self> {
        let position = |name: &str| header.iter().position(|column| column.trim() == name);
        Some(Self {
            bounds: [position("minx")?, position("miny")?, position("maxx")?, position("maxy")?],
            file: position("filepath")?,
            crs: position("crs")?,
            resolution: position("res"),
            model_type: position("model_type"),
        })
    }

    fn row(&self, row: usize, record: &csv::StringRecord, path: &Path) -> Result<CsvRow, CatalogError> {
        let bad =
            |column, problem: String| CatalogError::BadRow { path: path.to_owned(), row, column, problem };
        let number = |i: usize, column| {
            let text = record.get(i).unwrap_or("").trim();
            text.parse()
                .ok()
                .filter(|v: &f64| v.is_finite())
                .ok_or_else(|| bad(column, format!("is {text:?}, not a finite number")))
        };
        let [w, s, e, n] = self.bounds;
        let bounds =
            Bounds::new(number(w, "minx")?, number(s, "miny")?, number(e, "maxx")?, number(n, "maxy")?);
        if !(bounds.min_x < bounds.max_x && bounds.min_y < bounds.max_y) {
            return Err(bad("maxx", "or maxy is not greater than minx or miny".to_owned()));
        }
        let text = |i: usize| record.get(i).unwrap_or("").trim();
        let file = file_name_of(text(self.file)).to_owned();
        let optional = |i: Option<usize>| i.map(text).filter(|text| !text.is_empty());
        Ok(CsvRow {
            row,
            bounds,
            file,
            crs: text(self.crs).to_owned(),
            resolution: optional(self.resolution)
                .and_then(|text| text.parse().ok())
                .filter(|res: &f64| *res > 0.0 && res.is_finite()),
            model_type: optional(self.model_type).map(str::to_owned),
        })
    }
}

/// The most rows of an index; v1 never had more than some ten thousand chips.
const MAX_ROWS: u64 = 1_000_000;

/// Opens an index; `None` where it is another table.
pub(super) fn open_csv(
    path: &Path,
) -> Result<Option<(csv::Reader<std::fs::File>, CsvColumns)>, CatalogError> {
    let file = std::fs::File::open(path).map_err(|source| CatalogError::Io {
        path: path.to_owned(),
        action: "open the index",
        source,
    })?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    // What is not even a table is none of ours.
    let columns = reader.headers().ok().and_then(CsvColumns::find);
    Ok(columns.map(|columns| (reader, columns)))
}

/// Reads the rows of an index.
pub(super) fn read_csv(
    (mut reader, columns): (csv::Reader<std::fs::File>, CsvColumns),
    path: &Path,
) -> Result<Vec<CsvRow>, CatalogError> {
    let mut rows = Vec::new();
    for (row, record) in reader.records().enumerate() {
        if row as u64 >= MAX_ROWS {
            let path = path.to_owned();
            return Err(CatalogError::ChipCount { path, rows: row as u64 + 1, limit: MAX_ROWS });
        }
        let record = record.map_err(|error| CatalogError::BadRow {
            path: path.to_owned(),
            row,
            column: "the line",
            problem: format!("cannot be read: {error}"),
        })?;
        rows.push(columns.row(row, &record, path)?);
    }
    Ok(rows)
}
