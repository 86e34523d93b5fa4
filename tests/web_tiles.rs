//! Rasters as tiles: with and without overviews, with nothing in them, turned.

use std::fs::File;
use std::path::{Path, PathBuf};

use geosam_edge::picture::{TILE, TilePlace, TiledRaster};
use tiff::encoder::{Compression, TiffEncoder, colortype};
use tiff::tags::Tag;

/// An image of a file: its side, the pixel at a column and row.
type Image<'a, T> = (u32, &'a dyn Fn(u32, u32) -> T);

/// Writes a square raster of one-metre pixels, then smaller images of it.
fn write<C: colortype::ColorType>(path: &Path, nodata: Option<&str>, images: &[Image<'_, C::Inner>])
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut encoder =
        TiffEncoder::new(File::create(path).unwrap()).unwrap().with_compression(Compression::Lzw);
    for (number, (side, pixel)) in images.iter().enumerate() {
        let mut image = encoder.new_image::<C>(*side, *side).unwrap();
        image.rows_per_strip(16).unwrap();
        let directory = image.encoder();
        if number == 0 {
            directory.write_tag(Tag::ModelPixelScaleTag, &[1.0, 1.0, 0.0][..]).unwrap();
            directory.write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 100.0, 200.0, 0.0][..]).unwrap();
        } else {
            directory.write_tag(Tag::NewSubfileType, 1_u32).unwrap();
        }
        if let Some(nodata) = nodata.filter(|_| number == 0) {
            directory.write_tag(Tag::GdalNodata, nodata).unwrap();
        }
        let values: Vec<C::Inner> = (0..side * side).map(|i| pixel(i % side, i / side)).collect();
        image.write_data(&values).unwrap();
    }
}

/// A tile's pixels, as red and alpha.
fn tile(raster: &TiledRaster, z: u8, x: u32, y: u32) -> Vec<(u8, u8)> {
    let bytes = raster.tile(TilePlace { z, x, y }).unwrap().expect("the tile is there");
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (TILE, TILE));
    match info.color_type {
        png::ColorType::Rgba => pixels.chunks_exact(4).map(|p| (p[0], p[3])).collect(),
        _ => pixels.chunks_exact(3).map(|p| (p[0], 255)).collect(),
    }
}

fn at(tile: &[(u8, u8)], column: usize, row: usize) -> (u8, u8) {
    tile[row * TILE as usize + column]
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    (directory, path)
}

#[test]
fn far_tiles_come_from_the_overview_that_has_their_detail_and_no_finer() {
    let (_directory, path) = scratch();
    // Each image has a value of its own.
    write::<colortype::Gray8>(
        &path,
        None,
        &[(1024, &|_, _| 10), (512, &|_, _| 20), (256, &|c, _| (c / 64) as u8)],
    );
    let raster = TiledRaster::open(&path).unwrap();
    assert_eq!((raster.levels(), raster.progress()), (3, None));
    assert_eq!(at(&tile(&raster, 2, 3, 3), 255, 255), (10, 255));
    assert_eq!(at(&tile(&raster, 1, 1, 1), 7, 7), (20, 255));
    let far = tile(&raster, 0, 0, 0);
    assert_eq!([0, 63, 64, 255].map(|column| at(&far, column, 9).0), [0, 0, 1, 3]);
    for (z, x, y) in [(3, 0, 0), (0, 1, 0), (2, 0, 4), (2, u32::MAX, u32::MAX), (255, 0, 0)] {
        assert!(raster.tile(TilePlace { z, x, y }).unwrap().is_none(), "{z} {x} {y}");
    }
}

#[test]
fn overviews_beside_the_file_are_used_and_images_of_another_shape_are_not() {
    let (_directory, path) = scratch();
    write::<colortype::Gray8>(&path, None, &[(1024, &|_, _| 10)]);
    let mut beside = path.clone().into_os_string();
    beside.push(".ovr");
    write::<colortype::Gray8>(Path::new(&beside), None, &[(512, &|_, _| 20)]);
    let raster = TiledRaster::open(&path).unwrap();
    assert_eq!(at(&tile(&raster, 1, 0, 0), 0, 0), (20, 255));
    std::fs::write(&beside, b"II*\0 and nothing more").unwrap();
    let raster = TiledRaster::open(&path).unwrap();
    assert_eq!(at(&tile(&raster, 1, 0, 0), 0, 0), (10, 255), "a damaged one is passed over");
}

#[test]
fn what_is_nothing_is_transparent_on_every_level_and_tiles_are_stretched_alike() {
    let (_directory, path) = scratch();
    let value = |column: u32, _| if column < 100 { 0 } else { 1000 + column as u16 };
    let half = |column: u32, _| if column < 50 { 0 } else { 1000 + 2 * column as u16 };
    write::<colortype::Gray16>(&path, Some("0"), &[(512, &value), (256, &half)]);
    let raster = TiledRaster::open(&path).unwrap();
    let (left, right) = (tile(&raster, 1, 0, 0), tile(&raster, 1, 1, 0));
    assert_eq!(at(&left, 99, 5), (0, 0));
    let (near, next) = (at(&left, 255, 5), at(&right, 0, 5));
    assert_eq!((near.1, next.1), (255, 255));
    assert!(next.0.abs_diff(near.0) <= 1, "no seam: {near:?} {next:?}");
    let far = tile(&raster, 0, 0, 0);
    assert_eq!(at(&far, 49, 5).1, 0);
    assert!(at(&far, 128, 5).0.abs_diff(next.0) <= 2);
}

#[test]
fn a_large_raster_without_overviews_is_seen_from_afar_once_its_preview_is_made() {
    let (_directory, path) = scratch();
    let side = 4200;
    write::<colortype::Gray8>(&path, None, &[(side, &|column, row| (column / 100 + row / 100) as u8)]);
    let raster = TiledRaster::open(&path).unwrap();
    assert_eq!((raster.levels(), raster.progress()), (6, Some(0.0)));
    assert_eq!(at(&tile(&raster, 0, 0, 0), 10, 10), (0, 0), "nothing yet");
    // Near tiles do not wait for it.
    assert_eq!(at(&tile(&raster, 5, 16, 16), 10, 10), (82, 255));
    let looks = std::cell::Cell::new(0);
    let some = || {
        looks.set(looks.get() + 1);
        looks.get() < 10
    };
    raster.prepare(&some).unwrap();
    let progress = raster.progress().unwrap();
    assert!(progress > 0.0 && progress < 1.0, "{progress}");
    assert_eq!(at(&tile(&raster, 0, 0, 0), 10, 2), (3, 255), "the first rows are there");
    let raster = TiledRaster::open(&path).unwrap();
    raster.prepare(&|| true).unwrap();
    assert_eq!(raster.progress(), Some(1.0));
    // A pixel of the first tile is 32 of the raster.
    let far = tile(&raster, 0, 0, 0);
    assert_eq!((at(&far, 100, 50), at(&far, 132, 50).1), ((32 + 16, 255), 0));
}

#[test]
fn tiles_lie_in_the_rasters_own_grid_however_that_is_turned() {
    let (_directory, path) = scratch();
    let file = File::create(&path).unwrap();
    let mut encoder = TiffEncoder::new(file).unwrap();
    let mut image = encoder.new_image::<colortype::Gray8>(300, 40).unwrap();
    // Turned by some 20 degrees, sheared, with oblong pixels, and south up.
    let matrix = [0.94, 0.5, 0.0, 7.0, -0.34, 1.3, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    image.encoder().write_tag(Tag::ModelTransformationTag, &matrix[..]).unwrap();
    let values: Vec<u8> = (0..300 * 40_u32).map(|i| (i % 300 % 200 + i / 300) as u8).collect();
    image.write_data(&values).unwrap();
    let raster = TiledRaster::open(&path).unwrap();
    assert_eq!((raster.levels(), raster.affine().b), (2, 0.5));
    let near = tile(&raster, 1, 1, 0);
    assert_eq!([at(&near, 0, 0), at(&near, 43, 39)], [(56, 255), (99 + 39, 255)]);
    assert_eq!([at(&near, 44, 0).1, at(&near, 0, 40).1], [0, 0]);
}
