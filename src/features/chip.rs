//! One chip as geosam writes it: the dict, its tensors, and the checks that it fits its family.
//!
//! What the manifest says of the chip is compared in `catalog`.

use std::path::Path;

use ndarray::{Array3, Axis, Ix3};
use rawzip::ReaderAt;

use super::error::FeaturesError;
use super::file_name_of;
use super::torch::{TensorSpec, TorchArchive, Value};
use crate::family::Family;

/// Longest side of a chip in source pixels, far beyond what geosam's encoder is ever given.
const MAX_SOURCE_SIDE: usize = 1 << 16;
/// Most source pixels of a chip: a mask of it must fit a board's memory.
const MAX_SOURCE_PIXELS: usize = 1 << 28;

/// Whether the checksums of a chip are compared before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crc {
    /// Compare the CRC of every entry of the archive. Reads the file once more.
    Verify,
    /// Trust the card. Truncation is found all the same.
    Skip,
}

/// What the image encoder made of one chip: all that a decoder needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChipFeatures {
    /// The family of the encoder.
    pub family: Family,
    /// File name of the encoder's checkpoint as it was written, without its directory.
    pub checkpoint: String,
    /// Height and width of the chip in source pixels.
    pub src_shape: (usize, usize),
    /// Height and width of the encoder frame in pixels; the chip lies in it letterboxed at the top left.
    pub dst_shape: (usize, usize),
    /// The image embedding, logically `[256, g, g]` (channel, row, column) in any memory order:
    /// channels-last stays as it was stored.
    pub embedding: Array3<f32>,
    /// The two high-resolution maps of SAM 2 and SAM 3; `None` for SAM.
    pub high_res: Option<HighRes>,
}

/// The high-resolution maps of a chip, already projected by the decoder's `conv_s0` and `conv_s1`.
#[derive(Debug, Clone, PartialEq)]
pub struct HighRes {
    /// `[32, 4g, 4g]`: a quarter of the frame's resolution.
    pub quarter: Array3<f32>,
    /// `[64, 2g, 2g]`: half of that.
    pub half: Array3<f32>,
}

impl ChipFeatures {
    /// Bytes of the tensors in memory.
    pub fn bytes(&self) -> usize {
        let high_res = self.high_res.as_ref().map_or(0, |maps| maps.quarter.len() + maps.half.len());
        (self.embedding.len() + high_res) * size_of::<f32>()
    }
}

/// Reads a chip file (`chip_*.pt`) of geosam.
///
/// # Errors
/// Files that are missing, truncated, damaged or not of `torch.save`; dicts that are not a chip's; tensors whose
/// shape does not fit the family; frames that the family's decoder does not have.
pub fn read_chip(path: &Path, check: Crc) -> Result<ChipFeatures, FeaturesError> {
    let archive = TorchArchive::open(path)?;
    if check == Crc::Verify {
        archive.verify()?;
    }
    chip_of(&archive)
}

/// Whether a chip file carries checksums that [`Crc::Verify`] can compare.
///
/// # Errors
/// Files that are no archive of `torch.save`.
pub fn has_checksums(path: &Path) -> Result<bool, FeaturesError> {
    Ok(TorchArchive::open(path)?.has_checksums())
}

/// The name that a chip file was written under, without its ending: see [`TorchArchive::written_as`].
///
/// # Errors
/// Files that are no archive of `torch.save`.
pub fn written_as(path: &Path) -> Result<String, FeaturesError> {
    Ok(TorchArchive::open(path)?.written_as().to_owned())
}

/// The chip in an open archive.
///
/// # Errors
/// As [`read_chip`].
pub fn chip_of<R: ReaderAt>(archive: &TorchArchive<R>) -> Result<ChipFeatures, FeaturesError> {
    let chip = Fields { archive, root: archive.root() };
    if !chip.root.is_dict() {
        return chip.refuse(format!("it holds {} instead of a dict", chip.root.kind()));
    }
    let model_type = chip.text("model_type")?;
    let Some(family) = Family::from_name(model_type) else {
        return chip.refuse(format!("its model_type is {model_type:?}; sam, sam2 and sam3 are known"));
    };
    let checkpoint = file_name_of(chip.text("checkpoint_path")?);
    if checkpoint.is_empty() {
        return chip.refuse("its checkpoint_path names no file".to_owned());
    }
    let src_shape = chip.source_shape()?;
    let dst_shape = chip.shape("dst_shape")?;
    let features = chip.get("features")?;

    let embedding = match (family.has_high_resolution_maps(), features.is_dict()) {
        (false, false) => chip.tensor(features, "features")?,
        (true, true) => chip.tensor(chip.get_in(features, "image_embed")?, "image_embed")?,
        (_, has_maps) => {
            let kind = if has_maps { "high-resolution maps" } else { "no high-resolution maps" };
            return chip.refuse(format!("its model_type is {family}, but its features have {kind}"));
        }
    };
    chip.check_kind(features.is_dict())?;
    let grid = chip.grid_of(embedding)?;
    if grid != family.grid() || dst_shape != (family.frame(), family.frame()) {
        let path = archive.path().to_owned();
        return Err(FeaturesError::Frame { path, family, grid, frame: dst_shape });
    }
    let high_res = match family.has_high_resolution_maps() {
        true => Some(chip.high_res(features, grid)?),
        false => None,
    };
    Ok(ChipFeatures {
        family,
        checkpoint: checkpoint.to_owned(),
        src_shape,
        dst_shape,
        embedding: chip.read("embedding", embedding, [256, grid, grid])?,
        high_res,
    })
}

/// The dict of a chip, with errors that name its file.
struct Fields<'a, R> {
    archive: &'a TorchArchive<R>,
    root: Value<'a>,
}

impl<'a, R: ReaderAt> Fields<'a, R> {
    fn refuse<T>(&self, detail: String) -> Result<T, FeaturesError> {
        Err(FeaturesError::Chip { path: self.archive.path().to_owned(), detail })
    }

    fn get_in(&self, dict: Value<'a>, key: &str) -> Result<Value<'a>, FeaturesError> {
        dict.get(key).map_or_else(|| self.refuse(format!("it has no {key}")), Ok)
    }

    fn get(&self, key: &str) -> Result<Value<'a>, FeaturesError> {
        self.get_in(self.root, key)
    }

    fn text(&self, key: &str) -> Result<&'a str, FeaturesError> {
        let value = self.get(key)?;
        value.as_text().map_or_else(|| self.refuse(format!("its {key} is {}, not a text", value.kind())), Ok)
    }

    fn tensor(&self, value: Value<'a>, key: &str) -> Result<&'a TensorSpec, FeaturesError> {
        value
            .as_tensor()
            .map_or_else(|| self.refuse(format!("its {key} is {}, not a tensor", value.kind())), Ok)
    }

    /// Two whole numbers, height and width.
    fn shape(&self, key: &str) -> Result<(usize, usize), FeaturesError> {
        let value = self.get(key)?;
        let numbers: Option<Vec<_>> = value
            .elements()
            .map(|all| all.map(|n| n.as_integer().and_then(|n| usize::try_from(n).ok())).collect())
            .unwrap_or_default();
        match numbers.as_deref() {
            Some(&[height, width]) => Ok((height, width)),
            _ => self.refuse(format!("its {key} is not a height and a width")),
        }
    }

    fn source_shape(&self) -> Result<(usize, usize), FeaturesError> {
        let (height, width) = self.shape("src_shape")?;
        let sides = 1..=MAX_SOURCE_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) || height * width > MAX_SOURCE_PIXELS {
            return self.refuse(format!("its src_shape is {height} x {width} pixels"));
        }
        Ok((height, width))
    }

    /// `feature_kind` says "sam2" wherever there are high-resolution maps, for SAM 3 too; geosam itself reads
    /// chips without it.
    fn check_kind(&self, has_maps: bool) -> Result<(), FeaturesError> {
        let expected: &[&str] = if has_maps { &["sam2", "sam3"] } else { &["sam"] };
        match self.root.get("feature_kind").map(|v| v.as_text().unwrap_or_default()) {
            Some(kind) if !expected.contains(&kind) => self
                .refuse(format!("its feature_kind is {kind:?}, but its features are those of {expected:?}")),
            _ => Ok(()),
        }
    }

    /// The side of the grid of an embedding `[1, 256, g, g]`.
    fn grid_of(&self, embedding: &TensorSpec) -> Result<usize, FeaturesError> {
        match *embedding.shape {
            [1, 256, rows, columns] if rows == columns && (1..=4096).contains(&rows) => {
                // At most 4096.
                Ok(usize::try_from(rows).unwrap_or(usize::MAX))
            }
            _ => {
                self.refuse(format!("its embedding has the shape {:?}, not [1, 256, g, g]", embedding.shape))
            }
        }
    }

    fn high_res(&self, features: Value<'a>, grid: usize) -> Result<HighRes, FeaturesError> {
        let maps = self.get_in(features, "high_res_feats")?;
        let all: Vec<_> = maps.elements().map(Iterator::collect).unwrap_or_default();
        let [quarter, half] = *all else {
            return self.refuse("its high_res_feats are not a list of two maps".to_owned());
        };
        let quarter = self.tensor(quarter, "high_res_feats[0]")?;
        let half = self.tensor(half, "high_res_feats[1]")?;
        Ok(HighRes {
            quarter: self.read("high_res_feats[0]", quarter, [32, 4 * grid, 4 * grid])?,
            half: self.read("high_res_feats[1]", half, [64, 2 * grid, 2 * grid])?,
        })
    }

    /// Reads a tensor that must have this shape behind a batch axis of 1.
    fn read(&self, name: &str, tensor: &TensorSpec, shape: [usize; 3]) -> Result<Array3<f32>, FeaturesError> {
        let expected: Vec<u64> = std::iter::once(1).chain(shape.iter().map(|&d| d as u64)).collect();
        if tensor.shape != expected {
            return self.refuse(format!("its {name} has the shape {:?}, not {expected:?}", tensor.shape));
        }
        let array = self.archive.read_f32(name, tensor)?.index_axis_move(Axis(0), 0);
        array.into_dimensionality::<Ix3>().map_or_else(|e| self.refuse(format!("its {name}: {e}")), Ok)
    }
}

#[cfg(test)]
mod tests;
