//! The picture of one answer: backdrop, mask, prompt, scale bar, of the extent of a chip.

use std::path::{Path, PathBuf};

use super::canvas::{Canvas, Rgb};
use super::raster::{RasterError, RasterWindow, read_window};
use super::scale::ScaleBar;
use super::search::{Candidate, Wanted, raster_at, rasters_beside};
use crate::catalog::{ChipRef, PromptGeometry};
use crate::mask::Mask;

/// Longest side of a picture.
const LONGEST: usize = 1024;

const PLAIN: Rgb = [72, 76, 80];
const MASK: Rgb = [255, 0, 200];
const MASK_OPACITY: f32 = 0.35;
const FOREGROUND: Rgb = [0, 220, 0];
const BACKGROUND: Rgb = [230, 0, 0];
const BOX: Rgb = [255, 220, 0];
const WHITE: Rgb = [255, 255, 255];
const BLACK: Rgb = [0, 0, 0];

/// What lies under a mask.
#[derive(Debug)]
pub struct Backdrop {
    canvas: Canvas,
    /// Picture pixels of one chip pixel, along columns and rows.
    scale: (f64, f64),
    /// The raster that it shows; `None` where it is plain.
    pub raster: Option<PathBuf>,
    /// Rasters that lie there and could not be used; where another one is shown, only those that come before it.
    pub problems: Vec<RasterError>,
}

impl Backdrop {
    /// The raster under a chip, looked for in the folder's directory `root` and the one above; a plain one
    /// where there is none.
    pub fn find(root: &Path, chip: &ChipRef<'_>, wanted: Wanted<'_>) -> Self {
        let mut backdrop = Self::plain(chip);
        let found = rasters_beside(root, chip, wanted);
        for candidate in &found.candidates {
            match backdrop.lay(candidate, chip) {
                Ok(()) => return backdrop,
                Err(problem) => backdrop.problems.push(problem),
            }
        }
        backdrop.problems.extend(found.problems);
        backdrop
    }

    /// A raster that the user names.
    ///
    /// # Errors
    /// Why it cannot be shown under the chip. `epsg` is the code of the folder's CRS.
    pub fn of(raster: &Path, chip: &ChipRef<'_>, epsg: Option<u32>) -> Result<Self, RasterError> {
        let mut backdrop = Self::plain(chip);
        backdrop.lay(&raster_at(raster, chip, epsg)?, chip)?;
        Ok(backdrop)
    }

    fn lay(&mut self, candidate: &Candidate, chip: &ChipRef<'_>) -> Result<(), RasterError> {
        let (across, down) = self.scale;
        let window = RasterWindow {
            width: self.canvas.width(),
            height: self.canvas.height(),
            to_world: &|column, row| chip.affine.apply(column / across, row / down),
        };
        let pixels = read_window(&candidate.path, &candidate.header, &window)?;
        for (target, pixel) in self.canvas.pixels_mut().iter_mut().zip(pixels) {
            *target = pixel.unwrap_or(*target);
        }
        self.raster = Some(candidate.path.clone());
        Ok(())
    }

    /// A backdrop without a raster, in the chip's shape but at most 1024 pixels a side.
    pub fn plain(chip: &ChipRef<'_>) -> Self {
        let (height, width) = chip.shape;
        let shrink = (LONGEST as f64 / height.max(width) as f64).min(1.0);
        let side = |pixels: usize| ((pixels as f64 * shrink).round() as usize).clamp(1, LONGEST);
        let canvas = Canvas::new(side(width), side(height), PLAIN);
        let scale = (canvas.width() as f64 / width as f64, canvas.height() as f64 / height as f64);
        Self { canvas, scale, raster: None, problems: Vec::new() }
    }
}

/// What is drawn over a backdrop.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// The chip that the picture shows.
    pub chip: &'a ChipRef<'a>,
    /// The mask, in the chip's shape.
    pub mask: &'a Mask,
    /// Points and box in the folder's CRS.
    pub prompt: &'a PromptGeometry,
    /// For each point whether it is foreground.
    pub foreground: &'a [bool],
    /// Metres on the ground along a row from one of the chip's pixels to the next; without it no scale bar is drawn.
    pub metres_per_pixel: Option<f64>,
}

impl Overlay<'_> {
    /// Draws everything over a backdrop of the same chip.
    pub fn draw(&self, backdrop: Backdrop) -> Canvas {
        let Backdrop { mut canvas, scale, .. } = backdrop;
        self.draw_mask(&mut canvas, scale);
        self.draw_prompt(&mut canvas, scale);
        self.draw_scale_bar(&mut canvas, scale);
        canvas
    }

    fn draw_mask(&self, canvas: &mut Canvas, (across, down): (f64, f64)) {
        let (width, height) = (canvas.width(), canvas.height());
        let set = |column: usize, row: usize| {
            let at = |v: usize, scale: f64| ((v as f64 + 0.5) / scale) as usize;
            self.mask.get(at(row, down), at(column, across))
        };
        for row in 0..height {
            for column in (0..width).filter(|&column| set(column, row)) {
                // Two pixels along the inside of the edge; the picture's own border is none.
                let near = |v: usize, length: usize| v.saturating_sub(2)..(v + 3).min(length);
                let at_edge =
                    near(column, width).any(|c| !set(c, row)) || near(row, height).any(|r| !set(column, r));
                canvas.blend(column, row, MASK, if at_edge { 1.0 } else { MASK_OPACITY });
            }
        }
    }

    fn draw_prompt(&self, canvas: &mut Canvas, (across, down): (f64, f64)) {
        let place = |(x, y): (f64, f64)| {
            let (column, row) = self.chip.to_pixel(x, y);
            (column * across, row * down)
        };
        if let Some(bounds) = self.prompt.bbox {
            let corners = bounds.corners().map(place);
            if let Some(b) = crate::geo::Bounds::around(corners) {
                canvas.frame(b.into(), 4.0, BLACK);
                canvas.frame(b.into(), 2.0, BOX);
            }
        }
        for (&point, &foreground) in self.prompt.points.iter().zip(self.foreground) {
            let at = place(point);
            canvas.disc(at, 9.0, BLACK);
            canvas.disc(at, 8.0, WHITE);
            canvas.disc(at, 6.0, if foreground { FOREGROUND } else { BACKGROUND });
        }
    }

    fn draw_scale_bar(&self, canvas: &mut Canvas, (across, _): (f64, f64)) {
        const MARGIN: f64 = 12.0;
        const DOT: f64 = 3.0;
        let Some(metres_per_pixel) = self.metres_per_pixel else { return };
        let metres_per_pixel = metres_per_pixel / across;
        let quarter = canvas.width() as f64 / 4.0;
        let Some(bar) = ScaleBar::within(quarter * metres_per_pixel) else { return };
        let length = bar.metres / metres_per_pixel;
        let bottom = canvas.height() as f64 - MARGIN;
        // Text of 5 dots, a gap of 2, the bar of 2, and a margin of 3 around.
        let top = bottom - 15.0 * DOT;
        let text_width = bar.label.len() as f64 * 4.0 * DOT + 2.0 * DOT;
        let right = MARGIN + length.max(text_width) + 6.0 * DOT;
        canvas.fill([MARGIN, top, right, bottom], BLACK, 0.6);
        let left = MARGIN + 3.0 * DOT;
        canvas.text((left, top + 3.0 * DOT), &bar.label, DOT, WHITE);
        canvas.fill([left, top + 10.0 * DOT, left + length, top + 12.0 * DOT], WHITE, 1.0);
    }
}
