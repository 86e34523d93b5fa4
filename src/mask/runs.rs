//! A mask in little room: only where its rows change. Many masks of one chip are kept at a time when everything in it
//! is looked for, and a plain one of 1024 x 1024 pixels takes 128 KB.

use super::{Mask, MaskError, PixelBounds};

/// The set pixels of a mask as runs, row by row. Smooth masks take one or two hundredths of their plain room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskRuns {
    height: u32,
    width: u32,
    bounds: PixelBounds,
    pixels: u64,
    /// For each row of the bounds: how many changes it has, and the steps from one to the next; LEB128.
    steps: Vec<u8>,
}

impl MaskRuns {
    /// The runs of a mask.
    pub fn of(mask: &Mask) -> Self {
        let mut changes = Vec::new();
        let (mut steps, mut pixels) = (Vec::new(), 0u64);
        let mut bounds: Option<PixelBounds> = None;
        // What stands in `steps` for rows below the last set one is cut off.
        let mut end = 0;
        for row in 0..mask.height() {
            changes.clear();
            mask.row_changes(row, &mut changes);
            if let (Some(&first), Some(&last)) = (changes.first(), changes.last()) {
                let (first, last, y) = (first as i32, last as i32, row as i32);
                bounds = Some(bounds.map_or(
                    PixelBounds { min_x: first, min_y: y, max_x: last, max_y: y + 1 },
                    |b| PixelBounds {
                        min_x: b.min_x.min(first),
                        max_x: b.max_x.max(last),
                        max_y: y + 1,
                        ..b
                    },
                ));
            }
            if bounds.is_some() {
                write_number(&mut steps, changes.len() as u32);
                let mut before = 0;
                for &change in &changes {
                    write_number(&mut steps, change - before);
                    before = change;
                }
            }
            pixels += changes.chunks_exact(2).map(|run| u64::from(run[1] - run[0])).sum::<u64>();
            if !changes.is_empty() {
                end = steps.len();
            }
        }
        steps.truncate(end);
        steps.shrink_to_fit();
        let nothing = PixelBounds { min_x: 0, min_y: 0, max_x: 0, max_y: 0 };
        let (height, width) = (mask.height() as u32, mask.width() as u32);
        Self { height, width, bounds: bounds.unwrap_or(nothing), pixels, steps }
    }

    /// The plain mask.
    ///
    /// # Errors
    /// None for what was made of a mask.
    pub fn to_mask(&self) -> Result<Mask, MaskError> {
        let mut mask = Mask::blank(self.height as usize, self.width as usize)?;
        self.draw(&mut mask);
        Ok(mask)
    }

    /// Sets its pixels in a mask of the same shape.
    pub fn draw(&self, mask: &mut Mask) {
        let (mut rows, mut changes) = (self.rows(), Vec::new());
        while let Some(row) = rows.next(&mut changes) {
            for run in changes.chunks_exact(2) {
                mask.set_run(row as usize, run[0] as usize..run[1] as usize);
            }
        }
    }

    /// Sets its pixels in another mask, in which its first pixel is `(col, row)`; those outside that mask are left out.
    pub fn draw_at(&self, mask: &mut Mask, (col, row): (i64, i64)) {
        let (mut rows, mut changes) = (self.rows(), Vec::new());
        while let Some(own_row) = rows.next(&mut changes) {
            let Ok(row) = usize::try_from(i64::from(own_row) + row) else { continue };
            for run in changes.chunks_exact(2) {
                let [start, end] = [run[0], run[1]].map(|at| (i64::from(at) + col).max(0) as usize);
                mask.set_run(row, start..end);
            }
        }
    }

    /// How many pixels are set.
    pub const fn pixels(&self) -> u64 {
        self.pixels
    }

    /// Bounds of the set pixels; all zero where there are none.
    pub const fn bounds(&self) -> PixelBounds {
        self.bounds
    }

    /// Height and width of the mask.
    pub const fn shape(&self) -> (usize, usize) {
        (self.height as usize, self.width as usize)
    }

    /// Bytes of memory.
    pub const fn bytes(&self) -> usize {
        std::mem::size_of::<Self>() + self.steps.capacity()
    }

    /// How many pixels of a window (columns and rows, each first and one past the last) are set.
    pub fn pixels_within(&self, cols: [i64; 2], rows: [i64; 2]) -> u64 {
        let (mut own, mut changes, mut sum) = (self.rows(), Vec::new(), 0);
        while let Some(row) = own.next(&mut changes) {
            if (rows[0]..rows[1]).contains(&i64::from(row)) {
                sum += changes.chunks_exact(2).map(|run| within(run, cols)).sum::<u64>();
            }
        }
        sum
    }

    /// How many pixels are set in both, where the other mask's first pixel is `(col, row)` of this one.
    pub fn shared(&self, other: &Self, (col, row): (i64, i64)) -> u64 {
        let (mut ours, mut theirs) = (self.rows(), other.rows());
        let (mut our_changes, mut their_changes, mut sum) = (Vec::new(), Vec::new(), 0);
        let mut next = (ours.next(&mut our_changes), theirs.next(&mut their_changes));
        while let (Some(our_row), Some(their_row)) = next {
            match i64::from(our_row).cmp(&(i64::from(their_row) + row)) {
                std::cmp::Ordering::Less => next.0 = ours.next(&mut our_changes),
                std::cmp::Ordering::Greater => next.1 = theirs.next(&mut their_changes),
                std::cmp::Ordering::Equal => {
                    sum += overlap(&our_changes, &their_changes, col);
                    next = (ours.next(&mut our_changes), theirs.next(&mut their_changes));
                }
            }
        }
        sum
    }

    /// Intersection over union of two masks of one chip; 0 where both are empty.
    pub fn iou(&self, other: &Self) -> f64 {
        let (a, b) = (self.bounds, other.bounds);
        if a.min_x >= b.max_x || b.min_x >= a.max_x || a.min_y >= b.max_y || b.min_y >= a.max_y {
            return 0.0;
        }
        let shared = self.shared(other, (0, 0)) as f64;
        shared / (self.pixels as f64 + other.pixels as f64 - shared)
    }

    /// Whether [`iou`](Self::iou) is greater than a threshold; compared pixel by pixel only where numbers and bounds of pixels
    /// leave that open.
    pub fn iou_exceeds(&self, other: &Self, threshold: f64) -> bool {
        let (a, b) = (self.bounds, other.bounds);
        let across = a.max_x.min(b.max_x) - a.min_x.max(b.min_x);
        let down = a.max_y.min(b.max_y) - a.min_y.max(b.min_y);
        if across <= 0 || down <= 0 {
            return 0.0 > threshold;
        }
        let most = (across as u64 * down as u64).min(self.pixels).min(other.pixels) as f64;
        // It grows with what is shared.
        let is_open = most / (self.pixels as f64 + other.pixels as f64 - most) > threshold;
        is_open && self.iou(other) > threshold
    }

    /// The rows in which pixels of a column are set, each once.
    pub fn rows_at(&self, col: i64) -> Vec<i64> {
        let (mut rows, mut changes, mut found) = (self.rows(), Vec::new(), Vec::new());
        while let Some(row) = rows.next(&mut changes) {
            if changes.chunks_exact(2).any(|run| (i64::from(run[0])..i64::from(run[1])).contains(&col)) {
                found.push(i64::from(row));
            }
        }
        found
    }

    /// The columns that are set in a row.
    pub fn columns_at(&self, wanted: i64) -> Vec<i64> {
        let (mut rows, mut changes) = (self.rows(), Vec::new());
        while let Some(row) = rows.next(&mut changes) {
            if i64::from(row) == wanted {
                return changes
                    .chunks_exact(2)
                    .flat_map(|run| i64::from(run[0])..i64::from(run[1]))
                    .collect();
            }
        }
        Vec::new()
    }

    /// As bytes, for [`MaskRuns::read`].
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.steps.len() + 16);
        for number in [self.height, self.width, self.bounds.min_y as u32] {
            write_number(&mut bytes, number);
        }
        bytes.extend_from_slice(&self.steps);
        bytes
    }

    /// From what [`MaskRuns::write`] has written; `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes;
        let [height, width, top] =
            [read_number(&mut bytes)?, read_number(&mut bytes)?, read_number(&mut bytes)?];
        let mut mask = Mask::blank(height as usize, width as usize).ok()?;
        let mut row = top;
        while !bytes.is_empty() {
            let (count, mut column) = (read_number(&mut bytes)?, 0u32);
            if row >= height || count % 2 == 1 || count > width.saturating_add(1) {
                return None;
            }
            for _ in 0..count / 2 {
                let start = column.checked_add(read_number(&mut bytes)?)?;
                column = start.checked_add(read_number(&mut bytes)?)?;
                if column > width {
                    return None;
                }
                mask.set_run(row as usize, start as usize..column as usize);
            }
            row += 1;
        }
        Some(Self::of(&mask))
    }

    fn rows(&self) -> Rows<'_> {
        Rows { row: self.bounds.min_y as u32, steps: &self.steps }
    }
}

/// The rows of runs, from the first that has any.
struct Rows<'a> {
    row: u32,
    steps: &'a [u8],
}

impl Rows<'_> {
    /// The next row, and its changes: starts of runs at even places, their ends at odd ones.
    fn next(&mut self, changes: &mut Vec<u32>) -> Option<u32> {
        let count = read_number(&mut self.steps)?;
        changes.clear();
        let mut column = 0;
        for _ in 0..count {
            column += read_number(&mut self.steps)?;
            changes.push(column);
        }
        self.row += 1;
        Some(self.row - 1)
    }
}

/// Pixels of a run within columns.
fn within(run: &[u32], cols: [i64; 2]) -> u64 {
    let (start, end) = (i64::from(run[0]).max(cols[0]), i64::from(run[1]).min(cols[1]));
    (end - start).max(0) as u64
}

/// Pixels that two rows share, where the second begins so many columns to the right.
fn overlap(ours: &[u32], theirs: &[u32], shift: i64) -> u64 {
    let (mut i, mut j, mut sum) = (0, 0, 0);
    while i + 1 < ours.len() && j + 1 < theirs.len() {
        let (our_end, their_end) = (i64::from(ours[i + 1]), i64::from(theirs[j + 1]) + shift);
        sum += within(&ours[i..i + 2], [i64::from(theirs[j]) + shift, their_end]);
        if our_end <= their_end {
            i += 2;
        } else {
            j += 2;
        }
    }
    sum
}

fn write_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u32> {
    let (mut number, mut shift) = (0u32, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        if shift > 28 || shift == 28 && part > 0xf {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arbitrary() -> impl Strategy<Value = Mask> {
        (1usize..20, 1usize..140).prop_flat_map(|(height, width)| {
            proptest::collection::vec(any::<bool>(), height * width)
                .prop_map(move |pixels| Mask::from_pixels(height, width, &pixels).unwrap())
        })
    }

    fn set_pixels(mask: &Mask) -> Vec<(i64, i64)> {
        let all = (0..mask.height()).flat_map(|row| (0..mask.width()).map(move |col| (row, col)));
        all.filter(|&(row, col)| mask.get(row, col)).map(|(row, col)| (row as i64, col as i64)).collect()
    }

    proptest! {
        #[test]
        fn runs_are_the_mask_and_come_back_from_bytes(mask in arbitrary()) {
            let runs = MaskRuns::of(&mask);
            prop_assert_eq!(&runs.to_mask().unwrap(), &mask);
            prop_assert_eq!(runs.pixels(), mask.count());
            prop_assert_eq!(MaskRuns::read(&runs.write()), Some(runs.clone()));
            let pixels = set_pixels(&mask);
            if let (Some(top), Some(left)) = (pixels.iter().map(|p| p.0).min(), pixels.iter().map(|p| p.1).min()) {
                prop_assert_eq!((runs.bounds().min_y, runs.bounds().min_x), (top as i32, left as i32));
            }
        }

        /// Against counting pixels.
        #[test]
        fn what_two_masks_share_is_counted_wherever_they_lie(
            a in arbitrary(), b in arbitrary(), col in -150i64..150, row in -25i64..25,
        ) {
            let (ours, theirs) = (MaskRuns::of(&a), MaskRuns::of(&b));
            let both = set_pixels(&b).into_iter().filter(|&(r, c)| {
                let (r, c) = (r + row, c + col);
                r >= 0 && c >= 0 && a.get(r as usize, c as usize)
            });
            prop_assert_eq!(ours.shared(&theirs, (col, row)), both.count() as u64);
            let window = ([col, col + 40], [row, row + 10]);
            let inside = set_pixels(&a).into_iter().filter(|&(r, c)| {
                (window.0[0]..window.0[1]).contains(&c) && (window.1[0]..window.1[1]).contains(&r)
            });
            prop_assert_eq!(ours.pixels_within(window.0, window.1), inside.count() as u64);
            let in_column = set_pixels(&a).into_iter().filter(|p| p.1 == col).map(|p| p.0).collect::<Vec<_>>();
            prop_assert_eq!(ours.rows_at(col), in_column);
        }

        #[test]
        fn any_bytes_are_runs_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            // A shape that no bytes need: absurd ones are refused by the mask.
            let mut framed = vec![20, 30, 0];
            framed.extend(bytes);
            let _ = MaskRuns::read(&framed);
        }
    }

    #[test]
    fn equal_masks_have_an_iou_of_one_and_apart_ones_of_zero() {
        let mask = |from: usize| {
            let mut mask = Mask::blank(10, 100).unwrap();
            (from..from + 10).for_each(|col| mask.set(3, col));
            MaskRuns::of(&mask)
        };
        assert_eq!(mask(5).iou(&mask(5)), 1.0);
        assert_eq!(mask(5).iou(&mask(50)), 0.0);
        assert!((mask(5).iou(&mask(10)) - 1.0 / 3.0).abs() < 1e-12);
        assert!(mask(5).bytes() < 100);
    }
}
