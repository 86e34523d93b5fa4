//! Finding the chips' files. A manifest holds absolute paths of the machine that encoded; a chip is found
//! by the last components of its path, under the directory of the manifest.
//!
//! A path `.../layer/features/chip.pt` may lie, beside the manifest, as `layer/features/chip.pt`,
//! `features/chip.pt` or `chip.pt`; the most particular place that has the file counts, so that the
//! layers of one manifest stay apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::{Path, PathBuf};

use super::chips::{ChipTable, MAX_NAME, Place};

/// The directory that geosam writes features into.
const FEATURES: &str = "features";

/// Splits a path of any machine into what leads to the file, and the file's name.
///
/// # Errors
/// Says why the path cannot name a file: the end of the sentence "feature_path ...".
pub(super) fn split_file(path: &str) -> Result<(&str, &str), String> {
    let (lead, file) = path.rfind(['/', '\\']).map_or(("", path), |i| (&path[..i], &path[i + 1..]));
    if !is_file_name(file) {
        return Err(format!("{path:?} does not end in the name of a file"));
    }
    if file.len() > MAX_NAME {
        return Err(format!("ends in a name of {} bytes; {MAX_NAME} are possible", file.len()));
    }
    Ok((lead, file))
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('\0')
}

/// The last two directories of what leads to a file. What lies above `..`, or above a drive, is not known.
pub(super) fn place_of(lead: &str) -> Place {
    let mut directories = lead
        .rsplit(['/', '\\'])
        .filter(|c| !matches!(*c, "" | "."))
        .take_while(|c| is_file_name(c) && !c.ends_with(':') && c.len() <= MAX_NAME)
        .map(str::to_owned);
    let directory = directories.next().unwrap_or_default();
    Place { directory, above: directories.next().unwrap_or_default() }
}

/// The directories under `root` where files of a place may lie, the most particular first.
fn candidates(place: &Place, root: &Path) -> Vec<PathBuf> {
    let Place { above, directory } = place;
    let mut all = Vec::with_capacity(4);
    if !above.is_empty() && !directory.is_empty() {
        all.push(root.join(above).join(directory));
    }
    if !directory.is_empty() && directory != FEATURES {
        all.push(root.join(directory));
    }
    all.push(root.join(FEATURES));
    all.push(root.to_owned());
    all
}

/// A directory under `root` as a card of FAT may spell it that was copied by a program which knows short names only;
/// `None` where that is the same.
fn upper_cased(directory: &Path, root: &Path) -> Option<PathBuf> {
    let below = directory.strip_prefix(root).ok()?.to_str()?;
    let upper = below.to_ascii_uppercase();
    (upper != below).then(|| root.join(upper))
}

/// Where a chip's file lies, in upper case too where it is there in no other (`CHIP_1.PT`); where it is nowhere, the place
/// beside the manifest where it should.
pub(super) fn locate(table: &ChipTable, chip: usize, root: &Path) -> PathBuf {
    let (stem, suffix) = table.file(chip);
    let file = format!("{stem}{suffix}");
    let Some(place) = table.places().get(table.place(chip) as usize) else { return root.join(file) };
    let all = candidates(place, root);
    let found = all.iter().map(|directory| directory.join(&file)).find(|path| path.is_file());
    let upper_file = file.to_ascii_uppercase();
    let in_upper_case = || {
        let directories =
            all.iter().flat_map(|as_is| [Some(as_is.clone()), upper_cased(as_is, root)]).flatten();
        let spelled = directories.flat_map(|directory| [directory.join(&upper_file), directory.join(&file)]);
        spelled.into_iter().find(|path| path.is_file())
    };
    found.or_else(in_upper_case).unwrap_or_else(|| root.join(FEATURES).join(&file))
}

/// The last directories of a chip's file where it was encoded, as they may be beside the manifest.
pub(super) fn directory_of(table: &ChipTable, chip: usize) -> String {
    let place = table.places().get(table.place(chip) as usize);
    let parts = place.into_iter().flat_map(|place| [place.above.as_str(), place.directory.as_str()]);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// The chips that lie elsewhere, and whose files had the same name in another directory where they were encoded. Layers of one raster
/// lie at the same places and are none.
pub(super) fn namesakes(table: &ChipTable, chip: usize) -> impl Iterator<Item = usize> + '_ {
    // Within one directory there are no two of one name.
    let all = if table.places().len() > 1 { table.len() } else { 0 };
    let elsewhere = move |other: usize| table.affine(other) != table.affine(chip);
    (0..all).filter(move |&other| {
        table.place(other) != table.place(chip) && table.file(other) == table.file(chip) && elsewhere(other)
    })
}

/// Which chips have their files.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    missing: Vec<u32>,
}

impl Presence {
    /// Looks for all chips' files: reads each directory once, however many chips there are.
    pub(super) fn look(table: &ChipTable, root: &Path) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        let mut listings: Vec<Listing> = Vec::new();
        let mut known: HashMap<PathBuf, usize> = HashMap::new();
        let places: Vec<Vec<usize>> = table
            .places()
            .iter()
            .map(|place| {
                let mut numbers = Vec::new();
                for directory in candidates(place, root) {
                    let number = *known.entry(directory).or_insert_with_key(|directory| {
                        let as_is = Listing::read(directory, &hasher);
                        let upper = as_is.0.is_empty().then(|| upper_cased(directory, root)).flatten();
                        listings.push(upper.map_or(as_is, |upper| Listing::read(&upper, &hasher)));
                        listings.len() - 1
                    });
                    if !listings[number].0.is_empty() {
                        numbers.push(number);
                    }
                }
                numbers
            })
            .collect();
        let mut name = String::new();
        let missing = (0..table.len())
            .filter(|&chip| {
                let (stem, suffix) = table.file(chip);
                name.clear();
                name.push_str(stem);
                name.push_str(suffix);
                let places = places.get(table.place(chip) as usize);
                let is_listed = |name: &str| {
                    let hash = hasher.hash_one(name.as_bytes());
                    places.is_some_and(|numbers| numbers.iter().any(|&n| listings[n].has(hash)))
                };
                if is_listed(&name) {
                    return false;
                }
                name.make_ascii_uppercase();
                !is_listed(&name)
            })
            // A table has less than 2^32 chips.
            .map(|chip| chip as u32)
            .collect();
        Self { missing }
    }

    /// How many chips have no file.
    pub const fn count_missing(&self) -> usize {
        self.missing.len()
    }

    /// The chips without a file, by their position in the manifest.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.missing.iter().map(|&chip| chip as usize)
    }

    /// Whether one chip's file is there.
    pub fn has(&self, chip: usize) -> bool {
        self.missing.binary_search_by_key(&(chip as u64), |&c| u64::from(c)).is_err()
    }
}

/// The names of a directory's entries, as hashes, ascending: 8 bytes a chip. Were two names to share a
/// hash, a missing chip would be noticed only when it is read.
struct Listing(Vec<u64>);

impl Listing {
    fn read(directory: &Path, hasher: &BuildHasherDefault<DefaultHasher>) -> Self {
        let mut hashes = Vec::new();
        // A directory that is not there has no chips.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            hashes.push(hasher.hash_one(entry.file_name().as_encoded_bytes()));
        }
        hashes.sort_unstable();
        hashes.shrink_to_fit();
        Self(hashes)
    }

    fn has(&self, hash: u64) -> bool {
        self.0.binary_search(&hash).is_ok()
    }
}

/// Bytes that the chips' files take, from all or some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SizeOnDisk {
    pub(super) bytes: u64,
    pub(super) is_estimate: bool,
}

/// The most files whose size is asked for: a directory of a card may take a millisecond for each.
const MAX_SIZED: usize = 4096;

/// Bytes of the files that are there. Of large folders, files at equal distances stand for all.
pub(super) fn size_on_disk(table: &ChipTable, presence: &Presence, root: &Path) -> SizeOnDisk {
    let step = table.len().div_ceil(MAX_SIZED).max(1);
    let (mut sum, mut counted) = (0_u64, 0_u64);
    for chip in (0..table.len()).step_by(step).filter(|&chip| presence.has(chip)) {
        if let Ok(metadata) = locate(table, chip, root).metadata() {
            sum = sum.saturating_add(metadata.len());
            counted += 1;
        }
    }
    let present = (table.len() - presence.count_missing()) as u64;
    let is_estimate = step > 1;
    let bytes = if is_estimate && counted > 0 {
        (u128::from(sum) * u128::from(present) / u128::from(counted)).try_into().unwrap_or(u64::MAX)
    } else {
        sum
    };
    SizeOnDisk { bytes, is_estimate }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str) -> (String, String, String) {
        let (lead, file) = split_file(path).unwrap();
        let Place { above, directory } = place_of(lead);
        (above, directory, file.to_owned())
    }

    #[test]
    fn the_last_three_components_count_whatever_the_slashes() {
        let expected = ("layer".to_owned(), "features".to_owned(), "chip_000001.pt".to_owned());
        for path in [
            "/home/gis/layer/features/chip_000001.pt",
            r"C:\Users\gis\layer\features\chip_000001.pt",
            r"\\server\share\layer\features\chip_000001.pt",
            r"C:\Users\gis/layer/./features//chip_000001.pt",
            "layer/features/chip_000001.pt",
        ] {
            assert_eq!(split(path), expected, "{path}");
        }
        assert_eq!(split("chip.pt"), (String::new(), String::new(), "chip.pt".into()));
        assert_eq!(split(r"C:\chip.pt"), (String::new(), String::new(), "chip.pt".into()));
    }

    #[test]
    fn no_path_climbs_out_of_the_folder() {
        for path in ["", "/", "a/..", "a/.", "a\\", "a/b\0c"] {
            assert!(split_file(path).is_err(), "{path:?}");
        }
        assert_eq!(split("x/../features/chip.pt"), (String::new(), "features".into(), "chip.pt".into()));
        assert_eq!(split("x/../chip.pt"), (String::new(), String::new(), "chip.pt".into()));
        assert!(split_file(&format!("/{}", "x".repeat(256))).is_err());
    }

    #[test]
    fn the_most_particular_place_comes_first() {
        let place = Place { above: "north".into(), directory: "features".into() };
        let root = Path::new("/card");
        let expected: Vec<PathBuf> =
            ["/card/north/features", "/card/features", "/card"].map(PathBuf::from).to_vec();
        assert_eq!(candidates(&place, root), expected);
    }
}
