//! Where to ask: a folder whose model is there, and the way between its coordinates and those of requests.

use std::path::{Path, PathBuf};

use super::DemoError;
use super::targets::Targets;
use crate::catalog::{ChipRef, Folder, PromptGeometry};
use crate::engine::ServedFolder;
use crate::geo::{Bounds, Crs, Transform};
use crate::models::ModelStore;

/// A folder to ask about.
pub(super) struct Place {
    /// The folder, as this side sees it; the service opens its own.
    pub served: ServedFolder,
    /// `None` for WGS84, which requests need not name.
    pub crs: Option<&'static str>,
    /// What to point at.
    pub targets: Targets,
    /// From the folder's CRS to WGS84 and back; `None` where that cannot be done.
    transforms: Option<(Transform, Transform)>,
}

impl Place {
    /// The first folder whose model has been imported.
    ///
    /// # Errors
    /// No folder, or no model for any of them.
    pub fn find(folders: &[PathBuf], models: &Path) -> Result<Self, DemoError> {
        let models = ModelStore::open(models)?;
        let mut problem = None;
        for path in folders {
            for folder in Folder::discover(path)?.into_folders()? {
                match models.find(folder.checkpoint(), folder.family()) {
                    Ok(_) if middle(&folder).is_some() => return Self::on(folder),
                    Ok(_) => {}
                    Err(error) => problem = problem.or(Some(error)),
                }
            }
        }
        Err(problem.map_or(DemoError::NoChip, DemoError::from))
    }

    fn on(folder: Folder) -> Result<Self, DemoError> {
        let served = ServedFolder::new(folder.name().to_owned(), folder);
        let transforms = served.crs().ok().and_then(|crs| {
            let there = Transform::new(crs, &Crs::wgs84()).ok()?;
            let back = there.inverse().ok()?;
            Some((there, back))
        });
        let crs = transforms.is_none().then_some("source");
        let mut place = Self { served, crs, targets: Targets::default(), transforms };
        place.targets = Targets::find(&place)?;
        Ok(place)
    }

    /// From the folder's coordinates to those of requests: degrees of WGS84 where that is possible.
    ///
    /// # Errors
    /// The CRS's formulas do not reach there.
    pub fn told(&self, (x, y): (f64, f64)) -> Result<[f64; 2], DemoError> {
        let Some((there, _)) = &self.transforms else { return Ok([x, y]) };
        let (lon, lat) = there.point(x, y)?;
        // 1e-7 degrees are a centimetre.
        Ok([lon, lat].map(|degrees| (degrees * 1e7).round() / 1e7))
    }

    /// From the coordinates of requests to the folder's.
    ///
    /// # Errors
    /// As [`Place::told`].
    pub fn native(&self, [x, y]: [f64; 2]) -> Result<(f64, f64), DemoError> {
        let Some((_, back)) = &self.transforms else { return Ok((x, y)) };
        Ok(back.point(x, y)?)
    }

    /// The position at fractions of the middle chip's width (from its left) and height (from its top).
    ///
    /// # Errors
    /// As [`Place::told`].
    pub fn at(&self, across: f64, down: f64) -> Result<[f64; 2], DemoError> {
        let chip = middle(&self.served.folder).ok_or(DemoError::NoChip)?;
        let (height, width) = chip.shape;
        self.told(chip.affine.apply(across * width as f64, down * height as f64))
    }

    /// A prompt of a request in the folder's coordinates.
    ///
    /// # Errors
    /// As [`Place::told`].
    pub fn prompt(&self, points: &[[f64; 2]], bbox: Option<[f64; 4]>) -> Result<PromptGeometry, DemoError> {
        let points = points.iter().map(|&point| self.native(point)).collect::<Result<_, _>>()?;
        let corners = bbox.map(|bbox| Bounds::from(bbox).corners());
        let corners = corners.into_iter().flatten().map(|(x, y)| self.native([x, y]));
        Ok(PromptGeometry { points, bbox: Bounds::around(corners.collect::<Result<Vec<_>, _>>()?) })
    }

    /// Whether one chip covers a prompt.
    pub fn covers(&self, points: &[[f64; 2]], bbox: Option<[f64; 4]>) -> bool {
        self.prompt(points, bbox).is_ok_and(|prompt| self.served.folder.choose(&prompt).is_ok())
    }
}

/// A chip with a file, from the middle of the manifest on.
fn middle(folder: &Folder) -> Option<ChipRef<'_>> {
    let half = folder.len() / 2;
    (half..folder.len()).chain(0..half).filter_map(|i| folder.chip(i)).find(|chip| chip.file().is_ok())
}
