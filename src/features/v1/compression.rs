//! What is called how of TIFF's compressions that are not read here.

use tiff::tags::CompressionMethod;

/// Numbers of libtiff's `tiff.h` and of GDAL, under the names that GDAL's tools print and take.
const NAMES: [(u16, &str); 26] = [
    (2, "CCITTRLE"),
    (3, "CCITTFAX3"),
    (4, "CCITTFAX4"),
    (6, "JPEG (of the old style)"),
    (7, "JPEG"),
    (9, "JBIG"),
    (10, "JBIG"),
    (32766, "NeXT"),
    (32771, "CCITTRLEW"),
    (32809, "ThunderScan"),
    (32908, "PixarFilm"),
    (32909, "PixarLog"),
    (33003, "JPEG2000"),
    (33004, "JPEG2000"),
    (33005, "JPEG2000"),
    (34661, "JBIG"),
    (34676, "SGILOG"),
    (34677, "SGILOG24"),
    (34712, "JPEG2000"),
    (34887, "LERC"),
    (34892, "JPEG (of DNG)"),
    (34925, "LZMA"),
    (50000, "ZSTD"),
    (50001, "WEBP"),
    (50002, "JXL"),
    (52546, "JXL"),
];

/// A compression's name, to follow "its compression".
pub(crate) fn name_of(method: CompressionMethod) -> String {
    let number = method.to_u16();
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned())
}
