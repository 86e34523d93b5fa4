//! A feature folder as it is served: the catalogue's folder, the name it is asked for by, its CRS.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::CrsChoice;
use crate::catalog::{ChipRef, Folder, FolderSummary, check_against_manifest};
use crate::engine::EngineError;
use crate::features::{ChipFeatures, Crc, read_chip, read_v1_chip};
use crate::geo::{Bounds, Crs, GeoError, Transform};

/// A folder that prompts may go to.
#[derive(Debug)]
pub struct ServedFolder {
    /// The name in requests and topics; unique among the folders served together.
    pub name: String,
    /// Manifest, footprints and chips.
    pub folder: Folder,
    crs: Result<Crs, GeoError>,
    /// Tells this opening of the folder from any other of the same path in this process.
    pub(super) opening: u64,
}

static OPENINGS: AtomicU64 = AtomicU64::new(0);

impl ServedFolder {
    /// A folder under a name. A CRS that is not supported is no error yet: prompts in the folder's own
    /// coordinates (`"crs": "source"`) still work.
    pub fn new(name: String, folder: Folder) -> Self {
        let told = folder.crs();
        // The code says more than the WKT: some WKTs are ambiguous.
        let crs = told.epsg.map_or_else(|| Crs::parse(&told.text), Crs::from_epsg);
        Self { name, folder, crs, opening: OPENINGS.fetch_add(1, Ordering::Relaxed) }
    }

    /// A chip that [`Folder::choose`] has chosen.
    ///
    /// # Errors
    /// None for such a chip.
    pub fn chip(&self, index: usize) -> Result<ChipRef<'_>, EngineError> {
        self.folder.chip(index).ok_or_else(|| EngineError::NoSuchChip { folder: self.name.clone(), index })
    }

    /// Reads a chip's features, and checks that they are those that the manifest lists.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of another chip or model.
    pub fn read_features(&self, index: usize, crc: Crc) -> Result<ChipFeatures, EngineError> {
        let chip = self.chip(index)?;
        let path = chip.file()?;
        let features = if self.folder.is_v1() { read_v1_chip(&path) } else { read_chip(&path, crc) }?;
        let ChipFeatures { family, checkpoint, src_shape, dst_shape, .. } = &features;
        check_against_manifest(*src_shape, *dst_shape, checkpoint, *family, &chip)?;
        Ok(features)
    }

    /// The folder's CRS.
    ///
    /// # Errors
    /// [`EngineError::FolderCrs`] where it is not one that we can transform.
    pub fn crs(&self) -> Result<&Crs, EngineError> {
        self.crs
            .as_ref()
            .map_err(|source| EngineError::FolderCrs { folder: self.name.clone(), source: source.clone() })
    }

    /// The transform from a request's CRS to the folder's; `None` where both are the same.
    pub(super) fn transform_from(&self, choice: CrsChoice) -> Result<Option<Transform>, EngineError> {
        match choice {
            CrsChoice::Source => Ok(None),
            // The same code needs no support: nothing is transformed.
            CrsChoice::Epsg(code) if self.folder.crs().epsg == Some(code) => Ok(None),
            CrsChoice::Epsg(code) => Ok(Some(Transform::new(&Crs::from_epsg(code)?, self.crs()?)?)),
        }
    }

    /// Bounds in WGS84; `None` where the CRS is not supported.
    fn to_wgs84(&self, extent: Bounds) -> Option<Bounds> {
        Transform::new(self.crs.as_ref().ok()?, &Crs::wgs84()).ok()?.bounds(extent, 21).ok()
    }

    /// What `info` and the folder topic tell.
    pub fn summary(&self) -> FolderSummary {
        let mut summary = self.folder.summary();
        summary.name.clone_from(&self.name);
        summary.extent_wgs84 = self.to_wgs84(summary.extent.into()).map(Into::into);
        summary
    }
}
