//! An open feature folder: its chips, and the choice among them.

use std::path::Path;
use std::sync::OnceLock;

use super::chip::{ChipRef, Identity};
use super::chips::ChipTable;
use super::choose::{self, Rule};
use super::crs::FolderCrs;
use super::discover::{self, FolderSource, SourceKind, find_sources};
use super::error::NoChipCovers;
use super::files::Presence;
use super::index::SpatialIndex;
use super::manifest::read_manifest;
use super::names::{Unnamed, fingerprint, folder_name, served_names, with_suffix};
use super::prompt::PromptGeometry;
use super::{CatalogError, v1};
use crate::Family;
use crate::geo::Bounds;
use crate::regular_file;

/// An open feature folder. Its manifest is in memory; chips' files are looked at when they are used.
#[derive(Debug)]
pub struct Folder {
    pub(super) identity: Identity,
    pub(super) chips: ChipTable,
    index: SpatialIndex,
    /// Files that a v1 index lists and that are not there.
    absent: Vec<String>,
    /// File names of the rasters that were encoded.
    rasters: Vec<String>,
    presence: OnceLock<Presence>,
    fingerprint: OnceLock<String>,
}

/// The folders found at a path, and why others could not be opened.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The folders, with names that differ.
    pub folders: Vec<Folder>,
    /// One error for each folder that cannot be used.
    pub problems: Vec<CatalogError>,
}

impl Discovery {
    /// The folders, or the first problem where there is none.
    ///
    /// # Errors
    /// The first problem, where no folder could be opened.
    pub fn into_folders(self) -> Result<Vec<Folder>, CatalogError> {
        let Self { folders, problems } = self;
        match (folders.is_empty(), problems.into_iter().next()) {
            (true, Some(problem)) => Err(problem),
            _ => Ok(folders),
        }
    }
}

/// A source that can be opened without waiting for somebody to write to it.
fn at_once(source: FolderSource) -> Result<FolderSource, CatalogError> {
    let manifest = source.manifest();
    match manifest.metadata() {
        Ok(there) if !there.is_file() && !there.is_dir() => {
            let (path, source) = (manifest.to_owned(), regular_file::refusal());
            Err(CatalogError::Io { path, action: "open the manifest", source })
        }
        // What is not there, or cannot be looked at, is told by who opens it.
        _ => Ok(source),
    }
}

impl Folder {
    /// Opens what is at a path: a folder, its manifest, or the folders in a directory.
    ///
    /// # Errors
    /// Where nothing is found there, or what the path itself names cannot be searched. A folder that
    /// cannot be opened is among the [`Discovery::problems`]; so is one with a pipe in place of its manifest, which
    /// [`Folder::open`] would wait for.
    pub fn discover(path: &Path) -> Result<Discovery, CatalogError> {
        let mut discovery = Discovery::default();
        for source in find_sources(path)? {
            match source.and_then(at_once).and_then(|source| Self::open(&source)) {
                Ok(folder) => discovery.folders.push(folder),
                Err(problem) => discovery.problems.push(problem),
            }
        }
        let unnamed: Vec<Unnamed<'_>> = discovery.folders.iter().map(Unnamed::of).collect();
        let names = served_names(&unnamed);
        for (folder, name) in discovery.folders.iter_mut().zip(names) {
            folder.rename(name);
        }
        Ok(discovery)
    }

    /// Opens one folder: reads its manifest and indexes the chips.
    ///
    /// # Errors
    /// What is wrong with the manifest, or with the card.
    pub fn open(source: &FolderSource) -> Result<Self, CatalogError> {
        let directory = source.directory();
        let (chips, checkpoint, family, crs, absent, rasters) = match &source.0 {
            SourceKind::Manifest(path) => {
                let io =
                    |source| CatalogError::Io { path: path.clone(), action: "open the manifest", source };
                let manifest = read_manifest(regular_file::open(path).map_err(io)?, path)?;
                let rasters = manifest.rasters;
                (manifest.chips, manifest.checkpoint, manifest.family, manifest.crs, Vec::new(), rasters)
            }
            SourceKind::V1(v1_source) => {
                let folder = v1::read_v1(v1_source, &discover::tiffs(directory)?)?;
                (
                    folder.chips,
                    folder.checkpoint.to_owned(),
                    Family::Sam,
                    folder.crs,
                    folder.absent,
                    Vec::new(),
                )
            }
        };
        let identity = Identity {
            name: folder_name(directory),
            root: directory.to_owned(),
            manifest: source.manifest().to_owned(),
            checkpoint,
            family,
            crs,
            is_v1: matches!(source.0, SourceKind::V1(_)),
        };
        let index = SpatialIndex::new(chips.footprints.bounds());
        Ok(Self {
            identity,
            chips,
            index,
            absent,
            rasters,
            presence: OnceLock::new(),
            fingerprint: OnceLock::new(),
        })
    }

    /// The name: a topic level, made from the directory's.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The name that its directory alone gives it, which others may have too.
    pub fn short_name(&self) -> String {
        folder_name(self.root())
    }

    /// The short name with a fingerprint of what the folder holds, `valley-1a2b3c4d`: the same wherever the folder lies and
    /// whatever lies beside it. Reads the table of chips when first asked: a third of a second for a million.
    pub fn long_name(&self) -> String {
        with_suffix(&self.short_name(), self.fingerprint.get_or_init(|| fingerprint(self)))
    }

    /// Gives the folder another name, to tell it from one of the same name.
    pub fn rename(&mut self, name: String) {
        self.identity.name = name;
    }

    /// The directory that holds the manifest.
    pub fn root(&self) -> &Path {
        &self.identity.root
    }

    /// The manifest, or the index of a v1 folder; of one without, the directory.
    pub fn manifest(&self) -> &Path {
        &self.identity.manifest
    }

    /// File name of the checkpoint that encoded the folder, as Ultralytics names it for a v1 folder.
    pub fn checkpoint(&self) -> &str {
        &self.identity.checkpoint
    }

    /// Family of the checkpoint.
    pub const fn family(&self) -> Family {
        self.identity.family
    }

    /// The CRS of footprints, centres and affines.
    pub const fn crs(&self) -> &FolderCrs {
        &self.identity.crs
    }

    /// Whether Geo-SAM v1 wrote the folder, so that chips are TIFFs.
    pub const fn is_v1(&self) -> bool {
        self.identity.is_v1
    }

    /// How many chips the manifest lists; 1 at least.
    #[expect(clippy::len_without_is_empty, reason = "a folder without chips is not opened")]
    pub const fn len(&self) -> usize {
        self.chips.len()
    }

    /// Bounds around the footprints of all chips, in the folder's CRS.
    pub fn extent(&self) -> Bounds {
        self.index.extent()
    }

    /// Memory that the chips and their index take, in bytes.
    pub fn memory(&self) -> usize {
        self.chips.bytes() + self.index.bytes()
    }

    /// A chip by its position in the manifest; `None` beyond the last.
    pub fn chip(&self, i: usize) -> Option<ChipRef<'_>> {
        (i < self.chips.len()).then(|| self.chips.get(i, &self.identity))
    }

    /// All chips, in the manifest's order.
    pub fn chips(&self) -> impl ExactSizeIterator<Item = ChipRef<'_>> + '_ {
        (0..self.chips.len()).map(|i| self.chips.get(i, &self.identity))
    }

    /// Which chips have their files. Lists the directories when first asked.
    pub fn presence(&self) -> &Presence {
        self.presence.get_or_init(|| Presence::look(&self.chips, self.root()))
    }

    /// Forgets which chips have their files, so that the card is looked at again.
    pub fn forget_presence(&mut self) {
        self.presence = OnceLock::new();
    }

    /// Files that a v1 index lists and that are not there or cannot be read.
    pub fn absent_v1_files(&self) -> &[String] {
        &self.absent
    }

    /// File names of the rasters that were encoded, as the manifest tells them; those of a v1 folder are not known.
    pub fn raster_names(&self) -> &[String] {
        &self.rasters
    }

    /// The chip that answers a prompt, by its position in the manifest (rule 1 of geosam; see the module
    /// `choose` for v1 folders). Whether its file is there is not looked at.
    ///
    /// # Errors
    /// [`CatalogError::NoChipCovers`] with the nearest chip, or [`CatalogError::BadPrompt`].
    pub fn choose(&self, prompt: &PromptGeometry) -> Result<usize, CatalogError> {
        let place = prompt.check()?;
        let rule = if self.is_v1() { Rule::Meet } else { Rule::Cover };
        choose::choose(&self.chips, &self.index, rule, prompt, place)
            .ok_or_else(|| self.no_chip_covers(prompt, place.1))
    }

    /// The chips whose footprints' bounds share a point with bounds in the folder's CRS, in the manifest's order.
    pub fn meeting(&self, bounds: &Bounds) -> Vec<usize> {
        let mut chips: Vec<usize> = self.index.meeting(bounds).collect();
        chips.sort_unstable();
        chips
    }

    fn no_chip_covers(&self, prompt: &PromptGeometry, center: (f64, f64)) -> CatalogError {
        // A folder has a chip, so that one is nearest.
        let (chip, distance) =
            choose::nearest(&self.chips, &self.index, prompt, center).unwrap_or((0, f64::NAN));
        let chip_size = self.chips.footprints.get(chip).bounds.size();
        CatalogError::NoChipCovers(Box::new(NoChipCovers {
            folder: self.name().to_owned(),
            nearest: self.chips.id(chip).to_owned(),
            distance,
            lies: choose::lies(&self.chips, &self.index, prompt),
            box_size: prompt.bbox.map(|bounds| bounds.size()),
            chip_size,
            center,
            crs: self.crs().short(),
            unit: self.crs().unit.clone(),
            swapped: None,
            unasked: Vec::new(),
        }))
    }
}
