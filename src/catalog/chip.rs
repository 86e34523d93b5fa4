//! One chip of a folder: its place on the map, its pixel frame, its file. The table it comes from is in
//! `chips`; tensors are read by `features`.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::CatalogError;
use super::chips::ChipTable;
use super::crs::FolderCrs;
use super::files;
use super::footprint::Footprint;
use crate::Family;
use crate::features::{file_name_of, same_model};
use crate::geo::{Affine, Bounds};

/// What all chips of a folder share.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) name: String,
    /// The directory that holds the manifest.
    pub(super) root: PathBuf,
    pub(super) manifest: PathBuf,
    pub(super) checkpoint: String,
    pub(super) family: Family,
    pub(super) crs: FolderCrs,
    pub(super) is_v1: bool,
}

/// One chip of a folder.
#[derive(Debug, Clone, Copy)]
pub struct ChipRef<'a> {
    /// Position in the manifest.
    pub index: usize,
    /// The chip's id. Not always unique: a manifest of several layers repeats them.
    pub id: &'a str,
    /// Pixels of the chip to the folder's CRS. Has an inverse.
    pub affine: Affine,
    /// Height and width in source pixels, each 1 at least.
    pub shape: (usize, usize),
    /// Height and width of the encoder's frame in pixels.
    pub dst_shape: (usize, usize),
    /// The centre as the manifest tells it, in the folder's CRS.
    pub center: (f64, f64),
    /// The footprint as the manifest tells it, in the folder's CRS.
    pub footprint: Footprint<'a>,
    pub(super) identity: &'a Identity,
    pub(super) table: &'a ChipTable,
}

/// How far outside a chip a prompt may lie by rounding alone, in pixels: coordinates of 1e7 m have a
/// precision of 2e-9 m, 2e-7 pixels of 1 cm. geosam rounds to float32 before it checks, which forgives more.
pub(super) const ROUNDING: f64 = 1e-6;

impl ChipRef<'_> {
    /// Where the chip's file is, or should be. Looks at the card, where the manifest leaves several
    /// places open.
    pub fn path(&self) -> PathBuf {
        files::locate(self.table, self.index, &self.identity.root)
    }

    /// Another stretch of the raster in place of the chip: so many rows and columns of an affine of its own.
    #[must_use]
    pub fn seen_as(mut self, affine: Affine, shape: (usize, usize)) -> Self {
        (self.affine, self.shape) = (affine, shape);
        self
    }

    /// The chip's file, which is there and no other chip's.
    ///
    /// # Errors
    /// [`CatalogError::ChipMissing`] where the folder is there without it; [`CatalogError::Io`] where the card
    /// cannot be read, or is gone; [`CatalogError::FileOfTwo`].
    pub fn file(&self) -> Result<PathBuf, CatalogError> {
        let path = self.path();
        let Err(source) = path.metadata() else {
            let claims = |&other: &usize| files::locate(self.table, other, &self.identity.root) == path;
            return match files::namesakes(self.table, self.index).find(claims) {
                None => Ok(path),
                Some(other) => {
                    let directories = [self.index, other].map(|chip| files::directory_of(self.table, chip));
                    Err(CatalogError::FileOfTwo { path, chip: self.id.to_owned(), directories })
                }
            };
        };
        if source.kind() == ErrorKind::NotFound && self.identity.root.is_dir() {
            return Err(CatalogError::ChipMissing { path, chip: self.id.to_owned() });
        }
        Err(CatalogError::Io { path, action: "find the chip", source })
    }

    /// File name of the checkpoint that encoded the chip.
    pub fn checkpoint(&self) -> &str {
        &self.identity.checkpoint
    }

    /// Whether Geo-SAM v1 wrote its folder.
    pub const fn is_v1(&self) -> bool {
        self.identity.is_v1
    }

    /// Family of the checkpoint.
    pub const fn family(&self) -> Family {
        self.identity.family
    }

    /// Checks the name that the chip's file was written under, without its ending, which a copy keeps under any other name
    /// (`TorchArchive::written_as`). It tells nothing where no chip of the folder is called so: `archive`, or names of an encoder;
    /// and may be the chip's id, where the file alone got another name, as of two folders that were put into one.
    ///
    /// # Errors
    /// [`CatalogError::ChipMismatch`] where it is the name of another chip of the folder.
    pub fn check_written_as(&self, name: &str) -> Result<(), CatalogError> {
        let own = self.table.file_stem(self.index);
        let is_another = || {
            let mut all = (0..self.table.len()).map(|chip| self.table.file_stem(chip));
            all.any(|other| other.eq_ignore_ascii_case(name))
        };
        if own.eq_ignore_ascii_case(name) || self.id.eq_ignore_ascii_case(name) || !is_another() {
            return Ok(());
        }
        Err(CatalogError::ChipMismatch {
            path: self.path(),
            what: "the name that it was written under",
            found: name.to_owned(),
            expected: own.to_owned(),
            advice: "it seems to be the file of another chip, whose masks would lie in the wrong place: copy the folder again. If files \
                     and manifest were renamed together, write each file anew under its name: torch.save(torch.load(path), path)",
        })
    }

    /// Checks where a chip of Geo-SAM v1 lies by its own file: the affine of the file's grid, and its columns and rows.
    ///
    /// # Errors
    /// [`CatalogError::ChipMismatch`] where the middle of the file is not the middle of the chip.
    pub fn check_lies_at(
        &self,
        affine: &Affine,
        (width, height): (usize, usize),
    ) -> Result<(), CatalogError> {
        let (x, y) = affine.apply(width as f64 / 2.0, height as f64 / 2.0);
        let (column, row) = self.to_pixel(x, y);
        let (rows, columns) = (self.shape.0 as f64, self.shape.1 as f64);
        // Neighbours lie half a chip apart, those at an edge perhaps less; rounding is far below.
        let is_off = |at: f64, side: f64| (at - side / 2.0).abs() > side / 16.0;
        if !is_off(column, columns) && !is_off(row, rows) {
            return Ok(());
        }
        Err(CatalogError::ChipMismatch {
            path: self.path(),
            what: "the middle",
            found: format!("{x}, {y}"),
            expected: format!("{}, {}", self.center.0, self.center.1),
            advice: "it is the file of another chip, or the index is of another folder: copy the folder again",
        })
    }

    /// World to pixel: (column, row) as floats, without a half-pixel shift; not checked against the chip.
    pub fn to_pixel(&self, x: f64, y: f64) -> (f64, f64) {
        let Affine { a, b, c, d, e, f } = self.affine;
        // From the origin first: large coordinates then cost no digits.
        let (dx, dy, det) = (x - c, y - f, self.affine.determinant());
        ((e * dx - b * dy) / det, (a * dy - d * dx) / det)
    }

    /// A point of a prompt as (column, row). `number` counts the prompt's points, for the message.
    ///
    /// # Errors
    /// [`CatalogError::OutsideChip`] outside the chip; its edges are inside, as in geosam.
    pub fn point_to_pixel(&self, number: usize, (x, y): (f64, f64)) -> Result<(f64, f64), CatalogError> {
        let (column, row) = self.to_pixel(x, y);
        self.inside(column, row).ok_or_else(|| self.outside(format!("point {number}"), column, row))
    }

    /// A box of a prompt as [least column, least row, greatest column, greatest row] of its corners.
    ///
    /// # Errors
    /// [`CatalogError::OutsideChip`] where a corner lies outside; edges of the chip are inside, as in geosam.
    pub fn box_to_pixel(&self, bbox: &Bounds) -> Result<[f64; 4], CatalogError> {
        let corners = bbox.corners().map(|(x, y)| self.to_pixel(x, y));
        for (column, row) in corners {
            if self.inside(column, row).is_none() {
                return Err(self.outside("the box".to_owned(), column, row));
            }
        }
        let inside = corners.into_iter().filter_map(|(column, row)| self.inside(column, row));
        // The corners are four.
        let b = Bounds::around(inside).unwrap_or(Bounds::new(0.0, 0.0, 0.0, 0.0));
        Ok(b.into())
    }

    /// The pixel position, moved onto the edge where only rounding put it outside.
    fn inside(&self, column: f64, row: f64) -> Option<(f64, f64)> {
        let (height, width) = (self.shape.0 as f64, self.shape.1 as f64);
        let within = |v: f64, end: f64| v >= -ROUNDING && v <= end + ROUNDING;
        (within(column, width) && within(row, height))
            .then(|| (column.clamp(0.0, width), row.clamp(0.0, height)))
    }

    fn outside(&self, what: String, column: f64, row: f64) -> CatalogError {
        let (height, width) = self.shape;
        CatalogError::OutsideChip { chip: self.id.to_owned(), what, column, row, width, height }
    }
}

/// Checks what a chip's file says of itself against what the manifest says of the chip.
///
/// `src_shape` and `dst_shape` are (height, width); of `checkpoint` only the file name counts.
///
/// # Errors
/// [`CatalogError::ChipMismatch`] names the first difference.
pub fn check_against_manifest(
    src_shape: (usize, usize),
    dst_shape: (usize, usize),
    checkpoint: &str,
    family: Family,
    chip: &ChipRef<'_>,
) -> Result<(), CatalogError> {
    let differs = |what, found: String, expected: String| {
        let advice = "files of two folders got mixed: copy the folder again";
        Err(CatalogError::ChipMismatch { path: chip.path(), what, found, expected, advice })
    };
    if family != chip.family() {
        return differs("the model type", family.to_string(), chip.family().to_string());
    }
    if !same_model(checkpoint, chip.checkpoint()) {
        return differs("the checkpoint", file_name_of(checkpoint).to_owned(), chip.checkpoint().to_owned());
    }
    let text = |(height, width)| format!("{height} x {width}");
    if src_shape != chip.shape {
        return differs("the shape", text(src_shape), text(chip.shape));
    }
    if dst_shape != chip.dst_shape {
        return differs("the encoder's shape", text(dst_shape), text(chip.dst_shape));
    }
    Ok(())
}
