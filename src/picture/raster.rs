//! The pixels of a raster under a picture: 8 or 16 bits, gray or RGB (of more bands the first three), strips
//! or tiles, whatever compression the `tiff` crate reads.
//!
//! Rasters are not ours and may be damaged. Only the strips or tiles under the picture are decoded, one at a
//! time, and their sizes are bounded before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use tiff::ColorType;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{PlanarConfiguration, Tag};

use super::canvas::Rgb;
use crate::features::v1::V1Header;

/// Most bytes of one strip or tile.
const CHUNK_BYTES: usize = 256 << 20;
/// Most bytes decoded for one picture.
const TOTAL_BYTES: u64 = 4 << 30;
/// Of 16-bit samples this share at either end is cut off before they are stretched.
const CUT: f64 = 0.02;

/// Why a raster gives no picture.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    /// The system cannot read it.
    #[error("{path}: {source}")]
    Io {
        /// The raster.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is damaged, or of a kind that is not read here.
    #[error(
        "{path}: no backdrop of this raster: {detail}; it can be rewritten with: \
         gdal_translate -co COMPRESS=DEFLATE -co TILED=YES in.tif out.tif"
    )]
    Unreadable {
        /// The raster.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

/// Which pixels are wanted.
pub struct RasterWindow<'a> {
    /// Columns of the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
    /// From a (column, row) of the picture to world coordinates.
    pub to_world: &'a dyn Fn(f64, f64) -> (f64, f64),
}

/// The nearest raster pixel of each pixel of a picture, row by row; `None` beyond the raster.
///
/// # Errors
/// Files that cannot be read, are damaged, or hold something other than 8- or 16-bit gray or RGB.
pub fn read_window(
    path: &Path,
    header: &V1Header,
    window: &RasterWindow<'_>,
) -> Result<Vec<Option<Rgb>>, RasterError> {
    let file = File::open(path).map_err(|source| RasterError::Io { path: path.to_owned(), source })?;
    samples(file, header, window)
        .map(|samples| samples.stretched())
        .map_err(|detail| RasterError::Unreadable { path: path.to_owned(), detail })
}

/// Where the pixels of a chunk go: position in the picture, column and row in the chunk.
type Targets = BTreeMap<u32, Vec<(usize, usize, usize)>>;

struct Samples {
    values: Vec<Option<[u16; 3]>>,
    wide: bool,
}

fn samples(file: File, header: &V1Header, window: &RasterWindow<'_>) -> Result<Samples, String> {
    let told = |e: tiff::TiffError| e.to_string();
    let mut limits = Limits::default();
    limits.decoding_buffer_size = CHUNK_BYTES;
    limits.intermediate_buffer_size = CHUNK_BYTES;
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(told)?.with_limits(limits);
    let (bands, bits) = match decoder.colortype().map_err(told)? {
        ColorType::Gray(bits) => (1, bits),
        ColorType::GrayA(bits) => (2, bits),
        ColorType::RGB(bits) => (3, bits),
        ColorType::RGBA(bits) => (4, bits),
        ColorType::Multiband { bit_depth, num_samples } => (usize::from(num_samples), bit_depth),
        other => return Err(format!("its colours are {other:?}")),
    };
    if !matches!(bits, 8 | 16) || bands == 0 {
        return Err(format!("it has {bands} bands of {bits} bits"));
    }
    let (width, height) = decoder.dimensions().map_err(told)?;
    if (width as usize, height as usize) != (header.width, header.height) {
        return Err("it changed while it was read".to_owned());
    }
    let planar: Option<u16> = decoder.find_tag_unsigned(Tag::PlanarConfiguration).map_err(told)?;
    let separate = planar == Some(PlanarConfiguration::Planar.to_u16());
    let rows: Option<u32> = decoder.find_tag_unsigned(Tag::RowsPerStrip).map_err(told)?;
    if rows == Some(0) {
        return Err("its strips have no rows".to_owned());
    }
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    if chunk_width == 0 || chunk_height == 0 {
        return Err("its strips or tiles have no size".to_owned());
    }
    let (across, down) = match decoder.get_chunk_type() {
        ChunkType::Strip => (1, height.div_ceil(chunk_height)),
        ChunkType::Tile => (width.div_ceil(chunk_width), height.div_ceil(chunk_height)),
    };
    // Sides are at most 2^16: no product of two overflows.
    let per_plane = across * down;
    let targets = targets(header, window, (chunk_width, chunk_height), across);

    let shown = if bands >= 3 { 3 } else { 1 };
    let (planes, stride) = if separate { (shown, 1) } else { (1, bands) };
    let chunk_bytes = u64::from(chunk_width.min(width.next_multiple_of(chunk_width)))
        * u64::from(chunk_height.min(height))
        * stride as u64
        * u64::from(bits / 8);
    if chunk_bytes.saturating_mul((targets.len() * planes) as u64) > TOTAL_BYTES {
        return Err("its strips or tiles are too large to be read for a picture".to_owned());
    }
    let mut values: Vec<Option<[u16; 3]>> = vec![None; window.width * window.height];
    for (&chunk, pixels) in &targets {
        for plane in 0..planes {
            let index = (plane as u32)
                .checked_mul(per_plane)
                .and_then(|first| first.checked_add(chunk))
                .ok_or("it has too many tiles")?;
            let data = decoder.read_chunk(index).map_err(told)?;
            let columns = decoder.chunk_data_dimensions(index).0 as usize;
            for &(target, column, row) in pixels {
                let first = (row * columns + column) * stride;
                let value = values.get_mut(target).ok_or("a pixel lies outside the picture")?;
                let value = value.get_or_insert([0; 3]);
                let ended = || "a strip or tile of it ends early".to_owned();
                if separate && shown == 3 {
                    value[plane] = sample(&data, first).ok_or_else(ended)?;
                    continue;
                }
                for (band, channel) in value.iter_mut().enumerate() {
                    let at = if shown == 3 { first + band } else { first };
                    *channel = sample(&data, at).ok_or_else(ended)?;
                }
            }
        }
    }
    Ok(Samples { values, wide: bits == 16 })
}

fn sample(data: &DecodingResult, at: usize) -> Option<u16> {
    match data {
        DecodingResult::U8(values) => values.get(at).map(|&v| u16::from(v)),
        DecodingResult::U16(values) => values.get(at).copied(),
        _ => None,
    }
}

/// Sorts the pixels of a picture by the chunk that holds them.
fn targets(
    header: &V1Header,
    window: &RasterWindow<'_>,
    (chunk_width, chunk_height): (u32, u32),
    across: u32,
) -> Targets {
    let mut targets = Targets::new();
    let Some(inverse) = header.affine.inverse() else { return targets };
    for row in 0..window.height {
        for column in 0..window.width {
            let (x, y) = (window.to_world)(column as f64 + 0.5, row as f64 + 0.5);
            let (x, y) = inverse.apply(x, y);
            if !(0.0..header.width as f64).contains(&x) || !(0.0..header.height as f64).contains(&y) {
                continue;
            }
            // Within the raster, whose sides are at most 2^16.
            let (x, y) = (x as u32, y as u32);
            let chunk = y / chunk_height * across + x / chunk_width;
            let inside = ((x % chunk_width) as usize, (y % chunk_height) as usize);
            targets.entry(chunk).or_default().push((row * window.width + column, inside.0, inside.1));
        }
    }
    targets
}

impl Samples {
    /// To 8 bits: as they are, or 16 bits stretched between the 2nd and 98th percentile of all bands.
    fn stretched(&self) -> Vec<Option<Rgb>> {
        if !self.wide {
            // Read from bytes.
            return self.values.iter().map(|v| v.map(|rgb| rgb.map(|c| c as u8))).collect();
        }
        let mut sorted: Vec<u16> = self.values.iter().flatten().flatten().copied().collect();
        sorted.sort_unstable();
        let at = |share: f64| {
            let last = sorted.len().saturating_sub(1);
            f64::from(sorted.get((share * last as f64) as usize).copied().unwrap_or(0))
        };
        let (low, high) = (at(CUT), at(1.0 - CUT));
        // The conversion saturates.
        let byte = |c: u16| ((f64::from(c) - low) / (high - low).max(1.0) * 255.0).round() as u8;
        self.values.iter().map(|v| v.map(|rgb| rgb.map(byte))).collect()
    }
}
