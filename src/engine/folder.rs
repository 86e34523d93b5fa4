//! A feature folder as it is served: the catalogue's folder, the name it is asked for by, its CRS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use unicode_normalization::UnicodeNormalization as _;

use crate::api::{CrsChoice, escape_name};
use crate::catalog::{ChipRef, Folder, FolderCrs, FolderSummary, check_against_manifest};
use crate::engine::EngineError;
use crate::features::{ChipFeatures, Crc, has_checksums, read_chip, read_v1_chip, v1, written_as};
use crate::geo::{Bounds, Crs, GeoError, Transform};

/// A folder that prompts may go to.
#[derive(Debug)]
pub struct ServedFolder {
    /// The name in requests and topics; unique among the folders served together.
    pub name: String,
    /// Manifest, footprints and chips.
    pub folder: Arc<Folder>,
    crs: Result<Crs, GeoError>,
    /// Tells this opening of the folder from any other of the same path in this process.
    pub(super) opening: u64,
}

/// The CRS by its code, which says more than a WKT (some are ambiguous); else by what the column `crs` or the metadata say
/// of its parameters. A code that is refused is refused in these, too.
fn crs_of(told: &FolderCrs) -> Result<Crs, GeoError> {
    let by_code = told.epsg.map_or_else(|| Crs::parse(&told.text), Crs::from_epsg);
    let definition = || told.definition.as_deref().and_then(|definition| Crs::parse(definition).ok());
    let text = || Crs::parse(&told.text).ok();
    by_code.or_else(|error| definition().or_else(text).ok_or(error))
}

static OPENINGS: AtomicU64 = AtomicU64::new(0);

impl ServedFolder {
    /// A folder under a name. A CRS that is not supported is no error yet: prompts in the folder's own
    /// coordinates (`"crs": "source"`) still work.
    pub fn new(name: String, folder: Folder) -> Self {
        let crs = crs_of(folder.crs());
        Self { name, folder: Arc::new(folder), crs, opening: OPENINGS.fetch_add(1, Ordering::Relaxed) }
    }

    /// The same opening of the folder under another name: what was prepared of its chips stays in use.
    #[must_use]
    pub fn renamed(&self, name: String) -> Self {
        Self { name, folder: Arc::clone(&self.folder), crs: self.crs.clone(), opening: self.opening }
    }

    /// Whether a request that names a folder may mean this one: by the name it is served under, by its directory's name,
    /// or by its long name.
    pub(super) fn is_called(&self, asked: &str) -> bool {
        let short = self.folder.short_name();
        // The long name costs a look at every chip, so only where it can be that.
        self.name == asked
            || short == asked
            || short == escape_name(asked)
            || self.is_called_in_other_characters(asked)
            || (asked.len() > 9 && asked.contains('-') && self.folder.long_name() == asked)
    }

    /// Whether its directory's name is the asked one composed otherwise: a Mac may have written "ü" as two characters, and nobody
    /// sees which it was.
    fn is_called_in_other_characters(&self, asked: &str) -> bool {
        let Some(directory) = self.folder.root().file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        let forms = [directory.nfc().collect::<String>(), directory.nfd().collect()];
        !directory.is_ascii() && forms.iter().any(|form| form == asked || escape_name(form) == asked)
    }

    /// A chip that [`Folder::choose`] has chosen.
    ///
    /// # Errors
    /// None for such a chip.
    pub fn chip(&self, index: usize) -> Result<ChipRef<'_>, EngineError> {
        self.folder.chip(index).ok_or_else(|| EngineError::NoSuchChip { folder: self.name.clone(), index })
    }

    /// Reads a chip's features, and checks that they are as they were written, and those that the manifest lists.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of another chip or model.
    pub fn read_features(&self, index: usize) -> Result<ChipFeatures, EngineError> {
        let chip = self.chip(index)?;
        let path = chip.file()?;
        let features = if self.folder.is_v1() { read_v1_chip(&path) } else { read_chip(&path, Crc::Verify) }?;
        let ChipFeatures { family, checkpoint, src_shape, dst_shape, .. } = &features;
        check_against_manifest(*src_shape, *dst_shape, checkpoint, *family, &chip)?;
        Ok(features)
    }

    /// Checks that a chip's file is not that of another chip of the folder, by what it tells of itself: the name that it was written
    /// under; of Geo-SAM v1, where it lies. Prompts are answered without it, since files may have been renamed on purpose.
    ///
    /// # Errors
    /// A file of another chip, and as [`ServedFolder::read_features`].
    pub fn check_not_swapped(&self, index: usize) -> Result<(), EngineError> {
        let chip = self.chip(index)?;
        let path = chip.file()?;
        if !self.folder.is_v1() {
            return Ok(chip.check_written_as(&written_as(&path)?)?);
        }
        let header = v1::read_header(&path)?;
        let is_other = |epsg: u32| self.folder.crs().epsg.is_some_and(|own| own != epsg);
        // In another CRS nothing can be compared.
        if header.epsg.is_some_and(is_other) {
            return Ok(());
        }
        Ok(chip.check_lies_at(&header.affine, (header.width, header.height))?)
    }

    /// Whether a chip's file carries checksums; those of Geo-SAM v1 never do.
    ///
    /// # Errors
    /// As [`ServedFolder::read_features`].
    pub fn has_checksums(&self, index: usize) -> Result<bool, EngineError> {
        Ok(!self.folder.is_v1() && has_checksums(&self.chip(index)?.file()?)?)
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
            CrsChoice::Epsg(code) if self.folder.crs().is_called(code) => Ok(None),
            CrsChoice::Epsg(code) => {
                let from = Crs::from_epsg(code).map_err(EngineError::PromptCrs)?;
                Ok(Some(Transform::new(&from, self.crs()?).map_err(EngineError::PromptCrs)?))
            }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::ErrorCode;

    #[test]
    fn a_chips_file_under_the_name_of_another_is_told_and_one_of_no_chips_name_is_not() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/folder_sam");
        let card = tempfile::tempdir().unwrap();
        let (first, second) =
            (card.path().join("features/chip_000000.pt"), card.path().join("features/chip_000001.pt"));
        let fresh = || {
            fs::create_dir_all(card.path().join("features")).unwrap();
            for name in ["manifest.parquet", "features/chip_000000.pt", "features/chip_000001.pt"] {
                fs::copy(fixture.join(name), card.path().join(name)).unwrap();
            }
            let mut folders = Folder::discover(card.path()).unwrap().into_folders().unwrap();
            ServedFolder::new("valley".to_owned(), folders.remove(0))
        };
        let folder = fresh();
        for chip in 0..2 {
            folder.check_not_swapped(chip).unwrap();
        }
        // One copied over the other, then both exchanged.
        fs::copy(&first, &second).unwrap();
        folder.check_not_swapped(0).unwrap();
        let told = folder.check_not_swapped(1).unwrap_err();
        assert_eq!(told.code(), ErrorCode::ChipUnreadable);
        let words = "chip_000001.pt: the name that it was written under is chip_000000 in the file and chip_000001 in";
        assert!(told.to_string().contains(words), "{told}");
        let folder = fresh();
        fs::rename(&first, card.path().join("kept")).unwrap();
        fs::rename(&second, &first).unwrap();
        fs::rename(card.path().join("kept"), &second).unwrap();
        for chip in 0..2 {
            assert!(folder.check_not_swapped(chip).is_err());
            folder.read_features(chip).unwrap();
        }
        // A file that torch was given no name for.
        let mut bytes = fs::read(&second).unwrap();
        for at in 0..bytes.len() - 11 {
            if bytes[at..].starts_with(b"chip_000000") {
                bytes[at..at + 11].copy_from_slice(b"archive_two");
            }
        }
        fs::write(&second, bytes).unwrap();
        folder.check_not_swapped(1).unwrap();
    }
}
