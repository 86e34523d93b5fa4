//! Names of folders: what a directory is called as a topic level, and how directories of one name are told apart. A name
//! depends on what the folders are, never on the order in which they were found or put in.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::folder::Folder;
use crate::api::{MAX_NAME, escape_name, short_digest};

/// The name that a folder in a directory has by itself: the directory's own, escaped. A path that ends in no name (`.`,
/// `..`) is looked up; the root of the file system is `root`.
pub(super) fn folder_name(directory: &Path) -> String {
    let named = |path: &Path| path.file_name().map(|name| escape_name(&name.to_string_lossy()));
    named(directory).or_else(|| named(&directory.canonicalize().ok()?)).unwrap_or_else(|| "root".to_owned())
}

/// A folder that is to get a name.
#[derive(Debug, Clone, Copy)]
pub struct Unnamed<'a> {
    /// Its directory.
    pub directory: &'a Path,
    /// The folder itself, where it could be opened.
    pub folder: Option<&'a Folder>,
}

impl<'a> Unnamed<'a> {
    pub(super) fn of(folder: &'a Folder) -> Self {
        Self { directory: folder.root(), folder: Some(folder) }
    }
}

/// The names of folders that are served together, in their order.
///
/// A folder is called as its directory. Of several that could be opened and would be called the same, each gets its
/// [`Folder::long_name`] instead, whichever came first. One that could not be opened takes no name from one that could: where
/// its name is another's as well, it gets a digest of its path. Copies of one folder, which are the same in all that they
/// answer, are numbered by their paths.
pub fn served_names(folders: &[Unnamed<'_>]) -> Vec<String> {
    let short: Vec<String> = folders.iter().map(|unnamed| folder_name(unnamed.directory)).collect();
    // How many of a name there are, and how many of them are open.
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    for (unnamed, name) in folders.iter().zip(&short) {
        let (all, open) = counts.entry(name).or_default();
        *all += 1;
        *open += usize::from(unnamed.folder.is_some());
    }
    let named = |(unnamed, name): (&Unnamed<'_>, &String)| match (unnamed.folder, counts[name.as_str()]) {
        (_, (1, _)) | (Some(_), (_, 1)) => name.clone(),
        (Some(folder), _) => folder.long_name(),
        (None, _) => with_suffix(name, &short_digest(unnamed.directory.as_os_str().as_encoded_bytes())),
    };
    let names: Vec<String> = folders.iter().zip(&short).map(named).collect();
    number_copies(folders, names)
}

/// Makes names unique: of equal ones that of the first path stays, others get `-2`, `-3` ...
fn number_copies(folders: &[Unnamed<'_>], mut names: Vec<String>) -> Vec<String> {
    let mut by_path: Vec<usize> = (0..folders.len()).collect();
    by_path.sort_by_key(|&index| folders[index].directory);
    let mut taken: HashMap<String, usize> = HashMap::new();
    for name in &names {
        *taken.entry(name.clone()).or_default() += 1;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for index in by_path {
        let copies = seen.entry(names[index].clone()).or_default();
        *copies += 1;
        if *copies == 1 {
            continue;
        }
        // More numbers than names are taken: one is free.
        let free = (*copies..)
            .map(|n| with_suffix(&names[index], &n.to_string()))
            .find(|name| !taken.contains_key(name));
        if let Some(free) = free {
            taken.insert(free.clone(), 1);
            names[index] = free;
        }
    }
    names
}

/// A name with `-` and a suffix behind it, cut before them to the length of a name, and not inside an escape.
pub(super) fn with_suffix(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(MAX_NAME - 1 - suffix.len());
    let cuts_escape = |end: usize| name[..end].bytes().rev().take(2).any(|byte| byte == b'%');
    while !name.is_char_boundary(end) || (end < name.len() && cuts_escape(end)) {
        end -= 1;
    }
    format!("{}-{suffix}", &name[..end])
}

/// Tells a folder from any other by what it holds, wherever it lies: 8 hexadecimal digits of the SHA-256 over its checkpoint,
/// its CRS and, chip by chip, id, file name and affine.
pub(super) fn fingerprint(folder: &Folder) -> String {
    let mut hash = Sha256::new();
    let text = |hash: &mut Sha256, text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    text(&mut hash, folder.checkpoint());
    text(&mut hash, &folder.crs().text);
    for chip in 0..folder.len() {
        let (stem, suffix) = folder.chips.file(chip);
        text(&mut hash, folder.chips.id(chip));
        hash.update(stem.as_bytes());
        text(&mut hash, suffix);
        let affine = folder.chips.affine(chip);
        for number in [affine.a, affine.b, affine.c, affine.d, affine.e, affine.f] {
            hash.update(number.to_le_bytes());
        }
    }
    crate::api::first_digits(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::check_folder_name;

    fn closed<'a>(directories: &'a [&'a str]) -> Vec<Unnamed<'a>> {
        directories.iter().map(|path| Unnamed { directory: Path::new(path), folder: None }).collect()
    }

    #[test]
    fn directories_are_named_by_their_last_component() {
        assert_eq!(folder_name(Path::new("/cards/Bei Lu He")), "Bei%20Lu%20He");
        assert_eq!(folder_name(Path::new("/cards/north/")), "north");
        assert_eq!(folder_name(Path::new("/")), "root");
        assert!(!folder_name(Path::new(".")).is_empty());
    }

    #[test]
    fn names_do_not_depend_on_the_order() {
        let directories = ["/a/valley", "/b/valley", "/c/hill", "/d/valley-2", "/e/valley"];
        let forth = served_names(&closed(&directories));
        let mut back = directories;
        back.reverse();
        let mut back = served_names(&closed(&back));
        back.reverse();
        assert_eq!(forth, back);
        assert_eq!([&forth[2], &forth[3]], ["hill", "valley-2"]);
        for name in &forth {
            assert_eq!(check_folder_name(name), Ok(()));
            assert_eq!(forth.iter().filter(|other| *other == name).count(), 1, "{forth:?}");
        }
    }

    #[test]
    fn a_suffix_cuts_no_escape() {
        let name = escape_name(&"\u{e9}".repeat(10));
        assert_eq!(name.len(), 60);
        // 64 less the hyphen and 8 digits leaves 55: within the tenth escape's first half.
        assert_eq!(with_suffix(&name, "0123abcd"), format!("{}-0123abcd", &name[..54]));
        assert_eq!(with_suffix("a", "2"), "a-2");
        assert_eq!(with_suffix(&"x".repeat(64), "2").len(), 64);
    }
}
