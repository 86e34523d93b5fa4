//! A grid of yes and no: one bit a pixel, rows of whole 64-bit words.

use super::MaskError;

/// A boolean grid, row by row from the top, one bit a pixel.
///
/// Bits beyond the width of a row are always zero, so that whole words can be counted and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    words_per_row: usize,
    words: Vec<u64>,
}

impl Mask {
    /// The most pixels a mask may have, with its rows filled up to whole words: 16384 x 16384, 32 MB.
    pub const MAX_PIXELS: usize = 1 << 28;

    /// A mask in which no pixel is set. A side of zero is allowed.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`] above [`Mask::MAX_PIXELS`]; nothing is allocated then.
    pub fn blank(height: usize, width: usize) -> Result<Self, MaskError> {
        let words_per_row = width.div_ceil(64);
        // Rows are whole words, and a mask without pixels can still have endless rows.
        let padded = words_per_row.saturating_mul(64).saturating_mul(height);
        if padded.max(height).max(width) > Self::MAX_PIXELS {
            return Err(MaskError::TooLarge { height, width, limit: Self::MAX_PIXELS });
        }
        Ok(Self { height, width, words_per_row, words: vec![0; height * words_per_row] })
    }

    /// A mask from one boolean a pixel, row by row.
    ///
    /// # Errors
    /// [`MaskError::Ragged`] when `pixels` has another length than `height * width`.
    pub fn from_pixels(height: usize, width: usize, pixels: &[bool]) -> Result<Self, MaskError> {
        let mut mask = Self::blank(height, width)?;
        if pixels.len() != height * width {
            return Err(MaskError::Ragged { height, width, found: pixels.len() });
        }
        if width > 0 {
            for (row, values) in pixels.chunks_exact(width).enumerate() {
                mask.fill_row(row, values.iter().copied());
            }
        }
        Ok(mask)
    }

    /// A mask from rows of packed bits, the leftmost pixel in the highest bit of a byte and every
    /// row starting a new byte: the order of PNG, PBM and `numpy.packbits(axis=-1)`.
    ///
    /// # Errors
    /// [`MaskError::Ragged`] when `bytes` has another length than the rows need.
    pub fn from_packed(height: usize, width: usize, bytes: &[u8]) -> Result<Self, MaskError> {
        let mut mask = Self::blank(height, width)?;
        let stride = width.div_ceil(8);
        if bytes.len() != height * stride {
            return Err(MaskError::Ragged { height, width, found: bytes.len() });
        }
        if width > 0 {
            for (row, packed) in bytes.chunks_exact(stride).enumerate() {
                let bits = packed.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
                mask.fill_row(row, bits.take(width));
            }
        }
        Ok(mask)
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether a pixel is set; pixels outside the grid are not.
    pub fn get(&self, row: usize, col: usize) -> bool {
        row < self.height
            && col < self.width
            && self.words[row * self.words_per_row + col / 64] >> (col % 64) & 1 == 1
    }

    /// Sets a pixel; one outside the grid is left alone.
    pub fn set(&mut self, row: usize, col: usize) {
        if row < self.height && col < self.width {
            self.words[row * self.words_per_row + col / 64] |= 1 << (col % 64);
        }
    }

    /// Sets pixels of a row; those outside the grid are left alone.
    pub fn set_run(&mut self, row: usize, columns: std::ops::Range<usize>) {
        let (start, end) = (columns.start, columns.end.min(self.width));
        if row >= self.height || start >= end {
            return;
        }
        let words = self.row_words_mut(row);
        // Bits from `start` on in the first word, and up to `end` in the last.
        let (first, last) = (start / 64, (end - 1) / 64);
        let (head, tail) = (u64::MAX << (start % 64), u64::MAX >> (63 - (end - 1) % 64));
        if first == last {
            words[first] |= head & tail;
            return;
        }
        words[first] |= head;
        words[first + 1..last].fill(u64::MAX);
        words[last] |= tail;
    }

    /// The columns of a row that are set, from left to right.
    pub fn set_columns(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        self.row_words(row).iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }

    /// Unsets pixels of a row that lie within the grid.
    pub(super) fn clear_run(&mut self, row: usize, columns: std::ops::Range<usize>) {
        let words = self.row_words_mut(row);
        for col in columns {
            words[col / 64] &= !(1 << (col % 64));
        }
    }

    /// How many pixels are set.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether no pixel is set.
    pub fn is_blank(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The words of a row, leftmost pixel in the lowest bit of the first word. Empty for a row
    /// outside the grid.
    pub fn row_words(&self, row: usize) -> &[u64] {
        if row >= self.height {
            return &[];
        }
        &self.words[row * self.words_per_row..(row + 1) * self.words_per_row]
    }

    /// The same, to be written. The caller keeps the bits beyond the width at zero.
    pub(super) fn row_words_mut(&mut self, row: usize) -> &mut [u64] {
        &mut self.words[row * self.words_per_row..(row + 1) * self.words_per_row]
    }

    /// Rows of packed bits in the order that [`Mask::from_packed`] reads.
    pub fn to_packed(&self) -> Vec<u8> {
        let stride = self.width.div_ceil(8);
        let mut bytes = Vec::with_capacity(self.height * stride);
        for row in 0..self.height {
            let packed = self.row_words(row).iter().flat_map(|word| word.reverse_bits().to_be_bytes());
            bytes.extend(packed.take(stride));
        }
        bytes
    }

    /// Sets the pixels of a blank row, as far as the row goes.
    fn fill_row(&mut self, row: usize, values: impl Iterator<Item = bool>) {
        let width = self.width;
        let words = self.row_words_mut(row);
        for (col, value) in (0..width).zip(values) {
            words[col / 64] |= u64::from(value) << (col % 64);
        }
    }

    /// Appends the columns at which a row changes between unset and set, from left to right: the
    /// starts of runs at even places, their ends (exclusive) at odd ones. Always an even number.
    pub(super) fn row_changes(&self, row: usize, changes: &mut Vec<u32>) {
        let mut last_of_previous = 0u64;
        for (index, &word) in self.row_words(row).iter().enumerate() {
            let mut edges = word ^ (word << 1 | last_of_previous);
            last_of_previous = word >> 63;
            while edges != 0 {
                changes.push(index as u32 * 64 + edges.trailing_zeros());
                edges &= edges - 1;
            }
        }
        if last_of_previous == 1 {
            // Only a row that fills its last word gets here: its run ends where the row does.
            changes.push(self.width as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_plain_constructors_agree_for_every_width() {
        for width in [1usize, 7, 8, 9, 63, 64, 65, 130] {
            let pixels: Vec<bool> = (0..width * 3).map(|i| i % 3 == 0 || i % 7 == 1).collect();
            let stride = width.div_ceil(8);
            let mut packed = vec![0u8; 3 * stride];
            for (i, _) in pixels.iter().enumerate().filter(|(_, set)| **set) {
                packed[i / width * stride + i % width / 8] |= 0x80 >> (i % width % 8);
            }
            let plain = Mask::from_pixels(3, width, &pixels).unwrap();
            assert_eq!(plain, Mask::from_packed(3, width, &packed).unwrap());
            assert_eq!(plain.count(), pixels.iter().filter(|set| **set).count() as u64);
            assert!((0..pixels.len()).all(|i| plain.get(i / width, i % width) == pixels[i]));
        }
    }

    #[test]
    fn changes_of_a_row_are_its_runs() {
        let row = |text: &str| {
            let pixels: Vec<bool> = text.bytes().map(|byte| byte == b'#').collect();
            let mut changes = Vec::new();
            Mask::from_pixels(1, pixels.len(), &pixels).unwrap().row_changes(0, &mut changes);
            changes
        };
        assert_eq!(row("..##.#"), [2, 4, 5, 6]);
        assert_eq!(row(&"#".repeat(64)), [0, 64]);
        assert_eq!(row(&"#".repeat(65)), [0, 65]);
        assert_eq!(row(&format!("{}#.", ".".repeat(63))), [63, 64]);
        assert_eq!(row("...."), [0u32; 0]);
    }

    #[test]
    fn a_mask_without_pixels_is_allowed_and_an_absurd_one_refused() {
        assert_eq!(Mask::blank(0, 5).unwrap().count(), 0);
        assert_eq!(Mask::from_pixels(5, 0, &[]).unwrap().count(), 0);
        assert!(matches!(Mask::blank(usize::MAX, 2), Err(MaskError::TooLarge { .. })));
        assert!(matches!(Mask::blank(1 << 27, 1), Err(MaskError::TooLarge { .. })));
        assert!(matches!(Mask::blank(usize::MAX, 0), Err(MaskError::TooLarge { .. })));
        assert!(matches!(Mask::from_packed(2, 9, &[0; 3]), Err(MaskError::Ragged { .. })));
    }
}
