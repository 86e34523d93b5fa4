//! A feature folder as it is served: the catalogue's folder, the name it is asked for by, its CRS.

use crate::api::CrsChoice;
use crate::catalog::{Folder, FolderSummary};
use crate::engine::EngineError;
use crate::geo::{Bounds, Crs, GeoError, Transform};

/// A folder that prompts may go to.
#[derive(Debug)]
pub struct ServedFolder {
    /// The name in requests and topics; unique among the folders served together.
    pub name: String,
    /// Manifest, footprints and chips.
    pub folder: Folder,
    crs: Result<Crs, GeoError>,
}

impl ServedFolder {
    /// A folder under a name. A CRS that is not supported is no error yet: prompts in the folder's own
    /// coordinates (`"crs": "source"`) still work.
    pub fn new(name: String, folder: Folder) -> Self {
        let crs = folder.crs().parse();
        Self { name, folder, crs }
    }

    /// Several folders under unique names: their own, with a suffix where two are equal.
    pub fn all(folders: Vec<Folder>) -> Vec<Self> {
        let names = crate::catalog::unique_names(folders.iter().map(|f| f.name().to_owned()).collect());
        names.into_iter().zip(folders).map(|(name, folder)| Self::new(name, folder)).collect()
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
    pub(super) fn from_request(&self, choice: CrsChoice) -> Result<Option<Transform>, EngineError> {
        match choice {
            CrsChoice::Source => Ok(None),
            // The same code needs no support: nothing is transformed.
            CrsChoice::Epsg(code) if self.folder.crs().epsg == Some(code) => Ok(None),
            CrsChoice::Epsg(code) => Ok(Some(Transform::new(&Crs::from_epsg(code)?, self.crs()?)?)),
        }
    }

    /// Extent in WGS84 `[west, south, east, north]`; `None` where the CRS is not supported.
    pub fn extent_wgs84(&self) -> Option<Bounds> {
        let extent = self.folder.extent()?;
        let wgs84 = Crs::from_epsg(4326).ok()?;
        Transform::new(self.crs.as_ref().ok()?, &wgs84).ok()?.bounds(extent, 21).ok()
    }

    /// What `info` and the folder topic tell.
    pub fn summary(&self) -> FolderSummary {
        let mut summary = self.folder.summary();
        summary.name.clone_from(&self.name);
        summary.extent_wgs84 = self.extent_wgs84().map(Into::into);
        summary
    }
}
