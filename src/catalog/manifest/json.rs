//! The JSON texts in a manifest's cells: arrays of a few numbers. A million rows hold three million of
//! them, so that a general parser would be most of the time of opening a folder.

/// Parses a JSON array of exactly `N` finite numbers.
///
/// # Errors
/// The end of the sentence "transform ...".
pub(super) fn parse_numbers<const N: usize>(cell: &[u8]) -> Result<[f64; N], String> {
    let refused = || format!("is {:?}, not a JSON array of {N} finite numbers", Shown(cell));
    let text = std::str::from_utf8(cell).map_err(|_| refused())?.trim_matches(WHITESPACE);
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(refused)?;
    let mut numbers = [0.0; N];
    let mut items = inner.split(',');
    for number in &mut numbers {
        let item = items.next().ok_or_else(refused)?.trim_matches(WHITESPACE);
        *number = parse_number(item).ok_or_else(refused)?;
    }
    if items.next().is_some() {
        return Err(refused());
    }
    Ok(numbers)
}

/// What JSON calls whitespace.
const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A number of JSON. Rust reads more: `inf`, `+1`, `.5`.
fn parse_number(item: &str) -> Option<f64> {
    let mut bytes = item.strip_prefix('-').unwrap_or(item).bytes();
    if !bytes.next()?.is_ascii_digit()
        || !bytes.all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    item.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The largest side of a chip or of an encoder's frame, in pixels.
const MAX_SIDE: f64 = 32_768.0;

/// Parses `[height, width]`.
///
/// # Errors
/// The end of the sentence "shape ...".
pub(super) fn parse_shape(cell: &[u8]) -> Result<(usize, usize), String> {
    let [height, width] = parse_numbers::<2>(cell)?;
    if ![height, width].iter().all(|side| (1.0..=MAX_SIDE).contains(side) && side.fract() == 0.0) {
        return Err(format!("is {:?}; sides are whole numbers of pixels, 1 to {MAX_SIDE}", Shown(cell)));
    }
    // Whole and in range.
    Ok((height as usize, width as usize))
}

/// A cell in a message: its beginning.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.0[..self.0.len().min(200)]);
        write!(f, "{text:?}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        let cell = b"[300.0379266750948, 0.0, 101985.0, 0.0, -300.041782729805, 2826915.0]";
        let expected = [300.037_926_675_094_8, 0.0, 101_985.0, 0.0, -300.041_782_729_805, 2_826_915.0];
        assert_eq!(parse_numbers::<6>(cell), Ok(expected));
        assert_eq!(parse_numbers::<2>(b" [ 1e3 ,-2.5E-1\n] "), Ok([1000.0, -0.25]));
    }

    #[test]
    fn what_is_no_array_of_so_many_finite_numbers_is_refused() {
        for cell in [
            "",
            "[",
            "[]",
            "[1]",
            "[1, 2, 3]",
            "[1, NaN]",
            "[1, Infinity]",
            "[1, inf]",
            "[1, 1e999]",
            "[1, null]",
            "[1, \"2\"]",
            "1, 2",
            "[1 2]",
            "[1,, 2]",
            "[1, +2]",
            "[1, .5]",
            "[1, -]",
            "[1, 2]]",
            "[[1, 2]",
            "[1, 0x2]",
        ] {
            assert!(parse_numbers::<2>(cell.as_bytes()).is_err(), "{cell}");
        }
        assert!(parse_numbers::<1>(b"[\xff]").is_err());
        let error = parse_numbers::<6>(b"[1, 2]").unwrap_err();
        assert_eq!(error, "is \"[1, 2]\", not a JSON array of 6 finite numbers");
    }

    #[test]
    fn shapes_are_whole_and_positive() {
        assert_eq!(parse_shape(b"[718, 791]"), Ok((718, 791)));
        assert_eq!(parse_shape(b"[718.0, 791]"), Ok((718, 791)));
        for cell in ["[0, 1]", "[-1, 1]", "[1.5, 1]", "[1, 32769]", "[1]", "[1, 1, 3]"] {
            assert!(parse_shape(cell.as_bytes()).is_err(), "{cell}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_json_parser(numbers in prop::array::uniform6(any::<f64>())) {
            let cell = serde_json::to_vec(&numbers).unwrap();
            let parsed = serde_json::from_slice::<[f64; 6]>(&cell).ok();
            prop_assert_eq!(parse_numbers::<6>(&cell).ok(), parsed);
        }

        #[test]
        fn no_bytes_make_it_panic(cell in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_numbers::<6>(&cell);
            let _ = parse_shape(&cell);
        }
    }
}
