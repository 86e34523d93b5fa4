//! What a v1 chip says of itself without its pixels: where it lies, its shapes, its model.

use std::path::Path;

use rawzip::ReaderAt;

use super::directory::{Directory, DirectoryError};
use crate::features::error::FeaturesError;
use crate::features::reader::CardFile;
use crate::geo::Affine;

// TIFF 6.0, GeoTIFF 1.1 (OGC 19-008r4) and GDAL's private tag.
const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const SAMPLES_PER_PIXEL: u16 = 277;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
const MODEL_PIXEL_SCALE: u16 = 33550;
const MODEL_TIEPOINT: u16 = 33922;
const MODEL_TRANSFORMATION: u16 = 34264;
const GEO_KEY_DIRECTORY: u16 = 34735;
const GDAL_METADATA: u16 = 42112;
/// The tags that [`georeference`] reads.
pub(crate) const GEOREFERENCE: [u16; 4] =
    [MODEL_PIXEL_SCALE, MODEL_TIEPOINT, MODEL_TRANSFORMATION, GEO_KEY_DIRECTORY];
const WANTED: [u16; 10] = [
    IMAGE_WIDTH,
    IMAGE_LENGTH,
    SAMPLES_PER_PIXEL,
    TILE_WIDTH,
    TILE_LENGTH,
    MODEL_PIXEL_SCALE,
    MODEL_TIEPOINT,
    MODEL_TRANSFORMATION,
    GEO_KEY_DIRECTORY,
    GDAL_METADATA,
];

const KEY_MODEL_TYPE: u64 = 1024;
const KEY_RASTER_TYPE: u64 = 1025;
const KEY_GEODETIC_CRS: u64 = 2048;
const KEY_PROJECTED_CRS: u64 = 3072;
/// `GTRasterTypeGeoKey`: coordinates are those of pixel centres.
const PIXEL_IS_POINT: u64 = 2;
/// `GTModelTypeGeoKey`: the CRS is geographic.
const MODEL_GEOGRAPHIC: u64 = 2;
/// A CRS without an EPSG code.
const USER_DEFINED: u64 = 32767;

/// Largest raster taken for a chip, per axis.
const MAX_SIDE: u64 = 1 << 16;

/// The header of a v1 chip.
#[derive(Debug, Clone, PartialEq)]
pub struct V1Header {
    /// Affine of the raster's own grid, 64 x 64: what [`V1Header::chip_affine`] rescales.
    pub affine: Affine,
    /// Columns of the raster: 64.
    pub width: usize,
    /// Rows of the raster: 64.
    pub height: usize,
    /// Bands of the raster: 256.
    pub bands: usize,
    /// EPSG code of its CRS, where the GeoTIFF names one.
    pub epsg: Option<u32>,
    /// Height and width of the chip in source pixels; `None` in old files, where it is 1024 x 1024.
    pub img_shape: Option<(usize, usize)>,
    /// Height and width of the chip scaled into the encoder frame.
    pub input_shape: Option<(usize, usize)>,
    /// `vit_h`, `vit_l` or `vit_b`; `None` in old files.
    pub model_type: Option<String>,
}

impl V1Header {
    /// Height and width of the chip in source pixels; 1024 x 1024 where the file does not say.
    pub fn src_shape(&self) -> (usize, usize) {
        self.img_shape.unwrap_or((super::FRAME, super::FRAME))
    }

    /// Affine of the chip's source pixels: the same bounds as the raster, divided into `img_shape`.
    pub fn chip_affine(&self) -> Affine {
        let (height, width) = self.src_shape();
        let along = self.width as f64 / width.max(1) as f64;
        let down = self.height as f64 / height.max(1) as f64;
        let Affine { a, b, c, d, e, f } = self.affine;
        Affine { a: a * along, b: b * down, c, d: d * along, e: e * down, f }
    }
}

/// Reads the header of a v1 chip: some kilobytes, none of its pixels.
///
/// # Errors
/// Files that cannot be read, are no TIFF, or are not georeferenced.
pub fn read_header(path: &Path) -> Result<V1Header, FeaturesError> {
    let file = CardFile::open(path).map_err(|source| FeaturesError::Io { path: path.to_owned(), source })?;
    header_of(&file, file.size(), path)
}

/// The header in any reader; `path` only names it in errors.
pub(super) fn header_of<R: ReaderAt + ?Sized>(
    reader: &R,
    size: u64,
    path: &Path,
) -> Result<V1Header, FeaturesError> {
    let refuse = |detail: String| FeaturesError::V1 { path: path.to_owned(), detail };
    let directory = Directory::read(reader, size, &WANTED).map_err(|error| match error {
        DirectoryError::Io(source) => FeaturesError::Io { path: path.to_owned(), source },
        DirectoryError::Unsound(detail) => refuse(detail),
        DirectoryError::NoTiff(None) => refuse("it is not a TIFF file".to_owned()),
        DirectoryError::NoTiff(Some(stand_in)) => refuse(format!("it is {stand_in}")),
    })?;
    let side = |tag: u16, what: &str| match directory.integer(tag) {
        // At most 65536.
        Some(n) if (1..=MAX_SIDE).contains(&n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        other => Err(refuse(format!("its {what} is {}", other.unwrap_or(0)))),
    };
    let (width, height) = (side(IMAGE_WIDTH, "width")?, side(IMAGE_LENGTH, "height")?);
    for tag in [TILE_WIDTH, TILE_LENGTH] {
        if directory.integer(tag).is_some_and(|n| !(1..=MAX_SIDE).contains(&n)) {
            return Err(refuse("its tiles have no sensible size".to_owned()));
        }
    }
    let metadata = directory.text(GDAL_METADATA).unwrap_or_default();
    let shape = |name: &str| item(&metadata, name).and_then(last_two_numbers);
    let Georeference { affine, epsg, .. } = georeference(&directory);
    let affine = affine.ok_or_else(|| {
        refuse("it is not georeferenced; take the folder as Geo-SAM's encoder wrote it".to_owned())
    })?;
    Ok(V1Header {
        affine,
        width,
        height,
        bands: match directory.integer(SAMPLES_PER_PIXEL) {
            Some(_) => side(SAMPLES_PER_PIXEL, "number of bands")?,
            None => 1,
        },
        epsg,
        img_shape: shape("img_shape"),
        input_shape: shape("input_shape"),
        model_type: item(&metadata, "model_type").map(str::to_owned),
    })
}

/// Where a GeoTIFF lies.
pub(crate) struct Georeference {
    /// Pixels to its CRS; `None` where it is not placed by an affine.
    pub affine: Option<Affine>,
    /// EPSG code of its CRS, where it names one.
    pub epsg: Option<u32>,
    /// Whether it is placed by ground control points instead.
    pub has_control_points: bool,
}

/// Reads where a GeoTIFF lies from its directory.
pub(crate) fn georeference(directory: &Directory) -> Georeference {
    let keys = GeoKeys(directory.integers(GEO_KEY_DIRECTORY).unwrap_or_default());
    let affine = affine_of(directory, &keys);
    // Six numbers a point.
    let has_control_points =
        affine.is_none() && directory.doubles(MODEL_TIEPOINT).is_some_and(|p| p.len() > 6);
    Georeference { affine, epsg: keys.epsg(), has_control_points }
}

/// From a transformation matrix, or from a pixel size and the position of one pixel, as GDAL reads them.
fn affine_of(directory: &Directory, keys: &GeoKeys) -> Option<Affine> {
    let mut affine = match directory.doubles(MODEL_TRANSFORMATION).as_deref() {
        Some(&[a, b, _, c, d, e, _, f, ..]) => Affine { a, b, c, d, e, f },
        _ => {
            let (scale, tie) = (directory.doubles(MODEL_PIXEL_SCALE)?, directory.doubles(MODEL_TIEPOINT)?);
            let (&[dx, dy, ..], &[col, row, _, x, y, ..]) = (scale.as_slice(), tie.as_slice()) else {
                return None;
            };
            Affine { a: dx, b: 0.0, c: x - col * dx, d: 0.0, e: -dy, f: y + row * dy }
        }
    };
    if keys.get(KEY_RASTER_TYPE) == Some(PIXEL_IS_POINT) {
        (affine.c, affine.f) = affine.apply(-0.5, -0.5);
    }
    affine.inverse().map(|_| affine)
}

/// The GeoTIFF key directory: a header of four numbers, then four per key (id, place, count, value).
struct GeoKeys(Vec<u64>);

impl GeoKeys {
    /// A key whose value stands in the directory itself.
    fn get(&self, key: u64) -> Option<u64> {
        let (rows, _) = self.0.as_chunks::<4>();
        rows.iter().skip(1).find(|row| row[0] == key && row[1] == 0).map(|row| row[3])
    }

    fn epsg(&self) -> Option<u32> {
        let key = match self.get(KEY_MODEL_TYPE) {
            Some(MODEL_GEOGRAPHIC) => KEY_GEODETIC_CRS,
            _ => KEY_PROJECTED_CRS,
        };
        self.get(key)
            .filter(|&code| code != 0 && code != USER_DEFINED)
            .and_then(|code| u32::try_from(code).ok())
    }
}

/// The value of a dataset-wide item of GDAL's metadata XML:
/// `<Item name="img_shape">(3, 512, 512)</Item>`. Items of a band carry `sample=`.
fn item<'m>(metadata: &'m str, name: &str) -> Option<&'m str> {
    metadata.split("<Item ").skip(1).find_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let named =
            attributes.split_whitespace().any(|a| a.strip_prefix("name=") == Some(&format!("\"{name}\"")));
        let of_a_band = attributes.contains("sample=");
        (named && !of_a_band).then(|| rest.split("</Item>").next().unwrap_or(rest).trim())
    })
}

/// Height and width at the end of a printed shape: `(3, 512, 512)`, `torch.Size([3, 512, 512])`.
fn last_two_numbers(text: &str) -> Option<(usize, usize)> {
    let numbers: Option<Vec<usize>> =
        text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect();
    match *numbers? {
        [.., height, width] => Some((height, width)),
        _ => None,
    }
}
