//! The 256 bands of a v1 chip, through the `tiff` crate.
//!
//! That crate's `read_image` gives the first band only where bands are stored one after another, so chunks
//! (strips or tiles) are read one by one and put in their place.

use std::io::Cursor;

use ndarray::{Array3, ShapeBuilder};
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{PlanarConfiguration, Tag};
use tiff::{ColorType, TiffError, TiffUnsupportedError};

use super::compression::name_of;

const BANDS: usize = 256;

/// The embedding `[256, grid, grid]` in the file's own order. The header must have been checked to have
/// 256 bands of `grid` x `grid`.
pub(super) fn embedding(bytes: &[u8], grid: usize) -> Result<Array3<f32>, String> {
    let advice = |e: TiffError| {
        let problem = match e {
            TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
                format!("its compression {} is not read", name_of(method))
            }
            other => other.to_string(),
        };
        format!("{problem}; it can be rewritten with: gdal_translate -co COMPRESS=DEFLATE in.tif out.tif")
    };
    let mut limits = Limits::default();
    // A whole chip is 4 MB; strips and tiles are at most padded.
    limits.decoding_buffer_size = 64 << 20;
    limits.intermediate_buffer_size = 64 << 20;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(advice)?.with_limits(limits);
    let side = u32::try_from(grid).map_err(|e| e.to_string())?;
    let bits = match decoder.colortype().map_err(advice)? {
        ColorType::Multiband { bit_depth, num_samples } if usize::from(num_samples) == BANDS => bit_depth,
        other => return Err(format!("its bands are {other:?}, not 256 of floats")),
    };
    if decoder.dimensions().map_err(advice)? != (side, side) || bits != 32 {
        return Err(format!("its bands are {bits} bits wide, not 32"));
    }
    let planar: Option<u16> = decoder.find_tag_unsigned(Tag::PlanarConfiguration).map_err(advice)?;
    let separate = planar == Some(PlanarConfiguration::Planar.to_u16());
    // Samples that lie side by side in a chunk.
    let samples = if separate { 1 } else { BANDS };

    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    let (across, down) = match decoder.get_chunk_type() {
        ChunkType::Strip => (1, side.div_ceil(chunk_height)),
        ChunkType::Tile => (side.div_ceil(chunk_width), side.div_ceil(chunk_height)),
    };
    let per_plane = across * down;
    let planes = if separate { BANDS } else { 1 };
    let mut values = vec![0_f32; BANDS * grid * grid];
    let mut index = 0;
    for plane in 0..planes {
        for chunk in 0..per_plane {
            let DecodingResult::F32(data) = decoder.read_chunk(index).map_err(advice)? else {
                return Err("its bands are not of 32-bit floats".to_owned());
            };
            // For tiles of later planes that reach over the edge, `tiff` 0.11 keeps the padding: crop it.
            let (columns, _) = decoder.chunk_data_dimensions(index);
            let first_row = (chunk / across * chunk_height) as usize;
            let first_column = (chunk % across * chunk_width) as usize;
            let stored = columns as usize * samples;
            if stored == 0 {
                return Err("its strips or tiles have no sensible size".to_owned());
            }
            let kept = stored.min((grid - first_column) * samples);
            for (row, line) in (first_row..grid).zip(data.chunks_exact(stored)) {
                let at = ((plane * grid + row) * grid + first_column) * samples;
                values[at..at + kept].copy_from_slice(&line[..kept]);
            }
            index += 1;
        }
    }
    let shape = (BANDS, grid, grid);
    let array = match separate {
        true => Array3::from_shape_vec(shape, values),
        // Pixel by pixel: channels-last, which is what the decoder wants.
        false => Array3::from_shape_vec(shape.strides((1, grid * BANDS, BANDS)), values),
    };
    array.map_err(|e| e.to_string())
}
