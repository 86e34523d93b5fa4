//! Low-resolution logits to the chip's mask: cut off the letterbox, enlarge bilinearly, threshold.
//!
//! The decoder answers on a square grid of L x L logits over the encoder's whole frame; the chip
//! fills the frame's top-left part only (the letterbox). This is what geosam 0.1.3 gets from
//! ultralytics 8.4 (`Predictor.inference_features`): bilinear with half-pixel centres
//! (`align_corners = false`), replicating the border, set where the logit is above zero.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2};

use super::{Mask, MaskError};

/// The mask of a chip: pixels whose enlarged logit is above zero.
///
/// - `logits`: `[L, L]`, rows first, as the decoder gives them.
/// - `src_shape`: height and width of the chip in pixels, as the encoder saw it.
/// - `dst_shape`: height and width of the encoder's frame, for example 1024 x 1024.
/// - `out_shape`: height and width of the mask; the chip's shape in the manifest, which is
///   `src_shape` unless the folder is odd.
///
/// The chip's part of the logits has `round(side * gain) * L / frame` rows and columns, where gain
/// is the letterbox's scale and halves round to even. When these are whole numbers, the logits
/// beyond them are cut off before sampling; when they are not, the exact span is sampled and a
/// sample near the chip's end may lean on the first logits beyond it.
///
/// # Errors
/// [`MaskError::EmptyShape`] where a side is zero, [`MaskError::TooLarge`] for an absurd `out_shape`.
pub fn upscale(
    logits: ArrayView2<'_, f32>,
    src_shape: (usize, usize),
    dst_shape: (usize, usize),
    out_shape: (usize, usize),
) -> Result<Mask, MaskError> {
    check_shapes(logits.dim(), src_shape, dst_shape, out_shape)?;
    let mut mask = Mask::blank(out_shape.0, out_shape.1)?;
    let (rows, cols) = content(logits.dim(), src_shape, dst_shape);
    Sampler { logits, row_taps: taps(rows, out_shape.0), col_taps: taps(cols, out_shape.1) }
        .sample(&mut mask);
    Ok(mask)
}

fn check_shapes(
    low: (usize, usize),
    src_shape: (usize, usize),
    dst_shape: (usize, usize),
    out_shape: (usize, usize),
) -> Result<(), MaskError> {
    let shapes = [
        ("the chip", src_shape),
        ("the encoder's frame", dst_shape),
        ("the grid of logits", low),
        ("the mask", out_shape),
    ];
    for (what, (height, width)) in shapes {
        if height == 0 || width == 0 {
            return Err(MaskError::EmptyShape { what, height, width });
        }
    }
    Ok(())
}

/// Enlarged logits themselves, of single pixels: where several chips have a say, each counts by how sure it is.
#[derive(Debug)]
pub struct Enlarged<'a>(Sampler<'a>);

impl<'a> Enlarged<'a> {
    /// Takes what [`upscale`] takes, and says what it thresholds.
    ///
    /// # Errors
    /// As [`upscale`].
    pub fn new(
        logits: ArrayView2<'a, f32>,
        src_shape: (usize, usize),
        dst_shape: (usize, usize),
        out_shape: (usize, usize),
    ) -> Result<Self, MaskError> {
        check_shapes(logits.dim(), src_shape, dst_shape, out_shape)?;
        let (rows, cols) = content(logits.dim(), src_shape, dst_shape);
        Ok(Self(Sampler { logits, row_taps: taps(rows, out_shape.0), col_taps: taps(cols, out_shape.1) }))
    }

    /// The logit of a pixel of the mask: bit for bit the value whose sign [`upscale`] looks at.
    ///
    /// # Panics
    /// Outside the mask's shape.
    pub fn at(&self, row: usize, col: usize) -> f32 {
        let (down, across) = (self.0.row_taps[row], self.0.col_taps[col]);
        let along = |r: u32| {
            let value = |c: u32| self.0.logits[(r as usize, c as usize)];
            blend(value(across.lower), value(across.upper), across.weight)
        };
        blend(along(down.lower), along(down.upper), down.weight)
    }
}

/// The chip's part of the grid of logits along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Content {
    /// Length of the part in cells, whole or not.
    span: f64,
    /// Cells that may be sampled, from the first.
    cells: usize,
}

/// The chip's rows and columns of the grid of logits.
/// Pixels of the encoder's frame for one of the chip: the letterbox's scale, the same in both directions. `shape` and
/// `frame` are heights and widths.
pub fn letterbox_gain(shape: (usize, usize), frame: (usize, usize)) -> f64 {
    (frame.0 as f64 / shape.0 as f64).min(frame.1 as f64 / shape.1 as f64)
}

fn content(low: (usize, usize), src: (usize, usize), dst: (usize, usize)) -> (Content, Content) {
    let gain = letterbox_gain(src, dst);
    let exact =
        |low: usize, src: usize, dst: usize| (src as f64 * gain).round_ties_even() * low as f64 / dst as f64;
    let (rows, cols) = (exact(low.0, src.0, dst.0), exact(low.1, src.1, dst.1));
    let whole = |span: f64| span.round_ties_even().max(1.0);
    // The same slack as ultralytics leaves, for both axes together.
    if (rows - whole(rows)).abs() + (cols - whole(cols)).abs() > 1e-3 {
        (Content { span: rows, cells: low.0 }, Content { span: cols, cells: low.1 })
    } else {
        let cut =
            |span: f64, low: usize| Content { span: whole(span), cells: (whole(span) as usize).min(low) };
        (cut(rows, low.0), cut(cols, low.1))
    }
}

/// Where one output row or column samples the logits: between cells `lower` and `upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    lower: u32,
    upper: u32,
    /// Share of the upper cell, 0 to 1.
    weight: f32,
}

/// The taps of `count` outputs spread evenly over the content; they never go back.
fn taps(content: Content, count: usize) -> Vec<Tap> {
    let last = (content.cells - 1) as u32;
    let scale = content.span / count as f64;
    (0..count)
        .map(|index| {
            let position = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, f64::from(last));
            let lower = position as u32;
            Tap { lower, upper: (lower + 1).min(last), weight: (position - f64::from(lower)) as f32 }
        })
        .collect()
}

#[derive(Debug)]
struct Sampler<'a> {
    logits: ArrayView2<'a, f32>,
    row_taps: Vec<Tap>,
    col_taps: Vec<Tap>,
}

impl Sampler<'_> {
    /// Fills a blank mask. Rows of logits are enlarged along their columns once, and each pair of
    /// neighbours is then blended for the output rows between them; what cannot be positive,
    /// because no logit around it is, is never computed.
    fn sample(&self, mask: &mut Mask) {
        let reach: Vec<Range<usize>> = self.logits.rows().into_iter().map(|row| self.reach(row)).collect();
        let all = reach.iter().cloned().fold(0..0, unite);
        // The last two rows of logits that were needed: an even one and an odd one.
        let mut wide = [vec![0f32; mask.width()], vec![0f32; mask.width()]];
        let mut held = [None; 2];
        for (out_row, tap) in self.row_taps.iter().enumerate() {
            let columns = unite(reach[tap.lower as usize].clone(), reach[tap.upper as usize].clone());
            if columns.is_empty() {
                continue;
            }
            for row in [tap.lower, tap.upper] {
                let slot = row as usize % 2;
                if held[slot] != Some(row) {
                    let logits = self.logits.row(row as usize);
                    widen(logits, &self.col_taps[all.clone()], &mut wide[slot][all.clone()]);
                    held[slot] = Some(row);
                }
            }
            // Whole words: columns around those that matter hold values of no positive logit, or
            // zeros.
            let start = columns.start / 64 * 64;
            let end = columns.end.next_multiple_of(64).min(mask.width());
            threshold(
                &wide[tap.lower as usize % 2][start..end],
                &wide[tap.upper as usize % 2][start..end],
                tap.weight,
                &mut mask.row_words_mut(out_row)[start / 64..],
            );
        }
    }

    /// The output columns that a row of logits can make positive.
    fn reach(&self, row: ArrayView1<'_, f32>) -> Range<usize> {
        let positive = |logit: &f32| *logit > 0.0;
        let Some(first) = row.iter().position(positive) else { return 0..0 };
        let last = row.iter().rposition(positive).unwrap_or(first);
        self.col_taps.partition_point(|tap| (tap.upper as usize) < first)
            ..self.col_taps.partition_point(|tap| tap.lower as usize <= last)
    }
}

/// The smallest range around two, of which empty ones do not count.
fn unite(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// Samples a row of logits at the taps.
fn widen(row: ArrayView1<'_, f32>, taps: &[Tap], wide: &mut [f32]) {
    let copied;
    let row = match row.as_slice() {
        Some(row) => row,
        None => {
            copied = row.to_vec();
            &copied
        }
    };
    for (value, tap) in wide.iter_mut().zip(taps) {
        *value = blend(row[tap.lower as usize], row[tap.upper as usize], tap.weight);
    }
}

/// Sets a pixel's bit where the blend of its two values is above zero; 64 pixels a word.
fn threshold(lower: &[f32], upper: &[f32], weight: f32, words: &mut [u64]) {
    for (word, (lower, upper)) in words.iter_mut().zip(lower.chunks(64).zip(upper.chunks(64))) {
        let mut set = [0u8; 64];
        for (set, (lower, upper)) in set.iter_mut().zip(lower.iter().zip(upper)) {
            *set = u8::from(blend(*lower, *upper, weight) > 0.0);
        }
        // Eight bytes of 0 or 1 to eight bits: the product brings byte k to bit 56 + k.
        let (eights, _) = set.as_chunks::<8>();
        *word = eights.iter().rev().fold(0, |bits, eight| {
            bits << 8 | u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56
        });
    }
}

/// Linear interpolation in the order in which torch does it.
fn blend(lower: f32, upper: f32, weight: f32) -> f32 {
    lower * (1.0 - weight) + upper * weight
}
