//! Of several folders that cannot answer a prompt: which of their reasons is told.

use std::sync::Arc;

use super::locate::metres_between;
use super::{EngineError, ServedFolder};
use crate::catalog::{CatalogError, Lies, NoChipCovers};
use crate::geo::{Crs, Transform};

/// Reasons of folders, one after the other.
#[derive(Default)]
pub(super) struct Refusals {
    told: Option<(EngineError, Option<(bool, f64)>)>,
    /// Folders whose own CRS keeps them from being asked, and why the first.
    unasked: Vec<String>,
    first_unasked: Option<EngineError>,
}

impl Refusals {
    /// A folder without a chip there tells less than one that fails otherwise, one that the prompt lies outside of less than one that
    /// it lies on, and the nearer chip tells more than the farther. A folder that cannot be asked, since its own CRS is not
    /// supported, tells least: the prompt may lie anywhere.
    pub fn add(&mut self, folder: &Arc<ServedFolder>, error: EngineError) {
        if matches!(error, EngineError::FolderCrs { .. }) {
            self.unasked.push(folder.name.clone());
            self.first_unasked.get_or_insert(error);
            return;
        }
        let far = match &error {
            EngineError::Catalog(CatalogError::NoChipCovers(nearest)) => {
                Some((nearest.lies == Lies::Outside, metres_outside(folder, nearest)))
            }
            _ => None,
        };
        let is_more_telling = match &self.told {
            None => true,
            Some((_, before)) => match (before, &far) {
                (Some(before), Some(now)) => now < before,
                (Some(_), None) => true,
                (None, _) => false,
            },
        };
        if is_more_telling {
            self.told = Some((error, far));
        }
    }

    /// The one to tell; `None` without any.
    pub fn most_telling(self) -> Option<EngineError> {
        let Some((mut error, _)) = self.told else { return self.first_unasked };
        if let EngineError::Catalog(CatalogError::NoChipCovers(nearest)) = &mut error {
            nearest.unasked = self.unasked;
        }
        Some(error)
    }
}

/// How far a prompt lies outside its nearest chip on the ground, to compare folders of different units; in units of the CRS where that
/// is not supported.
fn metres_outside(folder: &ServedFolder, nearest: &NoChipCovers) -> f64 {
    let (x, y) = nearest.center;
    let to_wgs84 = folder.crs().ok().and_then(|crs| Transform::new(crs, &Crs::wgs84()).ok());
    let metres = to_wgs84.and_then(|transform| {
        let here = transform.point(x, y).ok()?;
        // Along both axes: a degree of longitude is shorter than one of latitude.
        let along = |dx: f64, dy: f64| Some(metres_between(here, transform.point(x + dx, y + dy).ok()?));
        let step = (nearest.distance * 0.01).max(f64::MIN_POSITIVE);
        let (across, up) = (along(step, 0.0)?, along(0.0, step)?);
        Some((across * up).sqrt() / step * nearest.distance)
    });
    metres.filter(|metres| metres.is_finite()).unwrap_or(nearest.distance)
}
