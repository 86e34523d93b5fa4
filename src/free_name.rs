//! Names beside others that have them already.

/// The name, or, where it is not free, with the first number behind it, from 2 on, with which it is. Of numbers there are more than of
/// names that can be taken.
pub(crate) fn free_name(name: &str, separator: char, mut is_free: impl FnMut(&str) -> bool) -> String {
    let mut free = name.to_owned();
    let mut number = 2u64;
    while !is_free(&free) {
        free = format!("{name}{separator}{number}");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::free_name;

    #[test]
    fn who_comes_later_has_the_next_number() {
        let mut taken = HashSet::from(["b_2".to_owned()]);
        let named =
            ["a", "b", "a", "b", "a"].map(|name| free_name(name, '_', |free| taken.insert(free.to_owned())));
        assert_eq!(named, ["a", "b", "a_2", "b_3", "a_3"]);
    }
}
