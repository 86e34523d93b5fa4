//! Finding feature folders on a card, without reading them.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::CatalogError;
use super::manifest::is_manifest;
use super::v1::{self, V1Source, is_tiff};
use crate::regular_file;

/// `EIO` of Linux (`errno(3)`): the device failed.
const EIO: i32 = 5;

/// The names that geosam gives a manifest, and an old one.
const MANIFEST: &str = "manifest.parquet";
const PICKLED: &str = "manifest.pkl";
/// The directory that it writes features into, and as a card of FAT may spell it.
const FEATURES: [&str; 2] = ["features", "FEATURES"];

/// Directories that file systems have of their own: of ext, which only root may list, and of Windows.
const OF_FILE_SYSTEMS: [&str; 3] = ["lost+found", "System Volume Information", "$RECYCLE.BIN"];

/// A feature folder that was found but not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderSource(pub(super) SourceKind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// A manifest of geosam.
    Manifest(PathBuf),
    /// A folder of Geo-SAM v1.
    V1(V1Source),
}

impl FolderSource {
    /// The directory that holds the manifest or index, and beside it the features.
    pub fn directory(&self) -> &Path {
        match &self.0 {
            SourceKind::Manifest(path) => parent(path),
            SourceKind::V1(source) => &source.directory,
        }
    }

    /// The file that tells of the chips; of a v1 folder without an index, the directory.
    pub fn manifest(&self) -> &Path {
        match &self.0 {
            SourceKind::Manifest(path) => path,
            SourceKind::V1(source) => source.index.as_deref().unwrap_or(&source.directory),
        }
    }
}

/// The directory of a file, `.` for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Of paths of which several may lead to one directory (a symbolic link, a bind mount) each directory's best, in the order of the
/// paths: the one without a link in it, else the first in the order of their bytes. `path` tells where an entry leads; one whose
/// directory cannot be looked at stays.
pub fn each_directory_once<T>(mut entries: Vec<T>, path: impl Fn(&T) -> &Path) -> Vec<T> {
    let identity = |entry: &T| path(entry).metadata().ok().map(|told| identity(&told));
    entries.sort_by(|a, b| path(a).cmp(path(b)));
    let mut names: HashMap<(u64, u64), Vec<PathBuf>> = HashMap::new();
    for entry in &entries {
        if let Some(directory) = identity(entry) {
            names.entry(directory).or_default().push(path(entry).to_owned());
        }
    }
    names.retain(|_, names| names.len() > 1);
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|told| told.is_symlink());
    let leads_through_links = |path: &Path| path.canonicalize().is_ok_and(|real| real != path);
    let others: HashSet<PathBuf> = names
        .into_values()
        .flat_map(|mut names| {
            names.sort_by_cached_key(|path| (is_link(path), leads_through_links(path), path.clone()));
            names.split_off(1)
        })
        .collect();
    entries.retain(|entry| !others.contains(path(entry)));
    entries
}

/// What a directory is the same by, whatever it is called: file system and inode.
fn identity(told: &Metadata) -> (u64, u64) {
    (told.dev(), told.ino())
}

/// The folders at a path: a manifest, the directory that holds it, or the directory above several of
/// those. What stands in the way of one folder does not hide the others. A directory below that has several names is one
/// folder: see [`each_directory_once`].
///
/// # Errors
/// [`CatalogError::NothingFound`] where there is no folder; else why the path, or the folder in it, cannot
/// be used.
pub fn find_sources(path: &Path) -> Result<Vec<Result<FolderSource, CatalogError>>, CatalogError> {
    let metadata = path.metadata().map_err(|source| CatalogError::Io {
        path: path.to_owned(),
        action: "find the folder",
        source,
    })?;
    if !metadata.is_dir() {
        return Ok(vec![Ok(source_of_file(path)?)]);
    }
    let listing = Listing::read(path)?;
    if let Some(source) = listing.source(path)? {
        return Ok(vec![Ok(source)]);
    }
    let other = listing.others_manifest(path);
    let mut sources = Vec::new();
    let mut directories = Vec::new();
    for name in listing.others {
        let below = path.join(&name);
        if OF_FILE_SYSTEMS.iter().any(|of_system| name == **of_system) {
            continue;
        }
        match below.metadata() {
            Ok(metadata) if metadata.is_dir() => directories.push(below),
            // What a failing card does not tell may be a folder.
            Err(source) if source.raw_os_error() == Some(EIO) => {
                sources.push(Err(CatalogError::Io { path: below, action: "find the folder", source }));
            }
            _ => {}
        }
    }
    for below in each_directory_once(directories, PathBuf::as_path) {
        match Listing::read(&below).and_then(|listing| listing.source(&below)) {
            Ok(Some(source)) => sources.push(Ok(source)),
            Ok(None) => {}
            Err(error) => sources.push(Err(error)),
        }
    }
    if sources.is_empty() {
        // Whoever means this directory is told what is wrong with the file that is there.
        if let Some(other) = other {
            return other.map(|source| vec![Ok(source)]);
        }
        return Err(CatalogError::NothingFound { path: path.to_owned(), hint: hint(path) });
    }
    Ok(sources)
}

/// Where the folder probably is, if the directory above is one.
fn hint(path: &Path) -> String {
    let above = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    let found = above.and_then(|above| Listing::read(&above).ok()?.source(&above).ok()?);
    found.map_or_else(String::new, |source| format!(", {}", source.directory().display()))
}

/// The first bytes of a file, as far as it can be read.
fn head_of(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(file) = regular_file::open(path) {
        let _ = file.take(512).read_to_end(&mut head);
    }
    head
}

/// Whether a file of this beginning is one that `torch.save` wrote: its first entry is the pickle.
fn is_torch(head: &[u8]) -> bool {
    const PICKLE: &[u8] = b"/data.pkl";
    head.starts_with(b"PK\x03\x04") && head.windows(PICKLE.len()).any(|part| part == PICKLE)
}

/// What a file is that holds others, by its first bytes.
fn archive_kind(head: &[u8]) -> Option<&'static str> {
    let known: [(usize, &[u8], &str); 5] = [
        (0, b"PK\x03\x04", "a ZIP archive"),
        (0, b"\x1F\x8B", "compressed by gzip"),
        (0, b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
        (0, b"Rar!", "a RAR archive"),
        (257, b"ustar", "a tar archive"),
    ];
    let is = |(start, mark, _): &(usize, &[u8], &str)| {
        head.get(*start..).is_some_and(|rest| rest.starts_with(mark))
    };
    known.into_iter().find(is).map(|(_, _, kind)| kind)
}

fn source_of_file(path: &Path) -> Result<FolderSource, CatalogError> {
    let head = head_of(path);
    if is_torch(&head) {
        return Err(CatalogError::TorchFile { path: path.to_owned(), hint: hint(parent(path)) });
    }
    if let Some(kind) = archive_kind(&head) {
        return Err(CatalogError::Archive { path: path.to_owned(), kind });
    }
    match extension(&path.file_name().unwrap_or_default().to_string_lossy()).as_str() {
        "pkl" | "pickle" => Err(pickle(path)),
        "csv" => {
            let directory = parent(path).to_owned();
            Ok(FolderSource(SourceKind::V1(V1Source { directory, index: Some(path.to_owned()) })))
        }
        "pt" | "tif" | "tiff" => {
            Err(CatalogError::NothingFound { path: path.to_owned(), hint: hint(parent(path)) })
        }
        _ => Ok(FolderSource(SourceKind::Manifest(path.to_owned()))),
    }
}

fn pickle(path: &Path) -> CatalogError {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    CatalogError::Pickle { path: path.to_owned(), name }
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map_or_else(String::new, |(_, suffix)| suffix.to_ascii_lowercase())
}

/// Names in a directory, by what they may be; each ascending.
#[derive(Debug, Default)]
struct Listing {
    parquets: Vec<String>,
    pickles: Vec<String>,
    tables: Vec<String>,
    tiffs: Vec<String>,
    /// Perhaps directories.
    others: Vec<std::ffi::OsString>,
}

/// The names of the TIFFs in a directory, ascending.
pub(super) fn tiffs(directory: &Path) -> Result<Vec<String>, CatalogError> {
    Ok(Listing::read(directory)?.tiffs)
}

impl Listing {
    /// The file that may be meant as a manifest in a directory where nothing better is.
    fn others_manifest(&self, directory: &Path) -> Option<Result<FolderSource, CatalogError>> {
        match (&self.parquets[..], &self.pickles[..]) {
            ([name, ..], _) => Some(Ok(FolderSource(SourceKind::Manifest(directory.join(name))))),
            ([], [name, ..]) => Some(Err(pickle(&directory.join(name)))),
            ([], []) => None,
        }
    }

    fn read(directory: &Path) -> Result<Self, CatalogError> {
        let failed =
            |source| CatalogError::Io { path: directory.to_owned(), action: "list the directory", source };
        let mut listing = Self::default();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let text = name.to_string_lossy();
            // Among the hidden ones are the copies that macOS makes on a card, ._manifest.parquet.
            if text.starts_with('.') {
                continue;
            }
            match extension(&text).as_str() {
                "parquet" => listing.parquets.push(text.into_owned()),
                "pkl" => listing.pickles.push(text.into_owned()),
                "csv" => listing.tables.push(text.into_owned()),
                // A directory of a million chips needs no list of them.
                "pt" => {}
                _ if is_tiff(&text) => listing.tiffs.push(text.into_owned()),
                _ => listing.others.push(name),
            }
        }
        listing.parquets.sort_unstable();
        listing.pickles.sort_unstable();
        listing.tables.sort_unstable();
        listing.tiffs.sort_unstable();
        listing.others.sort_unstable();
        Ok(listing)
    }

    /// The folder whose manifest is in this directory.
    fn source(&self, directory: &Path) -> Result<Option<FolderSource>, CatalogError> {
        let preferred = self.parquets.iter().find(|name| name.eq_ignore_ascii_case(MANIFEST));
        // Other programs keep tables and pickles too: beside features they are manifests.
        let has_features = || FEATURES.iter().any(|name| directory.join(name).is_dir());
        let is_ours = |name: &&String| match regular_file::open(&directory.join(name)).map(is_manifest) {
            Ok(Some(is_ours)) => is_ours,
            Ok(None) | Err(_) => has_features(),
        };
        let ours: Vec<&String> = match preferred {
            Some(name) => vec![name],
            None => self.parquets.iter().filter(is_ours).collect(),
        };
        match &ours[..] {
            [] => {}
            [name] => return Ok(Some(FolderSource(SourceKind::Manifest(directory.join(name))))),
            several => {
                let names = several.iter().take(5).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(CatalogError::SeveralManifests { path: directory.to_owned(), names });
            }
        }
        let pickled = self.pickles.iter().find(|name| name.eq_ignore_ascii_case(PICKLED));
        if let Some(name) = pickled.or(self.pickles.first().filter(|_| has_features())) {
            return Err(pickle(&directory.join(name)));
        }
        let v1 = v1::recognise(directory, &self.tables, &self.tiffs)?;
        Ok(v1.map(|source| FolderSource(SourceKind::V1(source))))
    }
}
