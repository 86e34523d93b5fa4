//! Names of folders: what a directory is called as a topic level, and how equal names are told apart.

use std::collections::HashSet;
use std::path::Path;

use crate::api::escape_name;

/// The longest name, in bytes (as `api::check_name` has it).
const MAX_NAME: usize = 64;

/// The name of a folder in a directory: the directory's own, escaped. A path that ends in no name (`.`,
/// `..`) is looked up; the root of the file system is `root`.
pub(super) fn folder_name(directory: &Path) -> String {
    let named = |path: &Path| path.file_name().map(|name| escape_name(&name.to_string_lossy()));
    named(directory).or_else(|| named(&directory.canonicalize().ok()?)).unwrap_or_else(|| "root".to_owned())
}

/// Makes names unique: the first of equal names stays, others get `-2`, `-3` ... and are cut to the
/// length of a name.
pub fn unique_names(names: Vec<String>) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    // A name that stands there is not given to another one.
    let standing: HashSet<String> = names.iter().cloned().collect();
    names
        .into_iter()
        .map(|name| {
            if taken.insert(name.clone()) {
                return name;
            }
            let numbered = (2_usize..).map(|n| with_suffix(&name, n));
            // More numbers than names are taken: one is free.
            let free = numbered
                .into_iter()
                .find(|candidate| !standing.contains(candidate) && !taken.contains(candidate));
            let free = free.unwrap_or(name);
            taken.insert(free.clone());
            free
        })
        .collect()
}

fn with_suffix(name: &str, n: usize) -> String {
    let suffix = format!("-{n}");
    let mut end = name.len().min(MAX_NAME - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::check_folder_name;

    fn unique(names: &[&str]) -> Vec<String> {
        unique_names(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn equal_names_get_numbers_and_the_first_keeps_its_own() {
        assert_eq!(unique(&["a", "b", "a", "a"]), ["a", "b", "a-2", "a-3"]);
        assert_eq!(
            unique(&["a", "a", "a-2"]),
            ["a", "a-3", "a-2"],
            "a directory that is called a-2 keeps it"
        );
        let long = "x".repeat(64);
        let names = unique(&[&long, &long]);
        assert_eq!(names[1].len(), 64);
        for name in names {
            assert_eq!(check_folder_name(&name), Ok(()));
        }
    }

    #[test]
    fn directories_are_named_by_their_last_component() {
        assert_eq!(folder_name(Path::new("/cards/Bei Lu He")), "Bei%20Lu%20He");
        assert_eq!(folder_name(Path::new("/cards/north/")), "north");
        assert_eq!(folder_name(Path::new("/")), "root");
        assert!(!folder_name(Path::new(".")).is_empty());
    }
}
