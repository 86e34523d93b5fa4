//! What a raster says of itself: where it lies, what its samples mean, what of it is nothing.

use std::path::{Path, PathBuf};

use rawzip::ReaderAt;

use super::pam;
use super::raster::RasterError;
use crate::features::CardFile;
use crate::features::v1::directory::{Directory, DirectoryError};
use crate::features::v1::{GEOREFERENCE, Georeference, georeference};
use crate::geo::Affine;
use crate::stand_in::StandIn;

// TIFF 6.0, and GDAL's private tag for what is nothing.
pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
const PHOTOMETRIC: u16 = 262;
const SAMPLES_PER_PIXEL: u16 = 277;
const COLOR_MAP: u16 = 320;
const EXTRA_SAMPLES: u16 = 338;
const GDAL_NODATA: u16 = 42113;
/// What is to be known of an image in a file, whether it is the raster, an overview or a mask.
pub(super) const OF_AN_IMAGE: [u16; 7] =
    [NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, PHOTOMETRIC, SAMPLES_PER_PIXEL, COLOR_MAP, EXTRA_SAMPLES];

const BLACK_IS_ZERO: u64 = 1;
const RGB: u64 = 2;
const PALETTE: u64 = 3;
pub(super) const TRANSPARENCY_MASK: u64 = 4;
/// `NewSubfileType` of a mask of the full image.
pub(super) const MASK: u64 = 4;

/// Most images of a file that are looked at: overviews and masks.
pub(super) const MOST_IMAGES: usize = 64;
/// Longest side: products of two fit in 64 bits, and pixels of a picture in 32.
const MOST_PIXELS: u64 = 1 << 30;

/// The header of a raster.
#[derive(Debug, Clone, PartialEq)]
pub struct RasterHeader {
    /// Pixels to the raster's CRS.
    pub affine: Affine,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bands.
    pub bands: usize,
    /// EPSG code of its CRS, where it names one.
    pub epsg: Option<u32>,
    pub(super) sense: Sense,
}

/// What samples mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sense {
    /// The value that is nothing.
    pub nodata: Option<f64>,
    /// The band that is transparent where it is 0.
    pub alpha: Option<usize>,
    /// The colour of each value.
    pub palette: Option<Vec<[u8; 3]>>,
    /// The number of the image in the file that is 0 where this one is nothing.
    pub mask: Option<usize>,
    /// The file that says the same, where the raster itself does not.
    pub mask_file: Option<MaskFile>,
    /// The number of this image in the file: 0, or an overview's.
    pub image: usize,
    /// Places of tags that are to be read as another value (see `disguise`).
    pub disguises: Vec<(u64, [u8; 2])>,
}

/// GDAL's file of masks beside a raster, `raster.tif.msk`: a TIFF of as many pixels, with one band for all bands of the raster or
/// one for each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MaskFile {
    pub path: PathBuf,
    pub bands: usize,
    pub disguises: Vec<(u64, [u8; 2])>,
}

/// Reads the header of a GeoTIFF, or of a TIFF with a world file or GDAL's `.aux.xml` beside it.
///
/// # Errors
/// Files that cannot be read, are no TIFF, or do not say where they lie.
pub fn read_header(path: &Path) -> Result<RasterHeader, RasterError> {
    let file = CardFile::open(path).map_err(|source| RasterError::Io { path: path.to_owned(), source })?;
    header_of(&file, file.size(), path)
}

const TO_TIFF: &str = "GDAL makes one of it: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE in out.tif";

fn header_of<R: ReaderAt + ?Sized>(reader: &R, size: u64, path: &Path) -> Result<RasterHeader, RasterError> {
    let unreadable = |detail: &str, advice| RasterError::Unreadable {
        path: path.to_owned(),
        detail: detail.to_owned(),
        advice,
    };
    let failed = |error| match error {
        DirectoryError::Io(source) => RasterError::Io { path: path.to_owned(), source },
        DirectoryError::Unsound(detail) => unreadable(&detail, "copy it again"),
        DirectoryError::NoTiff(None) => unreadable("it is not a TIFF file", TO_TIFF),
        DirectoryError::NoTiff(Some(StandIn { what, advice })) => {
            unreadable(&format!("it is {what}"), advice)
        }
    };
    let mut wanted = GEOREFERENCE.to_vec();
    wanted.extend(OF_AN_IMAGE);
    wanted.push(GDAL_NODATA);
    let first = Directory::read(reader, size, &wanted).map_err(failed)?;
    let (Some(width), Some(height)) = (side(&first, IMAGE_WIDTH), side(&first, IMAGE_LENGTH)) else {
        return Err(unreadable("its size makes no sense", "copy it again"));
    };
    let Georeference { affine, epsg, has_control_points } = georeference(&first);
    // In the order of GDAL's GDAL_GEOREF_SOURCES: what was corrected beside a file is meant to replace what is in it.
    let affine = match pam::affine_beside(path).or(affine).or_else(|| world_file(path)) {
        Some(affine) => affine,
        None if has_control_points => {
            let detail = "it is placed by ground control points, not by an affine";
            return Err(unreadable(detail, "write it anew with: gdalwarp -tps in.tif out.tif"));
        }
        None => {
            let detail = "it does not say where it lies, and no world file or .aux.xml beside it does";
            return Err(unreadable(
                detail,
                "copy its world file (.tfw) or its .aux.xml too, or the GeoTIFF that was encoded",
            ));
        }
    };
    let bands = bands_of(&first);
    let mut sense = sense_of(&first, bands);
    let mut next = first.next();
    for number in 1..MOST_IMAGES {
        // A damaged one ends the search; what is damaged of the image itself is told when it is read.
        let Ok(directory) = Directory::read_at(reader, size, Some(next).filter(|&n| n != 0), &wanted) else {
            break;
        };
        if next == 0 {
            break;
        }
        let is_mask = directory.integer(NEW_SUBFILE_TYPE) == Some(MASK)
            && (side(&directory, IMAGE_WIDTH), side(&directory, IMAGE_LENGTH)) == (Some(width), Some(height));
        if is_mask {
            sense.mask = Some(number);
            sense.disguises.extend(disguise(&directory, TRANSPARENCY_MASK));
            break;
        }
        next = directory.next();
    }
    if sense.mask.is_none() {
        sense.mask_file = mask_file(path, (width, height), &wanted)?;
    }
    Ok(RasterHeader { affine, width, height, bands, epsg, sense })
}

/// The file of masks beside a raster of this size.
fn mask_file(
    raster: &Path,
    (width, height): (u32, u32),
    wanted: &[u16],
) -> Result<Option<MaskFile>, RasterError> {
    let beside = |ending: &str| {
        let mut name = raster.as_os_str().to_owned();
        name.push(ending);
        Some(PathBuf::from(name)).filter(|path| path.is_file())
    };
    let Some(path) = beside(".msk").or_else(|| beside(".MSK")) else { return Ok(None) };
    let unreadable = |detail: String| RasterError::Unreadable {
        path: path.clone(),
        detail,
        advice: "copy the mask again, or take it away to see the raster without it",
    };
    let file = CardFile::open(&path).map_err(|source| RasterError::Io { path: path.clone(), source })?;
    let directory = match Directory::read(&file, file.size(), wanted) {
        Ok(directory) => directory,
        Err(DirectoryError::Io(source)) => return Err(RasterError::Io { path, source }),
        Err(DirectoryError::Unsound(detail)) => return Err(unreadable(detail)),
        Err(DirectoryError::NoTiff(None)) => return Err(unreadable("it is not a TIFF file".to_owned())),
        Err(DirectoryError::NoTiff(Some(StandIn { what, advice }))) => {
            return Err(RasterError::Unreadable { path, detail: format!("it is {what}"), advice });
        }
    };
    let size = [IMAGE_WIDTH, IMAGE_LENGTH].map(|tag| directory.integer(tag).unwrap_or(0));
    if size != [width, height].map(u64::from) {
        let [columns, rows] = size;
        return Err(unreadable(format!(
            "it has {columns} columns and {rows} rows, the raster {width} and {height}"
        )));
    }
    let bands = bands_of(&directory);
    let disguises = sense_of(&directory, bands).disguises;
    Ok(Some(MaskFile { path, bands, disguises }))
}

pub(super) fn bands_of(directory: &Directory) -> usize {
    directory.integer(SAMPLES_PER_PIXEL).and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
}

/// A side of an image in pixels, where it makes sense.
pub(super) fn side(directory: &Directory, tag: u16) -> Option<u32> {
    directory.integer(tag).filter(|n| (1..=MOST_PIXELS).contains(n)).and_then(|n| u32::try_from(n).ok())
}

/// What the samples of an image mean.
pub(super) fn sense_of(directory: &Directory, bands: usize) -> Sense {
    let nodata = directory.text(GDAL_NODATA).and_then(|text| text.trim().parse().ok());
    let extra = directory.integers(EXTRA_SAMPLES).unwrap_or_default();
    // 1: the colours were multiplied by it; 2: they were not.
    let alpha = extra.iter().position(|&kind| matches!(kind, 1 | 2));
    let alpha = alpha.and_then(|place| (bands.checked_sub(extra.len())?).checked_add(place));
    let photometric = directory.integer(PHOTOMETRIC);
    // GDAL leaves "black is zero" where the colours came after the pixels, and reads them as a palette nevertheless.
    let may_be_palette = photometric == Some(PALETTE) || (photometric == Some(BLACK_IS_ZERO) && bands == 1);
    let palette = if may_be_palette { palette(directory) } else { None };
    let disguises = match photometric {
        Some(PALETTE) if palette.is_some() => disguise(directory, PALETTE),
        // With more bands than colours the decoder leaves the others out, alpha among them.
        Some(RGB) if bands > 3 => disguise(directory, RGB),
        _ => None,
    };
    let disguises = disguises.into_iter().collect();
    Sense { nodata, alpha, palette, mask: None, mask_file: None, image: 0, disguises }
}

/// The colours of a palette: all reds, then all greens, then all blues, of 16 bits each.
fn palette(directory: &Directory) -> Option<Vec<[u8; 3]>> {
    let map = directory.integers(COLOR_MAP)?;
    let count = map.len() / 3;
    let channel = |place: usize| map.get(place).map(|&v| u8::try_from(v >> 8).unwrap_or(u8::MAX));
    let colour = |i: usize| Some([channel(i)?, channel(count + i)?, channel(2 * count + i)?]);
    (0..count).map(colour).collect()
}

/// Where `PhotometricInterpretation` stands, to be read as gray values.
pub(super) fn disguise(directory: &Directory, from: u64) -> Option<(u64, [u8; 2])> {
    let gray = BLACK_IS_ZERO as u16;
    let value = if directory.is_little_endian() { gray.to_le_bytes() } else { gray.to_be_bytes() };
    (directory.integer(PHOTOMETRIC) == Some(from)).then_some((directory.position(PHOTOMETRIC)?, value))
}

/// The affine of a world file: six numbers, of which the last two are the centre of the first pixel.
fn world_file(path: &Path) -> Option<Affine> {
    const ENDINGS: [&str; 6] = ["tfw", "tifw", "wld", "TFW", "TIFW", "WLD"];
    let file: PathBuf = ENDINGS.iter().map(|ending| path.with_extension(ending)).find(|p| p.is_file())?;
    // Six numbers take some hundred bytes.
    let text =
        std::fs::metadata(&file).ok().filter(|m| m.len() < 4096).and_then(|_| std::fs::read(&file).ok())?;
    let numbers: Option<Vec<f64>> =
        String::from_utf8_lossy(&text).split_whitespace().map(|n| n.replace(',', ".").parse().ok()).collect();
    let &[a, d, b, e, x, y] = numbers?.as_slice() else { return None };
    let mut affine = Affine { a, b, c: x, d, e, f: y };
    (affine.c, affine.f) = affine.apply(-0.5, -0.5);
    affine.inverse().map(|_| affine)
}
