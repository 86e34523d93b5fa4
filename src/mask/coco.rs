//! COCO's uncompressed run-length encoding, in which segment-anything gives its automatic masks (`uncompressed_rle`): the lengths of
//! runs of unset and of set pixels by turns, beginning with unset ones, down the columns from left to right.

use super::{Mask, MaskError};

impl Mask {
    /// The counts of this mask; their sum is height times width.
    ///
    /// # Errors
    /// What [`Mask::blank`] refuses of its columns as rows.
    pub fn coco_counts(&self) -> Result<Vec<u32>, MaskError> {
        let turned = self.turned()?;
        let (mut counts, mut changes) = (Vec::new(), Vec::new());
        // Whether the run that is being counted is one of set pixels.
        let (mut is_set, mut length) = (false, 0u32);
        for column in 0..turned.height() {
            changes.clear();
            turned.row_changes(column, &mut changes);
            let mut at = 0;
            for run in changes.chunks_exact(2) {
                for (end, set) in [(run[0], false), (run[1], true)] {
                    let pixels = end - at;
                    if pixels > 0 && set != is_set {
                        counts.push(length);
                        (is_set, length) = (set, 0);
                    }
                    length += pixels;
                    at = end;
                }
            }
            let rest = turned.width() as u32 - at;
            if rest > 0 && is_set {
                counts.push(length);
                (is_set, length) = (false, 0);
            }
            length += rest;
        }
        counts.push(length);
        Ok(counts)
    }

    /// The mask of some counts.
    ///
    /// # Errors
    /// [`MaskError::Counts`] where they are not as many as the mask has pixels, and what [`Mask::blank`] refuses.
    pub fn from_coco_counts(height: usize, width: usize, counts: &[u32]) -> Result<Self, MaskError> {
        let pixels = (height as u64).saturating_mul(width as u64);
        let counted = counts.iter().map(|&count| u64::from(count)).sum::<u64>();
        if counted != pixels {
            return Err(MaskError::Counts { height, width, counted });
        }
        let mut turned = Self::blank(width, height)?;
        let (mut at, mut is_set) = (0usize, false);
        for &count in counts {
            let end = at + count as usize;
            while at < end {
                // A run goes on at the top of the next column.
                let (column, row) = (at / height, at % height);
                let here = (end - at).min(height - row);
                if is_set {
                    turned.set_run(column, row..row + here);
                }
                at += here;
            }
            is_set = !is_set;
        }
        turned.turned()
    }

    /// Columns as rows and rows as columns.
    fn turned(&self) -> Result<Self, MaskError> {
        let mut turned = Self::blank(self.width(), self.height())?;
        for row in 0..self.height() {
            for column in self.set_columns(row) {
                turned.set(column, row);
            }
        }
        Ok(turned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_run_down_the_columns_and_begin_with_unset_pixels() {
        // pycocotools.mask.encode(np.asfortranarray(...)), uncompressed.
        let mask = |rows: [&[u8]; 2]| {
            let pixels: Vec<bool> = rows.iter().flat_map(|row| row.iter().map(|&v| v == b'#')).collect();
            Mask::from_pixels(2, 3, &pixels).unwrap().coco_counts().unwrap()
        };
        assert_eq!(mask([b"...", b"..."]), [6]);
        assert_eq!(mask([b"###", b"###"]), [0, 6]);
        assert_eq!(mask([b"#..", b"..."]), [0, 1, 5]);
        assert_eq!(mask([b".#.", b"##."]), [1, 3, 2]);
        assert_eq!(mask([b"..#", b"#.#"]), [1, 1, 2, 2]);
    }

    #[test]
    fn counts_of_another_number_of_pixels_are_refused() {
        for counts in [&[5][..], &[7], &[], &[u32::MAX, u32::MAX]] {
            assert!(Mask::from_coco_counts(2, 3, counts).is_err(), "{counts:?}");
        }
        assert!(Mask::from_coco_counts(usize::MAX, 1, &[1]).is_err());
    }

    proptest! {
        #[test]
        fn a_mask_comes_back_from_its_counts((height, width, pixels) in (1usize..20, 1usize..140)
            .prop_flat_map(|(h, w)| (Just(h), Just(w), proptest::collection::vec(any::<bool>(), h * w))))
        {
            let mask = Mask::from_pixels(height, width, &pixels).unwrap();
            let counts = mask.coco_counts().unwrap();
            prop_assert!(counts.iter().skip(1).all(|&count| count > 0));
            prop_assert_eq!(Mask::from_coco_counts(height, width, &counts).unwrap(), mask);
        }
    }
}
