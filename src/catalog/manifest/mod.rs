//! Reading a manifest: a GeoParquet file with a row a chip, as geosam and Geo-SAM write it. What is not
//! here: finding manifests (`discover`) and the chips' files (`files`).
//!
//! The `parquet` crate decodes the footer; pages and values are read here (see `column` for the reason).
//! A file that lies is refused: nothing is allocated on the word of a length field, and nothing panics.

mod column;
mod columns;
mod footer;
mod json;
mod page;
mod runs;
mod thrift;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use self::columns::{Columns, Coordinate, Text, damaged};
use self::footer::FooterError;
use super::CatalogError;
use super::chips::{ChipTable, ChipTableBuilder, MAX_NAME, NewChip, Shapes};
use super::crs::{FolderCrs, GeoMetadata};
use super::files::{place_of, split_file};
use super::wkb::read_polygon;
use crate::Family;
use crate::features::{file_name_of, same_model};
use crate::geo::{Affine, Bounds};
use crate::stand_in::{self, StandIn};

/// What a manifest tells.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) chips: ChipTable,
    pub(super) checkpoint: String,
    pub(super) family: Family,
    pub(super) crs: FolderCrs,
    /// File names of the rasters that were encoded, as far as they are told.
    pub(super) rasters: Vec<String>,
}

/// Most rasters that are kept by name; a mosaic of more is told by its first.
const MOST_RASTERS: usize = 64;

/// Reads a manifest. `path` is for messages only.
pub(super) fn read_manifest<R: Read + Seek>(mut file: R, path: &Path) -> Result<Manifest, CatalogError> {
    let (metadata, length) = match footer::read_footer(&mut file) {
        Ok(footer) => footer,
        Err(error) => return Err(footer_error(path, error, in_its_place(&mut file))),
    };
    let geo = metadata
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .find(|pair| pair.key == "geo")
        .and_then(|pair| pair.value.as_deref())
        .map_or_else(GeoMetadata::default, GeoMetadata::parse);
    if let Some(encoding) = geo.encoding.as_deref().filter(|encoding| *encoding != "WKB") {
        let (column, expected) = ("geometry", "WKB (bytes)");
        let found = format!("GeoArrow's {encoding} (save it again with geometry_encoding='WKB')");
        return Err(CatalogError::ColumnType { path: path.to_owned(), column, expected, found });
    }
    let columns = Columns::open(file, length, &metadata, path)?;
    drop(metadata);
    RowReader::new(columns, path).read_all(&geo)
}

/// Columns that only manifests of geosam have; one that lost others is still one.
const TELLING: [&str; 2] = ["feature_path", "chip_center_x"];

/// Whether a Parquet file is a manifest of geosam and not another program's table; `None` where its columns cannot be
/// read.
pub(super) fn is_manifest<R: Read + Seek>(mut file: R) -> Option<bool> {
    let (metadata, _) = footer::read_footer(&mut file).ok()?;
    let columns = metadata.file_metadata().schema_descr();
    Some(columns.columns().iter().any(|column| TELLING.contains(&column.name())))
}

/// What stands in the place of a manifest.
fn in_its_place<R: Read + Seek>(file: &mut R) -> Option<StandIn> {
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(stand_in::BEGINNING as u64).read_to_end(&mut beginning).ok()?;
    stand_in::stand_in(&beginning)
}

fn footer_error(path: &Path, error: FooterError, in_its_place: Option<StandIn>) -> CatalogError {
    let path = path.to_owned();
    let problem = match (error, in_its_place) {
        (FooterError::Io(source), _) => {
            return CatalogError::Io { path, action: "read the manifest", source };
        }
        (FooterError::NotParquet, Some(stand_in)) => format!("it is {stand_in}"),
        (FooterError::NotParquet, None) => {
            "it does not end as one; it is another kind of file, or its copy is not complete".to_owned()
        }
        (FooterError::Encrypted, _) => "it is encrypted; save it again without encryption".to_owned(),
        (FooterError::Malformed(problem), _) => return damaged(&path, problem),
    };
    CatalogError::NotParquet { path, problem }
}

/// A column in which all rows must agree, and its first value.
#[derive(Debug, Default)]
struct Agreed {
    raw: Vec<u8>,
    text: String,
    row: usize,
}

/// The last value of a column of shapes, since rows repeat it.
#[derive(Debug, Default)]
struct Repeated {
    raw: Vec<u8>,
    shape: (usize, usize),
}

/// Reads row after row into a table. Buffers are kept between rows.
struct RowReader<'a, R> {
    columns: Columns<R>,
    path: &'a Path,
    table: ChipTableBuilder,
    checkpoint: Agreed,
    model_type: Agreed,
    crs: Agreed,
    shape: Repeated,
    dst_shape: Repeated,
    lead: Option<String>,
    place: u32,
    file: String,
    id: String,
    ring: Vec<[f64; 2]>,
    source: Vec<u8>,
    rasters: Vec<String>,
}

impl<'a, R: Read + Seek> RowReader<'a, R> {
    fn new(columns: Columns<R>, path: &'a Path) -> Self {
        Self {
            columns,
            path,
            table: ChipTableBuilder::default(),
            checkpoint: Agreed::default(),
            model_type: Agreed::default(),
            crs: Agreed::default(),
            shape: Repeated::default(),
            dst_shape: Repeated::default(),
            lead: None,
            place: 0,
            file: String::new(),
            id: String::new(),
            ring: Vec::new(),
            source: Vec::new(),
            rasters: Vec::new(),
        }
    }

    fn read_all(mut self, geo: &GeoMetadata) -> Result<Manifest, CatalogError> {
        while self.columns.row < self.columns.rows {
            self.read_row()?;
            self.columns.row += 1;
        }
        let path = self.path;
        let family = family(&self.model_type.text).ok_or_else(|| {
            let found = self.model_type.text.clone();
            CatalogError::UnknownFamily { path: path.to_owned(), found }
        })?;
        let crs = FolderCrs::new(&self.crs.text, geo);
        if crs.text.is_empty() {
            return Err(self.bad_row_at(
                0,
                "crs",
                "is empty, and the GeoParquet metadata has none; give the raster its CRS (gdal_edit.py -a_srs EPSG:n in.tif) \
                 and encode it again"
                    .to_owned(),
            ));
        }
        let checkpoint = file_name_of(&self.checkpoint.text).to_owned();
        if checkpoint.is_empty() {
            return Err(self.bad_row_at(0, "checkpoint_path", "does not name a file".to_owned()));
        }
        let chips = self.table.finish();
        let has_own_text = !self.crs.text.trim().is_empty();
        if has_own_text && !crs.agrees_with(geo).unwrap_or_else(|| footprints_fit(&chips)) {
            let column = FolderCrs::new(&self.crs.text, &GeoMetadata::default()).short();
            let geometry = geo.short();
            return Err(CatalogError::TwoCrs { path: path.to_owned(), geometry, column });
        }
        Ok(Manifest { chips, checkpoint, family, crs, rasters: self.rasters })
    }

    fn bad_row_at(&self, row: usize, column: &'static str, problem: String) -> CatalogError {
        CatalogError::BadRow { path: self.path.to_owned(), row, column, problem }
    }

    fn bad_row(&self, column: &'static str, problem: String) -> CatalogError {
        self.bad_row_at(self.columns.row, column, problem)
    }

    fn read_row(&mut self) -> Result<(), CatalogError> {
        self.read_feature_path().map_err(|error| error.at(self, "feature_path"))?;
        self.read_id().map_err(|error| error.at(self, "chip_id"))?;
        self.agree()?;
        self.read_source();
        let path = self.path;
        let transform = json::parse_numbers(self.columns.bytes(Text::Transform, path)?);
        let affine = Affine::new(transform.map_err(|problem| self.bad_row("transform", problem))?);
        if affine.inverse().is_none() {
            let problem = "has no area: pixels of such a grid have no place on the map".to_owned();
            return Err(self.bad_row("transform", problem));
        }
        let shape = repeated(&mut self.shape, self.columns.bytes(Text::Shape, path)?);
        let shape = shape.map_err(|problem| self.bad_row("shape", problem))?;
        let dst_shape = repeated(&mut self.dst_shape, self.columns.bytes(Text::DstShape, path)?);
        let dst_shape = dst_shape.map_err(|problem| self.bad_row("dst_shape", problem))?;
        let center = (
            self.columns.number(Coordinate::CenterX, path)?,
            self.columns.number(Coordinate::CenterY, path)?,
        );
        let polygon = read_polygon(self.columns.bytes(Text::Geometry, path)?, &mut self.ring);
        polygon.map_err(|error| self.bad_row("geometry", error.to_string()))?;
        let Self { table, id, file, place, ring, .. } = self;
        let shapes = Shapes { shape, dst_shape };
        let chip = NewChip { id, file, place: *place, affine, shapes, center };
        table.push(&chip, ring).map_err(|error| self.bad_row("geometry", error.to_string()))
    }

    fn read_feature_path(&mut self) -> Result<(), Refused> {
        let bytes = self.columns.bytes(Text::FeaturePath, self.path)?;
        let (lead, file) = split_file(utf8(bytes)?)?;
        self.file.clear();
        self.file.push_str(file);
        if self.lead.as_deref() != Some(lead) {
            self.place = self.table.place(place_of(lead));
            self.lead = Some(lead.to_owned());
        }
        Ok(())
    }

    fn read_id(&mut self) -> Result<(), Refused> {
        let id = utf8(self.columns.bytes(Text::ChipId, self.path)?)?;
        if id.is_empty() || id.len() > MAX_NAME {
            return Err(Refused::Value(format!("has {} bytes; 1 to {MAX_NAME} are possible", id.len())));
        }
        self.id.clear();
        self.id.push_str(id);
        Ok(())
    }

    fn read_source(&mut self) {
        if self.columns.source(&mut self.source) && self.rasters.len() < MOST_RASTERS {
            let name = file_name_of(&String::from_utf8_lossy(&self.source)).to_owned();
            if !name.is_empty() && name.len() <= MAX_NAME && !self.rasters.contains(&name) {
                self.rasters.push(name);
            }
        }
    }

    /// Checks the columns in which all rows must agree.
    fn agree(&mut self) -> Result<(), CatalogError> {
        let Self { columns, path, checkpoint, model_type, crs, .. } = self;
        let row = columns.row;
        let same_crs = |a: &str, b: &str| a.trim() == b.trim();
        let same_family = |a: &str, b: &str| family(a) == family(b) && family(a).is_some();
        let mut agree = |which: Text, column, agreed: &mut Agreed, same: &dyn Fn(&str, &str) -> bool| {
            // Without a CRS in the row, that of the metadata counts.
            let bytes = match which {
                Text::Crs => columns.bytes_or_none(which, path)?.unwrap_or_default(),
                _ => columns.bytes(which, path)?,
            };
            if row > 0 && bytes == agreed.raw {
                return Ok(());
            }
            let bad = |problem| CatalogError::BadRow { path: path.to_owned(), row, column, problem };
            let text = std::str::from_utf8(bytes).map_err(|_| bad("is not UTF-8".to_owned()))?;
            if row == 0 {
                *agreed = Agreed { raw: bytes.to_owned(), text: text.to_owned(), row };
                return Ok(());
            }
            if !same(&agreed.text, text) {
                let shown = |text: &str| match text.trim() {
                    "" => "empty".to_owned(),
                    _ => text.chars().take(80).collect(),
                };
                return Err(CatalogError::Mixed {
                    path: path.to_owned(),
                    column,
                    first: shown(&agreed.text),
                    first_row: agreed.row,
                    other: shown(text),
                    other_row: row,
                });
            }
            // Directories of a checkpoint may differ; compare with the latest next time.
            bytes.clone_into(&mut agreed.raw);
            Ok(())
        };
        agree(Text::CheckpointPath, "checkpoint_path", checkpoint, &same_model)?;
        agree(Text::ModelType, "model_type", model_type, &same_family)?;
        agree(Text::Crs, "crs", crs, &same_crs)
    }
}

/// The family named by `model_type`, exactly as geosam writes it or in another case.
fn family(model_type: &str) -> Option<Family> {
    Family::from_name(model_type.trim().to_ascii_lowercase().as_str())
}

/// Whether the first chip's footprint lies where its affine puts it. The footprints of a manifest that was reprojected
/// do not: its transforms stay in the CRS they were in.
fn footprints_fit(chips: &ChipTable) -> bool {
    let (affine, (height, width)) = (chips.affine(0), chips.shapes(0).shape);
    let pixels = Bounds::new(0.0, 0.0, width as f64, height as f64).corners();
    let footprint = chips.footprints.get(0).bounds;
    Bounds::around(pixels.map(|(column, row)| affine.apply(column, row))).is_some_and(|by_affine| {
        let ((w, h), (own_w, own_h)) = (by_affine.size(), footprint.size());
        let alike = |a: f64, b: f64| a < 2.0 * b && b < 2.0 * a;
        alike(w, own_w) && alike(h, own_h) && by_affine.intersects(&footprint)
    })
}

/// A value that is refused, or a column that cannot be read.
enum Refused {
    Value(String),
    Column(CatalogError),
}

impl Refused {
    fn at<R: Read + Seek>(self, reader: &RowReader<'_, R>, column: &'static str) -> CatalogError {
        match self {
            Self::Value(problem) => reader.bad_row(column, problem),
            Self::Column(error) => error,
        }
    }
}

impl From<String> for Refused {
    fn from(problem: String) -> Self {
        Self::Value(problem)
    }
}

impl From<CatalogError> for Refused {
    fn from(error: CatalogError) -> Self {
        Self::Column(error)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes).map_err(|_| Refused::Value("is not UTF-8".to_owned()))
}

fn repeated(last: &mut Repeated, cell: &[u8]) -> Result<(usize, usize), String> {
    if cell != last.raw || cell.is_empty() {
        last.shape = json::parse_shape(cell)?;
        cell.clone_into(&mut last.raw);
    }
    Ok(last.shape)
}

#[cfg(test)]
mod tests;
