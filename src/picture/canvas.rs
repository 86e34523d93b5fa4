//! An RGB picture in memory, and the few shapes that are drawn on it. All shapes are cut at its edges.

use std::io::Write;

use super::{PictureError, font};

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// A picture of 8-bit RGB, row by row from the top. Positions are in pixels, (0, 0) the outer corner of the
/// first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: Rgb) -> Self {
        Self { width, height, pixels: vec![colour; width * height] }
    }

    /// Columns.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The pixels, row by row.
    pub fn pixels_mut(&mut self) -> &mut [Rgb] {
        &mut self.pixels
    }

    /// A pixel; `None` outside.
    pub fn get(&self, column: usize, row: usize) -> Option<Rgb> {
        (column < self.width).then(|| self.pixels.get(row * self.width + column).copied())?
    }

    /// Lays a colour over a pixel: 0 leaves the pixel, 1 covers it.
    pub fn blend(&mut self, column: usize, row: usize, colour: Rgb, opacity: f32) {
        if column >= self.width {
            return;
        }
        if let Some(pixel) = self.pixels.get_mut(row * self.width + column) {
            for (below, above) in pixel.iter_mut().zip(colour) {
                let mixed = f32::from(*below) * (1.0 - opacity) + f32::from(above) * opacity;
                // A mean of two bytes; the conversion saturates.
                *below = mixed.round() as u8;
            }
        }
    }

    /// Fills the pixels whose centres lie in a rectangle.
    pub fn fill(&mut self, [left, top, right, bottom]: [f64; 4], colour: Rgb, opacity: f32) {
        let (first, last) = span(left, right, self.width);
        let (upper, lower) = span(top, bottom, self.height);
        for row in upper..lower {
            for column in first..last {
                self.blend(column, row, colour, opacity);
            }
        }
    }

    /// The outline of a rectangle, `line` pixels wide around its edges.
    pub fn frame(&mut self, [left, top, right, bottom]: [f64; 4], line: f64, colour: Rgb) {
        let half = line / 2.0;
        for x in [left, right] {
            self.fill([x - half, top - half, x + half, bottom + half], colour, 1.0);
        }
        for y in [top, bottom] {
            self.fill([left - half, y - half, right + half, y + half], colour, 1.0);
        }
    }

    /// Fills the pixels whose centres lie in a simple polygon.
    pub fn polygon(&mut self, corners: &[(f64, f64)], colour: Rgb, opacity: f32) {
        let sides = || corners.iter().zip(corners.iter().cycle().skip(1));
        let reach = |pick: fn(f64, f64) -> f64, start| corners.iter().map(|c| c.1).fold(start, pick);
        let (upper, lower) =
            span(reach(f64::min, f64::INFINITY), reach(f64::max, f64::NEG_INFINITY), self.height);
        let mut crossings = Vec::new();
        for row in upper..lower {
            let y = row as f64 + 0.5;
            crossings.clear();
            for (&(x0, y0), &(x1, y1)) in sides().filter(|(a, b)| (a.1 <= y) != (b.1 <= y)) {
                crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
            }
            crossings.sort_unstable_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                let (first, last) = span(pair[0], pair[1], self.width);
                for column in first..last {
                    self.blend(column, row, colour, opacity);
                }
            }
        }
    }

    /// A straight line, `width` pixels wide.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, colour: Rgb) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length > 0.0 {
            let (right, down) = (dx / length * width / 2.0, dy / length * width / 2.0);
            // A rectangle along the line, longer by half the width at either end.
            let corner = |(x, y): (f64, f64), along: f64, across: f64| {
                (x + along * right - across * down, y + along * down + across * right)
            };
            let corners = [
                corner(from, -1.0, -1.0),
                corner(to, 1.0, -1.0),
                corner(to, 1.0, 1.0),
                corner(from, -1.0, 1.0),
            ];
            self.polygon(&corners, colour, 1.0);
        }
    }

    /// A filled circle.
    pub fn disc(&mut self, (x, y): (f64, f64), radius: f64, colour: Rgb) {
        let (first, last) = span(x - radius, x + radius, self.width);
        let (upper, lower) = span(y - radius, y + radius, self.height);
        for row in upper..lower {
            for column in first..last {
                if (column as f64 + 0.5 - x).hypot(row as f64 + 0.5 - y) <= radius {
                    self.blend(column, row, colour, 1.0);
                }
            }
        }
    }

    /// Writes a text with its upper left corner at a position, each dot of a letter `dot` pixels wide.
    pub fn text(&mut self, (x, y): (f64, f64), text: &str, dot: f64, colour: Rgb) {
        let mut left = x;
        for letter in text.chars() {
            let rows = font::glyph(letter);
            for (row, dots) in rows.iter().enumerate() {
                let top = y + row as f64 * dot;
                for (column, _) in dots.bytes().enumerate().filter(|&(_, ink)| ink == b'#') {
                    let start = left + column as f64 * dot;
                    self.fill([start, top, start + dot, top + dot], colour, 1.0);
                }
            }
            left += (rows[0].len() + 1) as f64 * dot;
        }
    }

    /// Writes the picture as an RGB PNG.
    ///
    /// # Errors
    /// The sink fails, or the picture has no pixels.
    pub fn write_png(&self, sink: impl Write) -> Result<(), PictureError> {
        // Sides beyond 2^32 would not be in memory.
        let mut encoder = png::Encoder::new(sink, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        Ok(writer.finish()?)
    }
}

/// The pixels of an axis whose centres lie between two positions.
fn span(from: f64, to: f64, length: usize) -> (usize, usize) {
    // The conversion saturates, and takes what is no number for 0.
    let edge = |v: f64| ((v - 0.5).ceil().max(0.0) as usize).min(length);
    (edge(from), edge(to))
}
