//! Rasters of every kind that is read, and damaged ones.

use std::fs::File;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tiff::encoder::{Compression, TiffEncoder, colortype};
use tiff::tags::Tag;

use super::{RasterWindow, rasters_beside, read_window};
use crate::catalog::Folder;
use crate::features::v1::read_header;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo")
}

const SIDE: u32 = 20;

/// A raster of 20 x 20 pixels of one metre, its upper left corner at (100, 200), in strips of 3 rows.
fn write<C: colortype::ColorType>(path: &Path, compression: Compression, values: &[C::Inner])
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap().with_compression(compression);
    let mut image = encoder.new_image::<C>(SIDE, SIDE).unwrap();
    image.rows_per_strip(3).unwrap();
    image.encoder().write_tag(Tag::ModelPixelScaleTag, &[1.0, 1.0, 0.0][..]).unwrap();
    image.encoder().write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 100.0, 200.0, 0.0][..]).unwrap();
    image.write_data(values).unwrap();
}

/// The raster from one pixel left of its corner on: a column of nothing, then its first columns.
fn window(path: &Path) -> Vec<Option<[u8; 3]>> {
    let to_world = |column: f64, row: f64| (99.0 + column, 200.0 - row);
    let window = RasterWindow { width: 5, height: 20, to_world: &to_world };
    read_window(path, &read_header(path).unwrap(), &window).unwrap()
}

#[test]
fn rgb_and_gray_of_8_and_16_bits_are_read_in_strips_of_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    let count = (SIDE * SIDE) as usize;
    for compression in [Compression::Uncompressed, Compression::Lzw, Compression::Deflate(Default::default())]
    {
        let rgb: Vec<u8> = (0..count).flat_map(|i| [(i % 20) as u8, (i / 20) as u8, 7]).collect();
        write::<colortype::RGB8>(&path, compression, &rgb);
        let seen = window(&path);
        for (i, pixel) in seen.iter().enumerate() {
            let (column, row) = (i % 5, (i / 5) as u8);
            let expected = column.checked_sub(1).map(|column| [column as u8, row, 7]);
            assert_eq!(*pixel, expected, "{column} {row}");
        }

        let gray: Vec<u8> = (0..count).map(|i| (i / 20) as u8).collect();
        write::<colortype::Gray8>(&path, compression, &gray);
        assert_eq!(window(&path)[5 * 9 + 1], Some([9; 3]));

        // Wide values are stretched: the least is black, the greatest white.
        let wide: Vec<u16> = (0..count).map(|i| 1000 + 100 * (i / 20) as u16).collect();
        write::<colortype::Gray16>(&path, compression, &wide);
        let seen = window(&path);
        assert_eq!((seen[1], seen[5 * 19 + 1]), (Some([0; 3]), Some([255; 3])));
    }
}

#[test]
fn floats_are_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    write::<colortype::Gray32Float>(&path, Compression::Uncompressed, &vec![0.5; (SIDE * SIDE) as usize]);
    let window = RasterWindow { width: 4, height: 4, to_world: &|column, row| (100.0 + column, 200.0 - row) };
    let error = read_window(&path, &read_header(&path).unwrap(), &window).unwrap_err().to_string();
    assert!(error.contains("raster.tif") && error.contains("gdal_translate"), "{error}");
}

#[test]
fn the_raster_of_a_folder_is_found_beside_it_and_no_other_is_taken() {
    let folder = Folder::discover(&demo().join("features")).unwrap().into_folders().unwrap().remove(0);
    let chip = folder.chip(0).unwrap();
    let found = rasters_beside(folder.root(), &chip, folder.crs().epsg);
    assert_eq!(found.len(), 1);
    assert!(found[0].path.ends_with("scene.tif") && found[0].coverage == 1.0, "{:?}", found[0]);
    // In another CRS the same numbers are another place.
    assert_eq!(rasters_beside(folder.root(), &chip, Some(32633)), []);
    assert_eq!(rasters_beside(Path::new("/nowhere/at/all"), &chip, None), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Damaged rasters are refused or read, and never end the program.
    #[test]
    fn a_damaged_raster_does_no_harm(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("raster.tif");
        let rgb = vec![9; (SIDE * SIDE * 3) as usize];
        write::<colortype::RGB8>(&path, Compression::Lzw, &rgb);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(header) = read_header(&path) {
            let to_world = |column: f64, row: f64| (100.0 + column, 200.0 - row);
            let _ = read_window(&path, &header, &RasterWindow { width: 20, height: 20, to_world: &to_world });
        }
    }
}
