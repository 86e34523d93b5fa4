//! Where to ask: a folder whose model is there, and positions on one of its chips, so that the demo works on
//! any folder. Positions are taken as fractions of the chip and told in WGS84 where that is possible.

use std::path::{Path, PathBuf};

use super::DemoError;
use crate::catalog::{ChipRef, Folder};
use crate::engine::ServedFolder;
use crate::geo::{Affine, Crs, Transform};
use crate::models::ModelStore;

/// A chip to ask about.
pub(super) struct Place {
    /// The directory, by which the service's name for the folder is found.
    pub root: PathBuf,
    /// File name of the checkpoint.
    pub model: String,
    pub chips: usize,
    /// `None` for WGS84, which requests need not name.
    pub crs: Option<&'static str>,
    affine: Affine,
    shape: (usize, usize),
    to_wgs84: Option<Transform>,
}

impl Place {
    /// The middle chip of the first folder whose model has been imported.
    ///
    /// # Errors
    /// No folder, or no model for any of them.
    pub fn find(folders: &[PathBuf], models: &Path) -> Result<Self, DemoError> {
        let models = ModelStore::open(models)?;
        let mut problem = None;
        for path in folders {
            for folder in Folder::discover(path)?.into_folders()? {
                match models.find(folder.checkpoint(), folder.family()) {
                    Ok(_) => {
                        if let Some(place) = Self::on(folder) {
                            return Ok(place);
                        }
                    }
                    Err(error) => problem = problem.or(Some(error)),
                }
            }
        }
        Err(problem.map_or(DemoError::NoChip, DemoError::from))
    }

    fn on(folder: Folder) -> Option<Self> {
        let folder = ServedFolder::new(folder.name().to_owned(), folder);
        let chip = middle(&folder.folder)?;
        let (affine, shape) = (chip.affine, chip.shape);
        let to_wgs84 = folder.crs().ok().and_then(|crs| Transform::new(crs, &Crs::wgs84()).ok());
        Some(Self {
            root: folder.folder.root().to_owned(),
            model: folder.folder.checkpoint().to_owned(),
            chips: folder.folder.len(),
            crs: to_wgs84.is_none().then_some("source"),
            affine,
            shape,
            to_wgs84,
        })
    }

    /// The position at fractions of the chip's width (from its left) and height (from its top).
    ///
    /// # Errors
    /// The CRS's formulas do not reach there.
    pub fn at(&self, across: f64, down: f64) -> Result<[f64; 2], DemoError> {
        let (height, width) = self.shape;
        let (x, y) = self.affine.apply(across * width as f64, down * height as f64);
        let Some(transform) = &self.to_wgs84 else { return Ok([x, y]) };
        let (lon, lat) = transform.point(x, y)?;
        // 1e-7 degrees are a centimetre.
        Ok([lon, lat].map(|degrees| (degrees * 1e7).round() / 1e7))
    }

    /// The box between two such positions: west, south, east, north.
    ///
    /// # Errors
    /// As [`Place::at`].
    pub fn between(&self, from: (f64, f64), to: (f64, f64)) -> Result<[f64; 4], DemoError> {
        let ([x0, y0], [x1, y1]) = (self.at(from.0, from.1)?, self.at(to.0, to.1)?);
        Ok([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)])
    }
}

/// A chip with a file, from the middle of the manifest on.
fn middle(folder: &Folder) -> Option<ChipRef<'_>> {
    let half = folder.len() / 2;
    (half..folder.len()).chain(0..half).filter_map(|i| folder.chip(i)).find(|chip| chip.file().is_ok())
}
