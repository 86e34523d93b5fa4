//! A raster as tiles of 256 x 256 pixels in its own grid: the last level has the raster's pixels, each level before it half
//! as many a side, the first is one tile.
//!
//! A tile is read from the coarsest image of the file that has its detail. Of a raster without overviews the far levels
//! come from a preview, which [`TiledRaster::prepare`] makes. All tiles are stretched alike.

use std::path::Path;

use super::PictureError;
use super::canvas::Rgb;
use super::header::RasterHeader;
use super::levels::{Level, read_levels};
use super::preview::Preview;
use super::raster::{RasterError, RasterWindow, Stretch, read_samples};
use crate::geo::Affine;

/// Pixels of a tile's side.
pub const TILE: u32 = 256;

/// Most pixels of an image that one tile is read from.
const MOST_READ: f64 = 16.0 * 1024.0 * 1024.0;
/// Rows of a preview that are made at a time.
const BAND: usize = 16;
/// Pixels a side of what is looked at for the stretch, in so many places a side.
const LOOK: (usize, usize) = (32, 8);

/// Which tile: the level from the coarsest, the column, the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePlace {
    /// Level; 0 is the whole raster.
    pub z: u8,
    /// Column of tiles.
    pub x: u32,
    /// Row of tiles.
    pub y: u32,
}

/// A raster that tiles are read from. No file of it stays open.
#[derive(Debug)]
pub struct TiledRaster {
    full: Level,
    /// The finest first.
    overviews: Vec<Level>,
    stretch: Stretch,
    preview: Option<Preview>,
}

impl TiledRaster {
    /// Reads the headers, and looks at some pixels where they have to be stretched.
    ///
    /// # Errors
    /// A raster that cannot be read.
    pub fn open(path: &Path) -> Result<Self, RasterError> {
        let (full, overviews) = read_levels(path)?;
        let coarsest = overviews.last().unwrap_or(&full);
        let stretch = look(coarsest)?;
        let RasterHeader { width, height, .. } = coarsest.header;
        let is_far = f64::from(width) * f64::from(height) > MOST_READ;
        let preview = is_far.then(|| Preview::new(full.header.width, full.header.height));
        Ok(Self { full, overviews, stretch, preview })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.full.path
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.full.header.width, self.full.header.height)
    }

    /// Pixels to the raster's CRS.
    pub fn affine(&self) -> Affine {
        self.full.header.affine
    }

    /// Levels of tiles.
    pub fn levels(&self) -> u8 {
        let (width, height) = self.size();
        let tiles = width.max(height).div_ceil(TILE);
        // Sides have 31 bits at most.
        1 + u8::try_from(tiles.next_power_of_two().trailing_zeros()).unwrap_or(31)
    }

    /// How much of the preview has been made, in 0..=1; `None` where none is needed.
    pub fn progress(&self) -> Option<f64> {
        self.preview.as_ref().map(Preview::progress)
    }

    /// Makes the preview, where one is needed, as long as `go_on` says so.
    ///
    /// # Errors
    /// A raster that cannot be read.
    pub fn prepare(&self, go_on: &dyn Fn() -> bool) -> Result<(), RasterError> {
        let Some(preview) = &self.preview else { return Ok(()) };
        let from = self.overviews.last().unwrap_or(&self.full);
        let factor = f64::from(preview.factor);
        let affine = self.affine();
        let mut first = 0;
        while first < preview.height && go_on() {
            let rows = BAND.min(preview.height - first);
            let to_world =
                |column: f64, row: f64| affine.apply(column * factor, (first as f64 + row) * factor);
            let window = RasterWindow { width: preview.width, height: rows, to_world: &to_world };
            let samples = read_samples(&from.path, &from.header, &window)?;
            preview.extend(&self.stretch.apply(samples));
            first += rows;
        }
        Ok(())
    }

    /// A tile as PNG with alpha; `None` where no such tile is.
    ///
    /// # Errors
    /// A raster that cannot be read.
    pub fn tile(&self, place: TilePlace) -> Result<Option<Vec<u8>>, TileError> {
        let levels = self.levels();
        if place.z >= levels {
            return Ok(None);
        }
        // Columns and rows of the raster for one of the tile.
        let step = 1_u64 << (levels - 1 - place.z);
        let (width, height) = self.size();
        let corner = |at: u32| u64::from(at) * u64::from(TILE) * step;
        if corner(place.x) >= u64::from(width) || corner(place.y) >= u64::from(height) {
            return Ok(None);
        }
        let (left, top) = (corner(place.x), corner(place.y));
        let pixels = match self.source(step as f64) {
            Source::Level(level) => self.read(level, (left, top), step)?,
            Source::Preview(preview) => {
                let side = u64::from(TILE);
                let middle = |at: u64, i: u64| at + i * step + step / 2;
                preview.read((0..side * side).map(|i| (middle(left, i % side), middle(top, i / side))))
            }
        };
        Ok(Some(png(&pixels)?))
    }

    /// The coarsest image that has the detail of a step, or the preview where that would have to be read whole.
    fn source(&self, step: f64) -> Source<'_> {
        // Overviews of odd sides are a little off their power of two.
        let fine = self.overviews.iter().rfind(|level| level.scale <= step * 1.02);
        let level = fine.unwrap_or(&self.full);
        let side = f64::from(TILE) * step / level.scale;
        match &self.preview {
            Some(preview) if side * side > MOST_READ || f64::from(preview.factor) <= step => {
                Source::Preview(preview)
            }
            _ => Source::Level(level),
        }
    }

    /// Of an image with more detail than the tile four pixels are averaged.
    fn read(
        &self,
        level: &Level,
        (left, top): (u64, u64),
        step: u64,
    ) -> Result<Vec<Option<Rgb>>, RasterError> {
        let fold = if step as f64 / level.scale >= 1.98 { 2 } else { 1 };
        let side = TILE as usize * fold;
        let pace = step as f64 / fold as f64;
        let affine = self.affine();
        let to_world =
            |column: f64, row: f64| affine.apply(left as f64 + column * pace, top as f64 + row * pace);
        let window = RasterWindow { width: side, height: side, to_world: &to_world };
        let pixels = self.stretch.apply(read_samples(&level.path, &level.header, &window)?);
        if fold == 1 {
            return Ok(pixels);
        }
        let average = |i: usize| {
            let (column, row) = (i % TILE as usize * 2, i / TILE as usize * 2);
            let four =
                [0, 1, side, side + 1].map(|more| pixels.get(row * side + column + more).copied().flatten());
            let there: Vec<Rgb> = four.into_iter().flatten().collect();
            let count = u16::try_from(there.len()).ok().filter(|&n| n > 0)?;
            let mean = |band: usize| there.iter().map(|rgb| u16::from(rgb[band])).sum::<u16>() / count;
            // The mean of bytes is one.
            Some([0, 1, 2].map(|band| mean(band) as u8))
        };
        Ok((0..(TILE * TILE) as usize).map(average).collect())
    }
}

/// What a tile is made of.
enum Source<'a> {
    Level(&'a Level),
    Preview(&'a Preview),
}

/// Why a tile could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The raster.
    #[error(transparent)]
    Raster(#[from] RasterError),
    /// Its picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// The stretch of a whole image, from some places all over it.
fn look(level: &Level) -> Result<Stretch, RasterError> {
    let (block, places) = LOOK;
    let RasterHeader { affine, width, height, .. } = &level.header;
    let side = block * places;
    // Places are spread evenly; within one, pixels are neighbours, so that few strips or tiles are read.
    let spread = |at: f64, full: u32| {
        let place = (at / block as f64).floor();
        let within = at - place * block as f64;
        let room = (f64::from(full) - block as f64).max(0.0);
        place / (places - 1) as f64 * room + within.min(f64::from(full))
    };
    let to_world = |column: f64, row: f64| affine.apply(spread(column, *width), spread(row, *height));
    let window = RasterWindow { width: side, height: side, to_world: &to_world };
    read_samples(&level.path, &level.header, &window).map(|samples| Stretch::of(&samples))
}

/// A tile as PNG.
fn png(pixels: &[Option<Rgb>]) -> Result<Vec<u8>, PictureError> {
    let rgba: Vec<u8> = pixels.iter().flat_map(|p| p.map_or([0; 4], |[r, g, b]| [r, g, b, 255])).collect();
    let opaque = pixels.iter().all(Option::is_some);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, TILE, TILE);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    let mut writer = encoder.write_header()?;
    if opaque {
        let rgb: Vec<u8> = pixels.iter().flatten().flatten().copied().collect();
        writer.write_image_data(&rgb)?;
    } else {
        writer.write_image_data(&rgba)?;
    }
    writer.finish()?;
    Ok(bytes)
}
