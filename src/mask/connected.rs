//! The parts of a mask that hang together with something.

use std::ops::Range;

use super::Mask;
use super::regions::Regions;

/// The regions of a mask of which at least one run is wanted, whole; all others are left out. Pixels that touch at a corner are
/// neighbours here, other than for [`polygonize`](super::polygonize): what is left out is gone.
///
/// `wanted` is asked for each run of set pixels of a row, with the row and the run's columns.
pub fn connected_to(mask: &Mask, mut wanted: impl FnMut(usize, Range<usize>) -> bool) -> Mask {
    let (mut regions, mut runs) = (Regions::default(), Vec::new());
    let mut is_wanted = Vec::new();
    let (mut above, mut changes) = (0..0, Vec::new());
    for row in 0..mask.height() {
        changes.clear();
        mask.row_changes(row, &mut changes);
        let first = runs.len();
        let mut candidates = above.clone();
        for pair in changes.chunks_exact(2) {
            let columns = pair[0] as usize..pair[1] as usize;
            let run = regions.add(pair[1] - pair[0]);
            is_wanted.push(wanted(row, columns.clone()));
            // Runs of the row above that end before this one begins meet none of the later ones either.
            while candidates.start < candidates.end && ends_before(&runs[candidates.start], &columns) {
                candidates.start += 1;
            }
            for other in candidates.clone() {
                let (_, other_columns): &(usize, Range<usize>) = &runs[other];
                if other_columns.start > columns.end {
                    break;
                }
                regions.unite(run, other as u32);
            }
            runs.push((row, columns));
        }
        above = first..runs.len();
    }
    let mut roots = vec![false; runs.len()];
    for (run, _) in is_wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        roots[regions.root(run as u32) as usize] = true;
    }
    let mut kept = mask.clone();
    for (run, (row, columns)) in runs.iter().enumerate() {
        if !roots[regions.root(run as u32) as usize] {
            kept.clear_run(*row, columns.clone());
        }
    }
    kept
}

fn ends_before((_, columns): &(usize, Range<usize>), other: &Range<usize>) -> bool {
    columns.end < other.start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        let pixels: Vec<bool> = rows.iter().flat_map(|row| row.bytes().map(|b| b == b'#')).collect();
        Mask::from_pixels(rows.len(), rows[0].len(), &pixels).unwrap()
    }

    #[test]
    fn regions_that_touch_a_wanted_run_stay_whole() {
        let all = mask(&["##..#", "..#.#", ".....", "##.##"]);
        let kept = connected_to(&all, |row, columns| row == 1 && columns.contains(&2));
        assert_eq!(kept, mask(&["##...", "..#..", ".....", "....."]));
    }

    proptest! {
        /// Against a flood over pixels.
        #[test]
        fn what_stays_is_what_a_flood_reaches(
            width in 1usize..70, pixels in proptest::collection::vec(any::<bool>(), 1..400), start in any::<prop::sample::Index>(),
        ) {
            let height = pixels.len().div_ceil(width);
            let mut padded = pixels.clone();
            padded.resize(height * width, false);
            let mask = Mask::from_pixels(height, width, &padded).unwrap();
            let at = start.index(padded.len());
            let (row, col) = (at / width, at % width);
            let kept = connected_to(&mask, |r, columns| r == row && columns.contains(&col));
            let mut reached = vec![false; padded.len()];
            let mut open = if padded[at] { vec![at] } else { Vec::new() };
            while let Some(here) = open.pop() {
                if std::mem::replace(&mut reached[here], true) {
                    continue;
                }
                let (r, c) = ((here / width) as i64, (here % width) as i64);
                for (dr, dc) in (-1..=1).flat_map(|dr| (-1..=1).map(move |dc| (dr, dc))) {
                    let (r, c) = (r + dr, c + dc);
                    if r >= 0 && c >= 0 && r < height as i64 && c < width as i64 {
                        let next = (r * width as i64 + c) as usize;
                        if padded[next] && !reached[next] {
                            open.push(next);
                        }
                    }
                }
            }
            prop_assert_eq!(kept, Mask::from_pixels(height, width, &reached).unwrap());
        }
    }
}
