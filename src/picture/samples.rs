//! The samples under a picture, through the `tiff` crate: which strips or tiles are decoded, and what of them is nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{PlanarConfiguration, Tag};
use tiff::{ColorType, TiffError, TiffUnsupportedError};

use super::disguise::Disguised;
use super::header::{MaskFile, RasterHeader};
use super::raster::{Problem, RasterWindow};
use crate::features::v1::compression::name_of;
use crate::regular_file;

/// Most bytes of one strip or tile.
const CHUNK_BYTES: usize = 256 << 20;
/// Most bytes decoded for one picture.
const TOTAL_BYTES: u64 = 4 << 30;

const RECOMPRESS: &str =
    "it can be rewritten with: gdal_translate -co COMPRESS=DEFLATE -co TILED=YES in.tif out.tif";
const TO_BYTES: &str = "it can be rewritten with: gdal_translate -ot Byte -scale in.tif out.tif";
const TO_RGB: &str = "it can be rewritten with: gdal_translate -expand rgb in.tif out.tif";
const COPY_AGAIN: &str = "copy it again; gdalinfo -checksum tells whether it is whole";

/// What was read of a raster.
pub(super) struct Samples {
    /// The three channels of each pixel of the picture.
    pub values: Vec<Option<[f32; 3]>>,
    /// Whether the channels are bytes, to be shown as they are.
    pub are_bytes: bool,
}

/// Where the pixels of a chunk go: position in the picture, column and row in the chunk. They are the most that a tile
/// needs, so they are narrow.
type Targets = BTreeMap<u64, Vec<[u32; 3]>>;

type Source = Decoder<Disguised<BufReader<File>>>;

fn kind(detail: impl Into<String>, advice: &'static str) -> Problem {
    Problem::Kind(detail.into(), advice)
}

fn told(error: TiffError) -> Problem {
    match error {
        TiffError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            kind("a strip or tile of it ends early", COPY_AGAIN)
        }
        TiffError::IoError(source) => Problem::Io(source),
        TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
            kind(format!("its compression {} is not read", name_of(method)), RECOMPRESS)
        }
        TiffError::UnsupportedError(what) => kind(format!("it is not read: {what}"), TO_BYTES),
        TiffError::LimitsExceeded => kind("its strips or tiles are too large", RECOMPRESS),
        other => kind(other.to_string(), COPY_AGAIN),
    }
}

/// Reads the samples of all pixels of a picture that lie on a raster.
pub(super) fn samples(
    path: &Path,
    header: &RasterHeader,
    window: &RasterWindow<'_>,
) -> Result<Samples, Problem> {
    let mut decoder = open(path, &header.sense.disguises)?;
    if header.sense.image != 0 {
        decoder.seek_to_image(header.sense.image).map_err(told)?;
    }
    let image = Image::open(&mut decoder, header)?;
    if image.bits < 8 && image.bands > 1 {
        return Err(kind(format!("it has {} bands of {} bits", image.bands, image.bits), TO_BYTES));
    }
    let sense = &header.sense;
    // Of two bands, one of which is alpha, the other is shown; of more the first three.
    let colours = if image.bands >= 3 && sense.palette.is_none() { 3 } else { 1 };
    let mut bands: Vec<usize> = (0..colours).collect();
    bands.extend(sense.alpha.filter(|&alpha| alpha < image.bands));
    let read = image.read(&mut decoder, window, header, &bands)?;

    let is_byte_palette = sense.palette.is_some();
    let is_ycbcr = matches!(image.colours, ColorType::YCbCr(_));
    let nodata = sense.nodata;
    let value = |samples: &[f64]| -> Option<[f32; 3]> {
        let (shown, alpha) = samples.split_at_checked(colours)?;
        let is_nothing = |&v: &f64| !v.is_finite() || nodata.is_some_and(|nodata| is_same(v, nodata));
        if alpha == [0.0] || shown.iter().all(is_nothing) || shown.iter().any(|v| !v.is_finite()) {
            return None;
        }
        Some(match (shown, &sense.palette) {
            (&[index], Some(palette)) => palette.get(index as usize).copied()?.map(f32::from),
            (&[y, cb, cr], _) if is_ycbcr => rgb_of(y, cb, cr),
            (&[r, g, b], _) => [r as f32, g as f32, b as f32],
            (&[gray, ..], _) => [gray as f32; 3],
            _ => return None,
        })
    };
    let mut values: Vec<Option<[f32; 3]>> = read.samples.chunks_exact(bands.len()).map(value).collect();
    if let Some(number) = sense.mask {
        decoder.seek_to_image(number).map_err(told)?;
        apply_mask(&mut decoder, &[0], header, window, &mut values)?;
    } else if let Some(MaskFile { path, bands, disguises }) = &sense.mask_file {
        // A band of it for all that is shown, or one for each.
        let bands: Vec<usize> = (0..if *bands >= colours { colours } else { 1 }).collect();
        let applied = open(path, disguises)
            .and_then(|mut decoder| apply_mask(&mut decoder, &bands, header, window, &mut values));
        applied.map_err(|problem| match problem {
            Problem::Kind(detail, advice) => {
                Problem::Kind(format!("of its mask, the .msk: {detail}"), advice)
            }
            io => io,
        })?;
    }
    Ok(Samples { values, are_bytes: read.are_bytes || is_byte_palette })
}

fn open(path: &Path, disguises: &[(u64, [u8; 2])]) -> Result<Source, Problem> {
    let file = regular_file::open(path).map_err(Problem::Io)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = CHUNK_BYTES;
    limits.intermediate_buffer_size = CHUNK_BYTES;
    let file = Disguised::new(BufReader::new(file), disguises.to_vec());
    Ok(Decoder::new(file).map_err(told)?.with_limits(limits))
}

/// Whether a sample is the value that is nothing, which is written in decimals and may be of another precision. As GDAL compares
/// floats (`ARE_REAL_EQUAL`): near the largest of them, where their sum is infinite, any two are the same.
fn is_same(value: f64, nodata: f64) -> bool {
    let (single, nothing) = (value as f32, nodata as f32);
    value == nodata
        || single == nothing
        || (single - nothing).abs() < f32::EPSILON * (single + nothing).abs() * 2.0
}

/// JFIF's conversion, full range.
fn rgb_of(y: f64, cb: f64, cr: f64) -> [f32; 3] {
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.clamp(0.0, 255.0) as f32)
}

/// Takes away what the mask, the image that the decoder is at, calls nothing in all of these bands.
fn apply_mask(
    decoder: &mut Source,
    bands: &[usize],
    header: &RasterHeader,
    window: &RasterWindow<'_>,
    values: &mut [Option<[f32; 3]>],
) -> Result<(), Problem> {
    let mask = Image::open(decoder, header)?;
    let read = mask.read(decoder, window, header, bands)?;
    for (value, mask) in values.iter_mut().zip(read.samples.chunks_exact(bands.len())) {
        // A part of the mask that was never written masks everything.
        if mask.iter().all(|sample| sample.is_nan() || *sample == 0.0) {
            *value = None;
        }
    }
    Ok(())
}

/// The samples of the wanted bands, pixel by pixel; NaN where the raster has none.
struct ReadBands {
    samples: Vec<f64>,
    are_bytes: bool,
}

/// How an image of the file is laid out.
struct Image {
    colours: ColorType,
    bands: usize,
    bits: u8,
    is_separate: bool,
    chunk: (u32, u32),
    across: u64,
    per_plane: u64,
    /// Bytes of each chunk; those of none were never written.
    sizes: Vec<u64>,
}

impl Image {
    fn open(decoder: &mut Source, header: &RasterHeader) -> Result<Self, Problem> {
        let colours = decoder.colortype().map_err(told)?;
        let (bands, bits) = match colours {
            ColorType::Gray(bits) => (1, bits),
            ColorType::GrayA(bits) => (2, bits),
            ColorType::RGB(bits) | ColorType::YCbCr(bits) => (3, bits),
            ColorType::RGBA(bits) => (4, bits),
            ColorType::Multiband { bit_depth, num_samples } => (usize::from(num_samples), bit_depth),
            ColorType::Palette(_) => return Err(kind("its colours are a palette's", TO_RGB)),
            // GDAL makes RGB of them by itself.
            other => return Err(kind(format!("its colours are {other:?}"), RECOMPRESS)),
        };
        if !matches!(bits, 1 | 2 | 4 | 8 | 16 | 32 | 64) || bands == 0 {
            return Err(kind(format!("its samples have {bits} bits"), TO_BYTES));
        }
        let (width, height) = decoder.dimensions().map_err(told)?;
        if (width, height) != (header.width, header.height) {
            return Err(kind("it changed while it was read", COPY_AGAIN));
        }
        let planar: Option<u16> = decoder.find_tag_unsigned(Tag::PlanarConfiguration).map_err(told)?;
        let rows: Option<u32> = decoder.find_tag_unsigned(Tag::RowsPerStrip).map_err(told)?;
        if rows == Some(0) {
            return Err(kind("its strips have no rows", COPY_AGAIN));
        }
        let chunk = decoder.chunk_dimensions();
        if chunk.0 == 0 || chunk.1 == 0 {
            return Err(kind("its strips or tiles have no size", COPY_AGAIN));
        }
        let (across, sizes) = match decoder.get_chunk_type() {
            ChunkType::Strip => (1, Tag::StripByteCounts),
            ChunkType::Tile => (width.div_ceil(chunk.0), Tag::TileByteCounts),
        };
        Ok(Self {
            colours,
            bands,
            bits,
            is_separate: planar == Some(PlanarConfiguration::Planar.to_u16()),
            chunk,
            across: u64::from(across),
            per_plane: u64::from(across) * u64::from(height.div_ceil(chunk.1)),
            sizes: decoder.find_tag_unsigned_vec(sizes).map_err(told)?.unwrap_or_default(),
        })
    }

    /// Reads the wanted bands of every pixel.
    fn read(
        &self,
        decoder: &mut Source,
        window: &RasterWindow<'_>,
        header: &RasterHeader,
        bands: &[usize],
    ) -> Result<ReadBands, Problem> {
        let targets = self.targets(header, window);
        let (planes, stride) = if self.is_separate { (bands.len(), 1) } else { (1, self.bands) };
        let row_bits = u64::from(self.chunk.0) * stride as u64 * u64::from(self.bits);
        let chunk_bytes = row_bits.div_ceil(8).saturating_mul(u64::from(self.chunk.1.min(header.height)));
        if chunk_bytes.saturating_mul((targets.len() * planes) as u64) > TOTAL_BYTES {
            return Err(kind("its strips or tiles are too large to be read for a picture", RECOMPRESS));
        }
        let mut samples = vec![f64::NAN; window.width * window.height * bands.len()];
        let mut are_bytes = true;
        for (chunk, pixels) in targets {
            for plane in 0..planes {
                let of_plane =
                    if self.is_separate { bands.get(plane).copied().unwrap_or(0) as u64 } else { 0 };
                let number = of_plane * self.per_plane + chunk;
                let size = usize::try_from(number).ok().and_then(|n| self.sizes.get(n));
                if size.is_none_or(|&size| size == 0) {
                    continue;
                }
                let index = u32::try_from(number).map_err(|_| kind("it has too many tiles", RECOMPRESS))?;
                let data = decoder.read_chunk(index).map_err(told)?;
                are_bytes &= matches!(data, DecodingResult::U8(_)) && self.bits == 8;
                let columns = decoder.chunk_data_dimensions(index).0 as usize;
                let packing = Packing { bits: usize::from(self.bits), row: columns * stride };
                for [target, column, row] in pixels.iter().map(|pixel| pixel.map(|n| n as usize)) {
                    let ended = || kind("a strip or tile of it ends early", COPY_AGAIN);
                    let first = column * stride;
                    let pixel = samples.get_mut(target * bands.len()..).unwrap_or_default();
                    if self.is_separate {
                        let sample = packing.sample(&data, row, first).ok_or_else(ended)?;
                        pixel.iter_mut().skip(plane).take(1).for_each(|slot| *slot = sample);
                    } else {
                        for (slot, band) in pixel.iter_mut().zip(bands) {
                            *slot = packing.sample(&data, row, first + band).ok_or_else(ended)?;
                        }
                    }
                }
            }
        }
        Ok(ReadBands { samples, are_bytes })
    }

    /// Sorts the pixels of a picture by the chunk that holds them.
    fn targets(&self, header: &RasterHeader, window: &RasterWindow<'_>) -> Targets {
        let mut targets = Targets::new();
        let Some(inverse) = header.affine.inverse() else { return targets };
        let (width, height) = (f64::from(header.width), f64::from(header.height));
        let (chunk_width, chunk_height) = self.chunk;
        for row in 0..window.height {
            for column in 0..window.width {
                let (x, y) = (window.to_world)(column as f64 + 0.5, row as f64 + 0.5);
                let (x, y) = inverse.apply(x, y);
                if !(0.0..width).contains(&x) || !(0.0..height).contains(&y) {
                    continue;
                }
                // Within the raster, whose sides have 32 bits.
                let (x, y) = (x as u32, y as u32);
                let chunk = u64::from(y / chunk_height) * self.across + u64::from(x / chunk_width);
                // Of a picture that memory can hold.
                let Ok(target) = u32::try_from(row * window.width + column) else { continue };
                targets.entry(chunk).or_default().push([target, x % chunk_width, y % chunk_height]);
            }
        }
        targets
    }
}

/// How samples lie in what was decoded: those of less than 8 bits share bytes, and rows begin with a byte.
struct Packing {
    bits: usize,
    /// Samples of a row.
    row: usize,
}

impl Packing {
    fn sample(&self, data: &DecodingResult, row: usize, place: usize) -> Option<f64> {
        if self.bits < 8 {
            let DecodingResult::U8(bytes) = data else { return None };
            let bit = place * self.bits;
            let byte = bytes.get(row * (self.row * self.bits).div_ceil(8) + bit / 8)?;
            let shift = 8 - self.bits - bit % 8;
            return Some(f64::from(byte >> shift & ((1_u8 << self.bits) - 1)));
        }
        let at = row * self.row + place;
        match data {
            DecodingResult::U8(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::U16(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::U32(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::U64(values) => values.get(at).map(|&v| v as f64),
            DecodingResult::I8(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::I16(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::I32(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::I64(values) => values.get(at).map(|&v| v as f64),
            DecodingResult::F16(values) => values.get(at).map(|v| v.to_f64()),
            DecodingResult::F32(values) => values.get(at).map(|&v| f64::from(v)),
            DecodingResult::F64(values) => values.get(at).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn nodata_in_a_few_digits_is_that_of_the_pixels() {
        let least = f64::from(f32::MIN);
        for text in ["-3.4028235e+38", "-3.402823e+38", "-3.40282e+38", "-3.4028234663852886e+38"] {
            assert!(is_same(least, text.parse().unwrap()), "{text}");
        }
        for (value, nodata) in
            [(-9998.0, -9999.0), (0.001, 0.0), (65534.0, 65535.0), (3.4e38, -3.40282e38), (0.0, least)]
        {
            assert!(!is_same(value, nodata), "{value} {nodata}");
        }
        assert!(is_same(f64::from(0.1f32), 0.1));
    }
}
