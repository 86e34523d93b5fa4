//! A coarse picture of a whole raster that has no overviews, made once in the background, band by band: what is far away
//! is shown of it, since a tile of far away would have to decode the whole file.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::canvas::Rgb;

/// Most pixels of a preview: 4 bytes each.
const MOST_PIXELS: u64 = 4 << 20;

/// A raster's coarse picture, as far as it has been made.
#[derive(Debug)]
pub(super) struct Preview {
    /// Columns and rows of the raster for one of the picture.
    pub factor: u32,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// Row by row; black and transparent where it is nothing, or not made yet.
    pixels: Vec<[u8; 4]>,
    rows: usize,
}

impl Preview {
    /// The coarsest that is needed, and no larger than the memory it may take; none of it is made yet.
    pub(super) fn new(width: u32, height: u32) -> Self {
        let mut factor: u32 = 1;
        let side = |full: u32, factor: u32| full.div_ceil(factor);
        while factor < 1 << 20
            && u64::from(side(width, factor)) * u64::from(side(height, factor)) > MOST_PIXELS
        {
            factor *= 2;
        }
        let (width, height) = (side(width, factor) as usize, side(height, factor) as usize);
        Self { factor, width, height, made: Mutex::default() }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        // Rows are put in as a whole.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much has been made, in 0..=1.
    pub(super) fn progress(&self) -> f64 {
        self.made().rows as f64 / self.height.max(1) as f64
    }

    /// Puts in the next rows.
    pub(super) fn extend(&self, pixels: &[Option<Rgb>]) {
        let mut made = self.made();
        let missing = self.width * self.height - made.pixels.len();
        // Once, and not by doubling.
        made.pixels.reserve_exact(missing);
        let rgba = |pixel: &Option<Rgb>| pixel.map_or([0; 4], |[r, g, b]| [r, g, b, 255]);
        made.pixels.extend(pixels.iter().take(missing).map(rgba));
        made.rows = made.pixels.len() / self.width.max(1);
    }

    /// The pixel at a column and row of the raster.
    pub(super) fn read(&self, places: impl Iterator<Item = (u64, u64)>) -> Vec<Option<Rgb>> {
        let made = self.made();
        let factor = u64::from(self.factor);
        let pixel = |(column, row): (u64, u64)| {
            let column = usize::try_from(column / factor).ok().filter(|&c| c < self.width)?;
            let row = usize::try_from(row / factor).ok()?;
            let &[r, g, b, alpha] = made.pixels.get(row.checked_mul(self.width)? + column)?;
            (alpha != 0).then_some([r, g, b])
        };
        places.map(pixel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_bounded_and_shows_what_has_been_made_of_it() {
        let preview = Preview::new(100_000, 100_000);
        assert_eq!((preview.factor, preview.width), (64, 1563));
        let preview = Preview::new(20_000, 10_000);
        assert_eq!((preview.factor, preview.width, preview.height), (8, 2500, 1250));
        preview.extend(&vec![Some([9, 8, 7]); 2500 * 10]);
        assert!((preview.progress() - 10.0 / 1250.0).abs() < 1e-12);
        let seen = preview.read([(0, 0), (19_999, 79), (19_999, 80), (20_001, 0)].into_iter());
        assert_eq!(seen, [Some([9, 8, 7]), Some([9, 8, 7]), None, None]);
        // More than there is does no harm.
        preview.extend(&vec![None; 2500 * 2000]);
        assert!((preview.progress() - 1.0).abs() < 1e-12);
    }
}
