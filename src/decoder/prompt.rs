//! Prompts in the encoder's frame, and the prompt encoder: points and boxes to tokens, the grid to its positional
//! encoding. Where on the earth a prompt lies is no concern of this module.
//!
//! The encoding is that of Tancik et al. 2020 (random Fourier features) as Segment Anything uses it: a point's
//! coordinates, moved to the pixel's centre and scaled to -1 ..= 1, times a matrix of random frequencies, as sines
//! then cosines. Everything is computed in `f64`; only the finished tokens are `f32`.

use std::borrow::Cow;
use std::f64::consts::TAU;

use ndarray::{Array2, ArrayView1, ArrayViewMut1, s};

use super::chip::all_finite;
use super::error::DecoderError;
use super::weights::{CHANNELS, Weights};
use crate::family::Family;

/// A point of a prompt, in pixels of the encoder frame (0 .. 1024, or .. 1008 for SAM 3), before the half-pixel shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FramePoint {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
    /// Whether the object is here (label 1), or must not be (label 0).
    pub foreground: bool,
}

/// Points and at most one box, in pixels of the encoder frame, and perhaps a mask to start from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FramePrompt {
    /// The points, in the order given.
    pub points: Vec<FramePoint>,
    /// Left, top, right, bottom.
    pub bbox: Option<[f64; 4]>,
    /// Low-resolution logits of one mask of an earlier answer on the same chip, `[side, side]` with the side
    /// [`Family::low_resolution`]: the answer starts from it. It refines a prompt and is none alone. Reference
    /// implementations clip what they give back to -32 ..= 32; nothing is clipped here.
    pub mask: Option<Array2<f32>>,
}

impl FramePrompt {
    /// A prompt of one foreground point.
    pub fn point(x: f64, y: f64) -> Self {
        Self { points: vec![FramePoint { x, y, foreground: true }], ..Self::default() }
    }

    /// A prompt of one box.
    pub fn bbox(bbox: [f64; 4]) -> Self {
        Self { bbox: Some(bbox), ..Self::default() }
    }

    /// How many tokens the prompt has, padding and box corners included; 0 for an empty prompt.
    ///
    /// ```
    /// use geosam_edge::{Family, decoder::FramePrompt};
    /// assert_eq!(FramePrompt::point(1.0, 2.0).token_count(Family::Sam), 2);
    /// assert_eq!(FramePrompt::bbox([1.0, 2.0, 3.0, 4.0]).token_count(Family::Sam), 2);
    /// assert_eq!(FramePrompt::bbox([1.0, 2.0, 3.0, 4.0]).token_count(Family::Sam2), 3);
    /// ```
    pub fn token_count(&self, family: Family) -> usize {
        if self.points.is_empty() && self.bbox.is_none() {
            return 0;
        }
        let corners = if self.bbox.is_some() { 2 } else { 0 };
        let padding = usize::from(self.bbox.is_none() || family != Family::Sam);
        self.points.len() + corners + padding
    }

    /// The mask's values row by row, if there is one.
    ///
    /// # Errors
    /// A mask of another size than the family's, or with a value that is not finite.
    pub(crate) fn mask_values(&self, family: Family) -> Result<Option<Cow<'_, [f32]>>, DecoderError> {
        let Some(mask) = &self.mask else { return Ok(None) };
        let expected = family.low_resolution();
        if mask.dim() != (expected, expected) {
            return Err(DecoderError::MaskShape { family, found: mask.dim(), expected });
        }
        let values = match mask.as_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(mask.iter().copied().collect()),
        };
        if all_finite(&values) { Ok(Some(values)) } else { Err(DecoderError::MaskNotFinite) }
    }

    /// The tokens in the family's order: coordinates, and what stands there.
    ///
    /// SAM: the points, then a padding token or the box's corners. SAM 2 and 3: the box's corners, the points, then
    /// always a padding token.
    fn tokens(&self, family: Family) -> Vec<([f64; 2], Label)> {
        let points = self
            .points
            .iter()
            .map(|p| ([p.x, p.y], if p.foreground { Label::Foreground } else { Label::Background }));
        let corners = self.bbox.iter().flat_map(|&[left, top, right, bottom]| {
            [([left, top], Label::TopLeft), ([right, bottom], Label::BottomRight)]
        });
        let padding = ([0.0, 0.0], Label::Padding);
        match family {
            Family::Sam if self.bbox.is_some() => points.chain(corners).collect(),
            Family::Sam => points.chain([padding]).collect(),
            Family::Sam2 | Family::Sam3 => corners.chain(points).chain([padding]).collect(),
        }
    }
}

/// What a token of a prompt says, with Meta's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Padding = -1,
    Background = 0,
    Foreground = 1,
    TopLeft = 2,
    BottomRight = 3,
}

/// Turns prompts into tokens, with the weights of one checkpoint.
#[derive(Debug, Clone)]
pub struct PromptEncoder {
    family: Family,
    /// Random frequencies: one row for x, one for y.
    frequencies: Array2<f64>,
    /// What is added to a point's encoding, by label 0 to 3.
    labels: Array2<f32>,
    not_a_point: Array2<f32>,
}

impl PromptEncoder {
    /// Takes the prompt encoder's parameters out of `weights`.
    ///
    /// # Errors
    /// A parameter that is missing.
    pub fn new(weights: &Weights) -> Result<Self, DecoderError> {
        let mut labels = Array2::zeros((4, CHANNELS));
        for (i, mut row) in labels.rows_mut().into_iter().enumerate() {
            row.assign(&weights.matrix(&format!("prompt_encoder.point_embeddings.{i}.weight"))?.row(0));
        }
        Ok(Self {
            family: weights.family(),
            frequencies: weights
                .matrix("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix")?
                .mapv(f64::from),
            labels,
            not_a_point: weights.matrix("prompt_encoder.not_a_point_embed.weight")?,
        })
    }

    /// The prompt's tokens, `[N, 256]`.
    ///
    /// # Errors
    /// An empty prompt, or one with a coordinate that is not finite.
    pub fn encode(&self, prompt: &FramePrompt) -> Result<Array2<f32>, DecoderError> {
        if prompt.token_count(self.family) == 0 {
            return Err(DecoderError::EmptyPrompt);
        }
        let frame = self.family.frame() as f64;
        let items = prompt.tokens(self.family);
        let mut tokens = Array2::zeros((items.len(), CHANNELS));
        for (([x, y], label), mut token) in items.into_iter().zip(tokens.rows_mut()) {
            if !(x.is_finite() && y.is_finite()) {
                return Err(DecoderError::PromptNotFinite);
            }
            if label == Label::Padding {
                token.assign(&self.not_a_point.row(0));
            } else {
                let embedding = self.labels.row(label as usize);
                self.fourier((x + 0.5) / frame, (y + 0.5) / frame, embedding, token);
            }
        }
        Ok(tokens)
    }

    /// The positional encoding of the image tokens, `[grid * grid, 256]`, row by row.
    ///
    /// An angle is a part of the column's and one of the row's, so sines and cosines of the two are enough:
    /// 2 x grid x 128 of them instead of grid x grid x 128.
    pub fn dense(&self) -> Array2<f32> {
        let grid = self.family.grid();
        let half = CHANNELS / 2;
        let along = |axis: usize| {
            Array2::from_shape_fn((grid, half), |(i, channel)| {
                let position = 2.0 * (i as f64 + 0.5) / grid as f64 - 1.0;
                (TAU * position * self.frequencies[[axis, channel]]).sin_cos()
            })
        };
        let (columns, rows) = (along(0), along(1));
        let mut encoding = Array2::zeros((grid * grid, CHANNELS));
        for (i, mut token) in encoding.rows_mut().into_iter().enumerate() {
            let (column, row) = (columns.row(i % grid), rows.row(i / grid));
            for (channel, ((sin_x, cos_x), (sin_y, cos_y))) in column.iter().zip(&row).enumerate() {
                token[channel] = (sin_x * cos_y + cos_x * sin_y) as f32;
                token[half + channel] = (cos_x * cos_y - sin_x * sin_y) as f32;
            }
        }
        encoding
    }

    /// Writes the encoding of a position in 0 ..= 1, plus `offset`.
    fn fourier(&self, x: f64, y: f64, offset: ArrayView1<'_, f32>, mut out: ArrayViewMut1<'_, f32>) {
        let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
        let half = CHANNELS / 2;
        let offset = |i: usize| f64::from(offset[i]);
        for (i, frequency) in self.frequencies.columns().into_iter().enumerate() {
            let (sine, cosine) = (TAU * (x * frequency[0] + y * frequency[1])).sin_cos();
            out[i] = (sine + offset(i)) as f32;
            out[half + i] = (cosine + offset(half + i)) as f32;
        }
    }

    /// The embeddings of the labels -1 (padding), 0, 1, 2, 3 as rows `[5, 256]`: the table of the exported graphs.
    pub(crate) fn label_table(&self) -> Array2<f32> {
        let mut table = Array2::zeros((5, CHANNELS));
        table.row_mut(0).assign(&self.not_a_point.row(0));
        table.slice_mut(s![1.., ..]).assign(&self.labels);
        table
    }

    /// The random frequencies, `[2, 128]`.
    pub(crate) fn frequencies(&self) -> Array2<f32> {
        self.frequencies.mapv(|f| f as f32)
    }
}

#[cfg(test)]
#[allow(
    clippy::excessive_precision,
    clippy::inconsistent_digit_grouping,
    reason = "numbers as torch prints them"
)]
mod tests {
    use super::*;

    /// The channels of which the reference's values are written down here: two sines, the last sine, three cosines.
    const CHANNELS_SEEN: [usize; 6] = [0, 77, 127, 128, 200, 255];

    // What `PromptEncoder` of ultralytics 8.4.190 gives with the parameters of `Weights::random(family, 1)`, for a
    // foreground point at (500.25, 375.5), a background point at (12.5, 990) and the box (75, 275.125, 725, 850.75).
    const FOREGROUND: [f32; 6] =
        [-2.058_504_1, -0.976_940_04, 0.922_413_9, -0.997_854_65, -1.012_307_9, 0.284_587_03];
    const BACKGROUND: [f32; 6] =
        [1.297_523_7, 0.981_264_35, 1.167_812_3, -2.037_360_4, 0.155_250_52, 0.027_357_772];
    const TOP_LEFT: [f32; 6] =
        [-0.634_231_3, 0.991_331_64, 0.265_084_03, -0.573_773_56, -0.087_075_35, -0.278_300_64];
    const BOTTOM_RIGHT: [f32; 6] =
        [1.686_033_7, 2.266_707_9, -2.245_741_4, 1.901_398_4, 0.089_365_155, -0.327_551_78];
    const PADDING: [f32; 6] =
        [0.381_534_6, 0.389_856_46, -0.116_909_7, 0.512_390_26, 0.804_146_53, 0.091_380_745];
    // The same foreground point in SAM 3's frame of 1008.
    const FOREGROUND_1008: [f32; 6] =
        [-2.019_100_2, -1.102_233_2, 0.876_260_2, -0.827_905_5, -0.972_690_1, 0.254_969_3];

    fn encoder(family: Family) -> PromptEncoder {
        PromptEncoder::new(&Weights::random(family, 1)).unwrap()
    }

    fn points() -> FramePrompt {
        let foreground = FramePoint { x: 500.25, y: 375.5, foreground: true };
        let background = FramePoint { x: 12.5, y: 990.0, foreground: false };
        FramePrompt { points: vec![foreground, background], ..FramePrompt::default() }
    }

    fn points_and_box() -> FramePrompt {
        FramePrompt { bbox: Some([75.0, 275.125, 725.0, 850.75]), ..points() }
    }

    #[track_caller]
    fn assert_rows(rows: &Array2<f32>, expected: &[[f32; 6]]) {
        assert_eq!(rows.nrows(), expected.len());
        for (row, expected) in rows.rows().into_iter().zip(expected) {
            for (channel, expected) in CHANNELS_SEEN.into_iter().zip(expected) {
                // The reference computes in f32: sines of angles up to 20 differ by 2e-6.
                assert!((row[channel] - expected).abs() < 5e-6, "{} is not {expected}", row[channel]);
            }
        }
    }

    #[test]
    fn points_are_encoded_as_the_reference_does_and_padded() {
        for family in [Family::Sam, Family::Sam2] {
            let tokens = encoder(family).encode(&points()).unwrap();
            assert_rows(&tokens, &[FOREGROUND, BACKGROUND, PADDING]);
        }
    }

    #[test]
    fn sam_puts_the_corners_of_a_box_last_and_does_not_pad() {
        let tokens = encoder(Family::Sam).encode(&points_and_box()).unwrap();
        assert_rows(&tokens, &[FOREGROUND, BACKGROUND, TOP_LEFT, BOTTOM_RIGHT]);
    }

    #[test]
    fn sam2_puts_the_corners_of_a_box_first_and_pads() {
        let tokens = encoder(Family::Sam2).encode(&points_and_box()).unwrap();
        assert_rows(&tokens, &[TOP_LEFT, BOTTOM_RIGHT, FOREGROUND, BACKGROUND, PADDING]);
    }

    #[test]
    fn sam3_has_a_frame_of_its_own() {
        let tokens = encoder(Family::Sam3).encode(&FramePrompt::point(500.25, 375.5)).unwrap();
        assert_rows(&tokens, &[FOREGROUND_1008, PADDING]);
    }

    #[test]
    fn a_box_alone_is_two_tokens_for_sam_and_three_for_its_successors() {
        let prompt = FramePrompt { points: Vec::new(), ..points_and_box() };
        let tokens = encoder(Family::Sam).encode(&prompt).unwrap();
        assert_rows(&tokens, &[TOP_LEFT, BOTTOM_RIGHT]);
        let tokens = encoder(Family::Sam2).encode(&prompt).unwrap();
        assert_rows(&tokens, &[TOP_LEFT, BOTTOM_RIGHT, PADDING]);
    }

    #[test]
    fn the_grid_is_encoded_as_the_reference_does() {
        // First token, row 5 column 7, last token.
        let seen = |family: Family| {
            let (dense, grid) = (encoder(family).dense(), family.grid());
            assert_eq!(dense.dim(), (grid * grid, CHANNELS));
            dense.select(ndarray::Axis(0), &[0, 5 * grid + 7, grid * grid - 1])
        };
        let expected_64 = [
            [0.319_857_7, -0.950_819_55, 0.271_440_48, 0.947_465_6, 0.590_469_1, -0.962_455_2],
            [0.382_630_74, 0.718_613_27, 0.876_076, -0.923_901_4, -0.006_867_343, -0.482_173_05],
            [-0.319_857_7, 0.950_819_55, -0.271_440_48, 0.947_465_6, 0.590_469_1, -0.962_455_2],
        ];
        let expected_72 = [
            [0.299_330_56, -0.942_617_1, 0.266_571_16, 0.954_149_5, 0.598_049_46, -0.963_815_2],
            [0.631_505_7, 0.459_742, 0.827_433_05, -0.775_371_2, 0.073_436_86, -0.561_564_4],
            [-0.299_329_64, 0.942_616_5, -0.266_570_96, 0.954_149_8, 0.598_049_46, -0.963_815_33],
        ];
        assert_rows(&seen(Family::Sam), &expected_64);
        assert_rows(&seen(Family::Sam3), &expected_72);
    }

    #[test]
    fn the_grid_is_encoded_as_its_centres_are() {
        let encoder = encoder(Family::Sam3);
        let (dense, grid) = (encoder.dense(), Family::Sam3.grid());
        let nothing = ndarray::Array1::zeros(CHANNELS);
        let mut direct = ndarray::Array1::zeros(CHANNELS);
        for (i, row) in dense.rows().into_iter().enumerate() {
            let centre = |i: usize| (i as f64 + 0.5) / grid as f64;
            encoder.fourier(centre(i % grid), centre(i / grid), nothing.view(), direct.view_mut());
            for (a, b) in row.iter().zip(&direct) {
                // Both are f64 until the end: at most the last bit of the f32 differs.
                assert!((a - b).abs() <= f32::EPSILON * b.abs().max(1e-6), "{a} {b}");
            }
        }
    }

    #[test]
    fn coordinates_are_not_rounded_to_f32_before_they_are_encoded() {
        let encoder = encoder(Family::Sam);
        let tokens = |x: f64| encoder.encode(&FramePrompt::point(x, 512.0)).unwrap();
        assert_ne!(tokens(1000.0), tokens(1000.000_02));
    }
}
