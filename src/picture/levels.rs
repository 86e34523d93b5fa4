//! The overviews of a raster: smaller images of it in the same file, or in an `.ovr` beside it, as GDAL writes them.

use std::path::{Path, PathBuf};

use super::header::{
    IMAGE_LENGTH, IMAGE_WIDTH, MASK, MOST_IMAGES, NEW_SUBFILE_TYPE, OF_AN_IMAGE, RasterHeader,
    TRANSPARENCY_MASK, bands_of, disguise, read_header, sense_of, side,
};
use super::raster::RasterError;
use crate::features::CardFile;
use crate::features::v1::directory::Directory;
use crate::geo::Affine;

/// The bit of `NewSubfileType` (TIFF 6.0) of a smaller image of another one in the file; of a mask: [`MASK`].
const REDUCED: u64 = 1;

/// The raster, or a smaller image of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Level {
    /// The file.
    pub path: PathBuf,
    /// Where the image lies, with an affine of its own.
    pub header: RasterHeader,
    /// Columns of the raster for one of this image.
    pub scale: f64,
}

/// The raster, and its overviews, the finest first. What is damaged of them ends the search.
///
/// # Errors
/// As [`read_header`].
pub(super) fn read_levels(path: &Path) -> Result<(Level, Vec<Level>), RasterError> {
    let header = read_header(path)?;
    if header.sense.mask_file.is_some() {
        // Overviews of a mask that is a file of its own are not looked for.
        return Ok((Level { path: path.to_owned(), header, scale: 1.0 }, Vec::new()));
    }
    let mut levels = overviews(path, &header, false);
    let mut beside = path.as_os_str().to_owned();
    beside.push(".ovr");
    let beside = PathBuf::from(beside);
    if beside.is_file() {
        levels.extend(overviews(&beside, &header, true));
    }
    levels.sort_by(|a, b| a.scale.total_cmp(&b.scale));
    Ok((Level { path: path.to_owned(), header, scale: 1.0 }, levels))
}

/// An image of the file, while its mask is still looked for.
struct Image {
    number: usize,
    size: (u32, u32),
    directory: Directory,
}

/// The overviews in a file; of an `.ovr` all images are some.
fn overviews(path: &Path, full: &RasterHeader, all: bool) -> Vec<Level> {
    let Ok(file) = CardFile::open(path) else { return Vec::new() };
    let (mut images, mut masks, mut disguises) = (Vec::new(), Vec::new(), Vec::new());
    let mut place = None;
    for number in 0..MOST_IMAGES {
        let Ok(directory) = Directory::read_at(&file, file.size(), place, &OF_AN_IMAGE) else { break };
        let next = directory.next();
        let kind = directory.integer(NEW_SUBFILE_TYPE).unwrap_or(0);
        if let (Some(width), Some(height)) = (side(&directory, IMAGE_WIDTH), side(&directory, IMAGE_LENGTH)) {
            let bands = bands_of(&directory);
            if kind & MASK != 0 {
                masks.push((number, (width, height)));
                disguises.extend(disguise(&directory, TRANSPARENCY_MASK));
            } else {
                disguises.extend(sense_of(&directory, bands).disguises);
                if (all || (number > 0 && kind & REDUCED != 0)) && bands == full.bands {
                    images.push(Image { number, size: (width, height), directory });
                }
            }
        }
        if next == 0 {
            break;
        }
        place = Some(next);
    }
    let level = |Image { number, size, directory }: Image| -> Option<Level> {
        let (width, height) = size;
        let (across, down) = (ratio(full.width, width)?, ratio(full.height, height)?);
        // A smaller image of the same shape, up to the rounding of its sides.
        if across <= 1.0 || (across / down - 1.0).abs() > 1.0 / f64::from(width.min(height)) + 0.01 {
            return None;
        }
        let mut sense = sense_of(&directory, full.bands);
        // GDAL says it of the first image only.
        sense.nodata = full.sense.nodata;
        sense.palette = sense.palette.or_else(|| full.sense.palette.clone());
        sense.mask = masks.iter().find(|mask| mask.1 == size).map(|mask| mask.0);
        if sense.mask.is_none() && full.sense.mask.is_some() {
            return None;
        }
        sense.image = number;
        sense.disguises.clone_from(&disguises);
        let Affine { a, b, c, d, e, f } = full.affine;
        let affine = Affine { a: a * across, b: b * down, c, d: d * across, e: e * down, f };
        let header = RasterHeader { affine, width, height, bands: full.bands, epsg: full.epsg, sense };
        Some(Level { path: path.to_owned(), header, scale: across.max(down) })
    };
    images.into_iter().filter_map(level).collect()
}

fn ratio(full: u32, part: u32) -> Option<f64> {
    (part > 0).then(|| f64::from(full) / f64::from(part))
}
