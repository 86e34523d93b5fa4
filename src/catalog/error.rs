//! What can be wrong with a feature folder, or with a prompt for it.

use std::path::PathBuf;

use crate::ErrorCode;
use crate::geo::{Told, ToldUnit};

/// Why a folder cannot be opened, a chip not be used, or no chip be chosen.
///
/// Rows are counted from 0, as `pandas` does.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The path holds no feature folder.
    #[error(
        "{path}: no feature folder here: looked for manifest.parquet, for another *.parquet, and for the *.csv \
         and *.tif of Geo-SAM v1, in it and one level down; pick the directory that holds the manifest{hint}",
        path = path.display()
    )]
    NothingFound {
        /// What was searched.
        path: PathBuf,
        /// Where the folder probably is; empty, or a clause of its own.
        hint: String,
    },
    /// A file or directory cannot be read.
    #[error("{path}: cannot {action}: {source}; is the card still there, and readable?", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as in "cannot ...".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory holds several manifests, none of them `manifest.parquet`.
    #[error(
        "{path}: several manifests are here ({names}); name the file, or rename one to manifest.parquet",
        path = path.display()
    )]
    SeveralManifests {
        /// The directory.
        path: PathBuf,
        /// The files' names.
        names: String,
    },
    /// The manifest is a pandas pickle: a program, not data.
    #[error(
        "{path}: a pickled manifest is not read, since loading it would run it; where it was made, save it as \
         parquet: python -c \"import pandas as pd; pd.read_pickle('{name}').to_parquet('manifest.parquet')\"",
        path = path.display()
    )]
    Pickle {
        /// The pickle.
        path: PathBuf,
        /// Its file name.
        name: String,
    },
    /// A file that holds a folder, perhaps, and is none.
    #[error(
        "{path}: this is {kind}, and a folder is read as files; unpack it, and name the directory that holds its manifest",
        path = path.display()
    )]
    Archive {
        /// The file.
        path: PathBuf,
        /// What it is, as in `a ZIP archive`.
        kind: &'static str,
    },
    /// A file of `torch.save`, which is a ZIP archive and no packed folder.
    #[error(
        "{path}: this is a chip or a checkpoint (a file of torch.save) and no folder; name the directory that holds \
         manifest.parquet{hint}",
        path = path.display()
    )]
    TorchFile {
        /// The file.
        path: PathBuf,
        /// `, ` and where it is, if it is above.
        hint: String,
    },
    /// The manifest is not a Parquet file that can be read.
    #[error("{path}: not a readable Parquet file: {problem}", path = path.display())]
    NotParquet {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The manifest is compressed or encoded in a way that is not compiled in.
    #[error(
        "{path}: column {column} uses {what}, which is not supported; save the manifest again: \
         gdf.to_parquet('manifest.parquet', compression='snappy') ('gzip' and None work too)",
        path = path.display()
    )]
    Unsupported {
        /// The manifest.
        path: PathBuf,
        /// The first such column.
        column: String,
        /// For example `zstd compression`.
        what: String,
    },
    /// Columns that every manifest has are not there.
    #[error(
        "{path}: no manifest of geosam: the columns {columns} are missing; pick the manifest.parquet that \
         geosam or Geo-SAM wrote",
        path = path.display()
    )]
    MissingColumns {
        /// The manifest.
        path: PathBuf,
        /// Their names, separated by commas.
        columns: String,
    },
    /// A column has another type than geosam gives it.
    #[error("{path}: column {column} holds {found}, not {expected}; was the manifest changed after encoding?",
        path = path.display())]
    ColumnType {
        /// The manifest.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A row cannot be used.
    #[error("{path}: row {row}: {column} {problem}", path = path.display())]
    BadRow {
        /// The manifest or CSV.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        problem: String,
    },
    /// Rows that should agree do not: one folder has one CRS, one checkpoint and one family.
    #[error(
        "{path}: {column} is {first} in row {first_row} and {other} in row {other_row}; a folder has one: write one \
         manifest for each",
        path = path.display()
    )]
    Mixed {
        /// The manifest or CSV.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The first value, and its row.
        first: String,
        /// The row of the first value.
        first_row: usize,
        /// The value that differs.
        other: String,
        /// The row of the other value.
        other_row: usize,
    },
    /// Footprints and affines are in different CRSs.
    #[error(
        "{path}: the geometry is in {geometry}, the transforms in {column}; the manifest was reprojected: \
         copy the original, or save it again after gdf.to_crs(gdf[\"crs\"][0])",
        path = path.display()
    )]
    TwoCrs {
        /// The manifest.
        path: PathBuf,
        /// The CRS of the GeoParquet metadata.
        geometry: String,
        /// The CRS of the column `crs`.
        column: String,
    },
    /// The manifest has no row, or too many.
    #[error("{path}: {rows} chips; a folder has 1 to {limit}", path = path.display())]
    ChipCount {
        /// The manifest.
        path: PathBuf,
        /// Its rows.
        rows: u64,
        /// The most.
        limit: u64,
    },
    /// The model's family is none that we know.
    #[error("{path}: model_type is {found:?}; this version knows sam, sam2 and sam3", path = path.display())]
    UnknownFamily {
        /// The manifest.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// A v1 folder does not tell which model encoded it.
    #[error(
        "{path}: the model is not known: neither a column model_type nor a file name with vit_h, vit_l or vit_b; \
         rename the files as Geo-SAM v1 does (sam_feat_vit_l_...tif)",
        path = path.display()
    )]
    V1ModelUnknown {
        /// The folder.
        path: PathBuf,
    },
    /// A v1 feature file cannot be placed on the map.
    #[error("{path}: not a feature file of Geo-SAM v1: {problem}", path = path.display())]
    V1File {
        /// The TIFF.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A prompt cannot be searched for.
    #[error("the prompt {problem}")]
    BadPrompt {
        /// What is wrong with it.
        problem: String,
    },
    /// No chip's footprint covers the whole prompt.
    #[error("{0}")]
    NoChipCovers(Box<NoChipCovers>),
    /// A point or box lies outside the chosen chip.
    #[error(
        "{what} lies outside the chip {chip}: column {:.2}, row {:.2} of {width} x {height} pixels; move the prompt inside",
        Told(*column),
        Told(*row)
    )]
    OutsideChip {
        /// The chip's id.
        chip: String,
        /// What lies outside, as in "point 2".
        what: String,
        /// Its column in pixels.
        column: f64,
        /// Its row in pixels.
        row: f64,
        /// The chip's width in pixels.
        width: usize,
        /// The chip's height in pixels.
        height: usize,
    },
    /// The chip's file is not on the card.
    #[error(
        "{path}: the features of {chip} are not there; copy the folder again, with its features directory",
        path = path.display()
    )]
    ChipMissing {
        /// Where the file should be.
        path: PathBuf,
        /// The chip's id.
        chip: String,
    },
    /// Two chips that lie elsewhere have one file: that of one was copied over the other's.
    #[error(
        "{path}: it stands for two chips called {chip} that lie in different places, of {one} and of {other}: files of one were copied \
         over those of the other. Copy them again, each beside the manifest into a directory of its own: {one} and {other}",
        path = path.display(),
        one = directories[0],
        other = directories[1]
    )]
    FileOfTwo {
        /// The file.
        path: PathBuf,
        /// The chip's id.
        chip: String,
        /// The last directories of the two files where they were encoded.
        directories: [String; 2],
    },
    /// The chip's file and the manifest tell different things.
    #[error(
        "{path}: {what} is {found} in the file and {expected} in the manifest; {advice}",
        path = path.display()
    )]
    ChipMismatch {
        /// The chip's file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What the manifest says.
        expected: String,
        /// What has happened, and what to do.
        advice: &'static str,
    },
}

impl CatalogError {
    /// The directory or file in the way of a folder, where searching for folders met one.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::Pickle { path, .. }
            | Self::SeveralManifests { path, .. }
            | Self::Io { path, .. }
            | Self::NothingFound { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The code a client gets for it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NothingFound { .. } => ErrorCode::UnknownFolder,
            Self::Io { .. } => ErrorCode::CardError,
            Self::SeveralManifests { .. }
            | Self::Pickle { .. }
            | Self::Archive { .. }
            | Self::TorchFile { .. }
            | Self::NotParquet { .. }
            | Self::Unsupported { .. }
            | Self::MissingColumns { .. }
            | Self::ColumnType { .. }
            | Self::BadRow { .. }
            | Self::Mixed { .. }
            | Self::TwoCrs { .. }
            | Self::ChipCount { .. }
            | Self::UnknownFamily { .. }
            | Self::V1ModelUnknown { .. }
            | Self::V1File { .. } => ErrorCode::FolderNotReady,
            Self::BadPrompt { .. } => ErrorCode::BadRequest,
            Self::NoChipCovers(refusal) => refusal.code(),
            Self::OutsideChip { .. } => ErrorCode::OutsideChip,
            Self::ChipMissing { .. } | Self::FileOfTwo { .. } | Self::ChipMismatch { .. } => {
                ErrorCode::ChipUnreadable
            }
        }
    }
}

/// How a prompt that no chip covers lies to the imagery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// No part of it lies on a chip.
    Outside,
    /// A part of it lies on chips, and a part on none.
    PartlyOutside,
    /// Its points and corners lie on chips, but not on one.
    OnSeveralChips,
}

/// The nearest chip of a prompt that no chip covers.
#[derive(Debug, Clone, PartialEq)]
pub struct NoChipCovers {
    /// The folder's name.
    pub folder: String,
    /// The id of the chip nearest to the prompt's centre.
    pub nearest: String,
    /// How far the prompt's farthest point lies outside that chip, in units of the folder's CRS.
    pub distance: f64,
    /// How the prompt lies to the chips.
    pub lies: Lies,
    /// Width and height of the prompt's box, where it has one, in units of the folder's CRS.
    pub box_size: Option<(f64, f64)>,
    /// Width and height of the nearest chip.
    pub chip_size: (f64, f64),
    /// The prompt's centre in the folder's CRS.
    pub center: (f64, f64),
    /// The folder's CRS as its manifest tells it.
    pub crs: String,
    /// The unit of the CRS, where known: `m`, `degrees`.
    pub unit: Option<String>,
    /// The prompt's first position with its coordinates exchanged, in the prompt's own CRS, where that prompt would be
    /// covered; filled in by who knows the prompt.
    pub swapped: Option<[f64; 2]>,
    /// Other folders that could not be asked, since their own CRS is not supported; filled in by who knows them.
    pub unasked: Vec<String>,
}

impl NoChipCovers {
    /// The code a client gets for it.
    pub const fn code(&self) -> ErrorCode {
        match self.lies {
            Lies::Outside => ErrorCode::NoChipCovers,
            Lies::PartlyOutside | Lies::OnSeveralChips => ErrorCode::OutsideChip,
        }
    }

    fn tell_unasked(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.unasked[..] {
            [] => Ok(()),
            names => write!(
                f,
                "; not asked, since a folder's own CRS is not supported: {} (its prompts name it as \"folder\", with \"crs\": \"source\")",
                names.join(", ")
            ),
        }
    }

    /// What is too large for one chip, and how it is told.
    fn too_large(&self, unit: ToldUnit<'_>) -> String {
        let Self { folder, chip_size, .. } = self;
        match self.box_size {
            Some(own) if own.0 > chip_size.0 || own.1 > chip_size.1 => {
                let (own, chip) = (unit.size(own), unit.size(*chip_size));
                format!("the box of {own} is too large for one chip of {folder} ({chip})")
            }
            Some(own) => format!("no chip of {folder} holds the whole box of {}", unit.size(own)),
            None => format!("no chip of {folder} holds all points"),
        }
    }
}

impl std::fmt::Display for NoChipCovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folder, nearest, crs, .. } = self;
        let told = ToldUnit::of(self.unit.as_deref());
        let ToldUnit { name: unit, digits } = told;
        let (x, y, distance) = (Told(self.center.0), Told(self.center.1), Told(self.distance));
        if self.lies == Lies::Outside {
            write!(
                f,
                "no chip of {folder} covers the prompt at ({x:.digits$}, {y:.digits$}) in {crs}: it lies \
                 {distance:.digits$} {unit} outside the nearest chip, {nearest}; "
            )?;
            match self.swapped {
                Some([x, y]) => {
                    write!(
                        f,
                        "{}, {} would be inside: longitude, or easting, comes first",
                        Told(x),
                        Told(y)
                    )?;
                }
                None => write!(f, "check the prompt's CRS and that x comes before y")?,
            }
            return self.tell_unasked(f);
        }
        write!(
            f,
            "{}: around ({x:.digits$}, {y:.digits$}) in {crs}, it reaches {distance:.digits$} {unit} beyond the nearest \
             chip, {nearest}{}; send \"stitch\": true (--stitch on the command line), which follows an object over several \
             chips, or make the prompt smaller",
            self.too_large(told),
            if self.lies == Lies::PartlyOutside { ", and a part of it lies outside the imagery" } else { "" },
        )
    }
}
