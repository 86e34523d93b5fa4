//! Prompts in the encoder's frame, and the prompt encoder: points and boxes to tokens, the grid to its positional
//! encoding. Where on the earth a prompt lies is no concern of this module.
//!
//! The encoding is that of Tancik et al. 2020 (random Fourier features) as Segment Anything uses it: a point's
//! coordinates, moved to the pixel's centre and scaled to -1 ..= 1, times a matrix of random frequencies, as sines
//! then cosines. Everything is computed in `f64`; only the finished tokens are `f32`.

use std::f64::consts::TAU;

use ndarray::{Array2, ArrayView1, ArrayViewMut1, s};

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

/// Points and at most one box, in pixels of the encoder frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FramePrompt {
    /// The points, in the order given.
    pub points: Vec<FramePoint>,
    /// Left, top, right, bottom.
    pub bbox: Option<[f64; 4]>,
}

impl FramePrompt {
    /// A prompt of one foreground point.
    pub fn point(x: f64, y: f64) -> Self {
        Self { points: vec![FramePoint { x, y, foreground: true }], bbox: None }
    }

    /// A prompt of one box.
    pub fn bbox(bbox: [f64; 4]) -> Self {
        Self { points: Vec::new(), bbox: Some(bbox) }
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
                self.fourier((x + 0.5) / frame, (y + 0.5) / frame, Some(embedding), token);
            }
        }
        Ok(tokens)
    }

    /// The positional encoding of the image tokens, `[grid * grid, 256]`, row by row.
    pub fn dense(&self) -> Array2<f32> {
        let grid = self.family.grid();
        let centre = |i: usize| (i as f64 + 0.5) / grid as f64;
        let mut encoding = Array2::zeros((grid * grid, CHANNELS));
        for (i, row) in encoding.rows_mut().into_iter().enumerate() {
            self.fourier(centre(i % grid), centre(i / grid), None, row);
        }
        encoding
    }

    /// Writes the encoding of a position in 0 ..= 1, plus `offset`.
    fn fourier(&self, x: f64, y: f64, offset: Option<ArrayView1<'_, f32>>, mut out: ArrayViewMut1<'_, f32>) {
        let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
        let half = CHANNELS / 2;
        let offset = |i: usize| offset.map_or(0.0, |o| f64::from(o[i]));
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
