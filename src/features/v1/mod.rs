//! Chips of Geo-SAM v1: GeoTIFFs of 256 float bands on a grid of 64 x 64, written by rasterio.
//!
//! The GeoTIFF is laid over the chip's bounds without regard to the padding of the encoder frame, so its affine
//! says where the chip lies but not where its tokens lie. GDAL metadata holds `img_shape` and `input_shape`,
//! each (bands, height, width): the chip in source pixels, and its size after scaling its longer side
//! to 1024. Older files have no metadata: their chips are 1024 x 1024 pixels. `model_type` is `vit_h`,
//! `vit_l` or `vit_b`; older files have it in their name only. (Read off coolzhao/Geo-SAM's
//! `image_encoder.py` and `SAMTool.py`.)
//!
//! Choosing chips and reading the CSV is `catalog`'s.

pub(crate) mod compression;
pub(crate) mod directory;
mod header;
mod pixels;

#[cfg(test)]
mod tests;

use std::path::Path;

use rawzip::ReaderAt;

pub(crate) use header::{GEOREFERENCE, Georeference, georeference};
pub use header::{V1Header, read_header};

use super::chip::ChipFeatures;
use super::error::FeaturesError;
use super::reader::CardFile;
use crate::family::Family;

/// Side of the frame that SAM's encoder saw.
const FRAME: usize = 1024;
/// Largest file read. An uncompressed chip has 4.2 MB.
const MAX_FILE: u64 = 64 << 20;

/// The checkpoint behind a model type or file name of Geo-SAM v1, under Ultralytics' name: `vit_b` is
/// `sam_b.pt`. `None` where no model type is named.
pub fn checkpoint_of(name: &str) -> Option<&'static str> {
    [("vit_h", "sam_h.pt"), ("vit_l", "sam_l.pt"), ("vit_b", "sam_b.pt")]
        .into_iter()
        .find_map(|(model_type, checkpoint)| name.contains(model_type).then_some(checkpoint))
}

/// Reads a chip of Geo-SAM v1. The embedding keeps the file's order: channels-last where the bands are
/// interleaved by pixel.
///
/// # Errors
/// Files that are missing, truncated or damaged, are not of 256 float bands of 64 x 64, are compressed in a
/// way that is not read, or do not say which model encoded them.
pub fn read_v1_chip(path: &Path) -> Result<ChipFeatures, FeaturesError> {
    let io = |source| FeaturesError::Io { path: path.to_owned(), source };
    let refuse = |detail| FeaturesError::V1 { path: path.to_owned(), detail };
    let file = CardFile::open(path).map_err(io)?;
    let length = usize::try_from(file.size()).ok().filter(|_| file.size() <= MAX_FILE);
    let length = length.ok_or_else(|| refuse(format!("it has {} bytes, more than any chip", file.size())))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    chip_of(&bytes, path)
}

/// The chip in the bytes of a file; `path` gives the model where the file does not, and names the file in
/// errors.
///
/// # Errors
/// As [`read_v1_chip`].
pub fn chip_of(bytes: &[u8], path: &Path) -> Result<ChipFeatures, FeaturesError> {
    let refuse = |detail: String| FeaturesError::V1 { path: path.to_owned(), detail };
    let header = header::header_of(bytes, bytes.len() as u64, path)?;
    let grid = Family::Sam.grid();
    if (header.bands, header.height, header.width) != (256, grid, grid) {
        return Err(refuse(format!(
            "it has {} bands of {} x {}, not 256 of {grid} x {grid}",
            header.bands, header.height, header.width
        )));
    }
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let checkpoint =
        header.model_type.as_deref().and_then(checkpoint_of).or_else(|| checkpoint_of(&file_name));
    let Some(checkpoint) = checkpoint else {
        return Err(refuse(format!(
            "neither its tag model_type ({:?}) nor its name says vit_h, vit_l or vit_b; rename it to hold one",
            header.model_type.as_deref().unwrap_or_default()
        )));
    };
    let src_shape = source_shape(&header).map_err(refuse)?;
    Ok(ChipFeatures {
        family: Family::Sam,
        checkpoint: checkpoint.to_owned(),
        src_shape,
        dst_shape: (FRAME, FRAME),
        embedding: pixels::embedding(bytes, grid).map_err(refuse)?,
        high_res: None,
    })
}

/// The chip's size in source pixels, checked against the size that the encoder saw.
fn source_shape(header: &V1Header) -> Result<(usize, usize), String> {
    let (height, width) = header.img_shape.unwrap_or((FRAME, FRAME));
    let longer = height.max(width);
    if !(1..=1 << 16).contains(&longer) || height.min(width) == 0 {
        return Err(format!("its img_shape is {height} x {width} pixels"));
    }
    if let Some((rows, columns)) = header.input_shape {
        // v1 rounds half up; a pixel of slack for other roundings.
        let fits = |side: usize, scaled: usize| ((side * FRAME + longer / 2) / longer).abs_diff(scaled) <= 1;
        if !fits(height, rows) || !fits(width, columns) {
            return Err(format!(
                "its input_shape {rows} x {columns} is not its img_shape {height} x {width} scaled to {FRAME}"
            ));
        }
    }
    Ok((height, width))
}
