//! Which masks of one chip are objects: the filters and the removal of duplicates of segment-anything's automatic
//! masks. Pure. Each mask is compared with those before it when it comes, so that who asks for them can give way in between.

use ndarray::{ArrayView2, s};

use crate::mask::{MaskRuns, letterbox_gain};

/// A mask that passed the filters.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Predicted IoU.
    pub score: f32,
    /// The stability score.
    pub stability: f32,
    /// In the chip's shape.
    pub runs: MaskRuns,
}

/// The low-resolution logits of a chip without the letterbox beside it: `shape` and `frame` are the chip's and the
/// encoder's.
pub(super) fn within_chip<'a>(
    logits: ArrayView2<'a, f32>,
    (height, width): (usize, usize),
    frame: (usize, usize),
) -> ArrayView2<'a, f32> {
    let gain = letterbox_gain((height, width), frame);
    let side = |length: usize, frame: usize, low: usize| {
        let cells = (length as f64 * gain).round() * low as f64 / frame as f64;
        (cells.round() as usize).clamp(1, low)
    };
    let (rows, cols) = (side(height, frame.0, logits.nrows()), side(width, frame.1, logits.ncols()));
    logits.slice_move(s![..rows, ..cols])
}

/// The stability score: pixels above the cutoff raised by the offset, over those above the cutoff lowered by it.
/// Counted on the low-resolution logits, where it costs a sixteenth; 0 for a mask without any pixel, which is no
/// object.
pub(super) fn stability_score(logits: ArrayView2<'_, f32>, offset: f32) -> f32 {
    let (mut inner, mut outer) = (0u32, 0u32);
    for &logit in logits {
        inner += u32::from(logit > offset);
        outer += u32::from(logit > -offset);
    }
    if outer == 0 { 0.0 } else { inner as f32 / outer as f32 }
}

/// Masks of one chip that are kept while more come, in bytes and in number. Beyond that duplicates are left out early, and then
/// the worst masks.
const MOST: (usize, usize) = (32 << 20, 8192);

/// Objects of one chip: the best of what is left without duplicates. They are of some 22 x 22 pixels each if there are more.
pub(super) const MOST_OBJECTS: usize = 2048;

/// The masks of one chip that have come so far.
#[derive(Debug)]
pub(super) struct Pool {
    threshold: f64,
    masks: Vec<Candidate>,
    /// Of each mask a bit for each one before it: whether they are duplicates.
    duplicates: Vec<Vec<u64>>,
    bytes: usize,
    most: (usize, usize),
}

impl Pool {
    /// For masks of which two are duplicates if their IoU is greater than the threshold.
    pub fn new(threshold: f32) -> Self {
        let threshold = f64::from(threshold);
        Self { threshold, masks: Vec::new(), duplicates: Vec::new(), bytes: 0, most: MOST }
    }

    /// Takes a mask in.
    pub fn add(&mut self, candidate: Candidate) {
        let mut row = vec![0u64; self.masks.len().div_ceil(64)];
        for (bits, others) in row.iter_mut().zip(self.masks.chunks(64)) {
            for (bit, other) in others.iter().enumerate() {
                *bits |= u64::from(other.runs.iou_exceeds(&candidate.runs, self.threshold)) << bit;
            }
        }
        self.bytes += candidate.runs.bytes();
        self.masks.push(candidate);
        self.duplicates.push(row);
        if self.bytes > self.most.0 || self.masks.len() > self.most.1 {
            self.thin();
        }
    }

    /// Bytes of the masks.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Leaves out duplicates: of two masks the one with the lower score; of equal scores the less stable, then the later one.
    /// The best come first; there are at most `most` of them.
    pub fn best(mut self, most: usize) -> Vec<Candidate> {
        let mut kept = self.kept();
        if kept.len() > most {
            tracing::warn!(
                masks = kept.len(),
                most,
                "a chip has more masks than are made objects: the best are"
            );
            kept.truncate(most);
        }
        let mut masks: Vec<Option<Candidate>> = self.masks.drain(..).map(Some).collect();
        kept.into_iter().filter_map(|index| masks.get_mut(index)?.take()).collect()
    }

    /// The masks that stay, the best first.
    fn kept(&self) -> Vec<usize> {
        let mut order: Vec<(usize, &Candidate)> = self.masks.iter().enumerate().collect();
        order.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score).then(b.stability.total_cmp(&a.stability)));
        let mut kept: Vec<usize> = Vec::new();
        for (index, _) in order {
            if !kept.iter().any(|&other| self.are_duplicates(index, other)) {
                kept.push(index);
            }
        }
        kept
    }

    fn are_duplicates(&self, a: usize, b: usize) -> bool {
        let (later, earlier) = (a.max(b), a.min(b));
        let bits = self.duplicates.get(later).and_then(|row| row.get(earlier / 64));
        bits.is_some_and(|bits| bits >> (earlier % 64) & 1 == 1)
    }

    /// Leaves out duplicates early; and the worst, until there is room for some more.
    fn thin(&mut self) {
        let (threshold, most) = (self.threshold, self.most);
        let empty = Self { threshold, masks: Vec::new(), duplicates: Vec::new(), bytes: 0, most };
        let masks = std::mem::replace(self, empty).best(usize::MAX);
        for mask in masks {
            let bytes = self.bytes + mask.runs.bytes();
            if bytes > most.0 / 4 * 3 || self.masks.len() >= most.1 / 4 * 3 {
                tracing::warn!(
                    kept = self.masks.len(),
                    "a chip has more masks than there is room for: the worst are left out"
                );
                break;
            }
            self.bytes = bytes;
            // What stays are no duplicates of each other.
            self.duplicates.push(Vec::new());
            self.masks.push(mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::mask::Mask;

    fn candidate(score: f32, stability: f32, columns: std::ops::Range<usize>) -> Candidate {
        let mut mask = Mask::blank(8, 100).unwrap();
        for row in 2..6 {
            columns.clone().for_each(|col| mask.set(row, col));
        }
        Candidate { score, stability, runs: MaskRuns::of(&mask) }
    }

    fn best(masks: impl IntoIterator<Item = Candidate>, threshold: f32) -> Vec<(f32, i32)> {
        let mut pool = Pool::new(threshold);
        masks.into_iter().for_each(|mask| pool.add(mask));
        pool.best(MOST_OBJECTS).iter().map(|c| (c.score, c.runs.bounds().min_x)).collect()
    }

    #[test]
    fn of_duplicates_the_best_stays_and_what_lies_in_another_is_none() {
        let masks = [
            candidate(0.9, 0.96, 10..50),
            candidate(0.95, 0.96, 12..50),
            candidate(0.95, 0.99, 11..50),
            candidate(0.89, 0.99, 11..20),
            candidate(0.99, 0.99, 60..70),
        ];
        assert_eq!(best(masks, 0.7), [(0.99, 60), (0.95, 11), (0.89, 11)]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_best_of_what_came() {
        let all = |count: u16| (0..count).map(|i| candidate(f32::from(i % 97), 0.9, usize::from(i % 60)..80));
        // All are told apart, and all go in.
        assert_eq!(best(all(50), 1.0).len(), 50);
        let mut pool = Pool { most: (usize::MAX, 40), ..Pool::new(1.0) };
        all(500).for_each(|mask| {
            pool.add(mask);
            assert!(pool.masks.len() <= 40 && pool.masks.len() == pool.duplicates.len());
        });
        let room = candidate(0.0, 0.0, 10..50).runs.bytes() * 20;
        let mut narrow = Pool { most: (room, 1000), ..Pool::new(1.0) };
        all(500).for_each(|mask| {
            narrow.add(mask);
            assert!(narrow.bytes() <= room);
            assert_eq!(narrow.bytes(), narrow.masks.iter().map(|mask| mask.runs.bytes()).sum::<usize>());
        });
        for pool in [pool, narrow] {
            let best: Vec<f32> = pool.best(5).iter().map(|mask| mask.score).collect();
            assert_eq!(best, [96.0; 5]);
        }
    }

    proptest::proptest! {
        #[test]
        fn masks_that_come_one_by_one_are_told_apart_as_all_at_once(
            masks in proptest::collection::vec((0u8..4, 0u8..3, 0usize..40, 1usize..60), 0..150),
            threshold in proptest::sample::select(vec![0.0f32, 0.3, 0.5, 0.7, 0.95, 1.0]),
        ) {
            let masks: Vec<Candidate> = masks
                .into_iter()
                .map(|(score, stability, from, length)| candidate(f32::from(score), f32::from(stability), from..from + length))
                .collect();
            // As segment-anything does: sorted, and each compared with those that stay.
            let mut sorted = masks.clone();
            sorted.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.stability.total_cmp(&a.stability)));
            let mut kept: Vec<Candidate> = Vec::new();
            for mask in sorted {
                if kept.iter().all(|other| other.runs.iou(&mask.runs) <= f64::from(threshold)) {
                    kept.push(mask);
                }
            }
            let mut pool = Pool::new(threshold);
            masks.into_iter().for_each(|mask| pool.add(mask));
            proptest::prop_assert_eq!(pool.best(usize::MAX), kept);
        }
    }

    #[test]
    fn stability_is_the_share_that_stays_when_the_cutoff_is_raised() {
        let logits = Array2::from_shape_fn((4, 4), |(row, _)| [5.0, 0.5, -0.5, -5.0][row]);
        assert_eq!(stability_score(logits.view(), 1.0), 4.0 / 12.0);
        assert_eq!(stability_score(logits.view(), 0.1), 1.0);
        assert_eq!(stability_score(Array2::from_elem((4, 4), -9.0).view(), 1.0), 0.0);
    }

    #[test]
    fn the_letterbox_is_no_part_of_a_chip() {
        let logits = Array2::zeros((256, 256));
        assert_eq!(within_chip(logits.view(), (1024, 1024), (1024, 1024)).dim(), (256, 256));
        assert_eq!(within_chip(logits.view(), (512, 1024), (1024, 1024)).dim(), (128, 256));
        assert_eq!(within_chip(logits.view(), (100, 50), (1024, 1024)).dim(), (256, 128));
    }
}
