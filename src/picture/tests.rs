//! Rasters of every kind that is read, and damaged ones.

use std::fs::File;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tiff::encoder::{Compression, TiffEncoder, colortype};
use tiff::tags::Tag;

use super::{RasterWindow, Wanted, check_pixels, rasters_beside, read_header, read_window};
use crate::catalog::Folder;
use crate::geo::{Affine, Crs, Transform};

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

/// The whole raster, as `expected.json` of the fixtures writes it.
fn as_text(path: &Path) -> Vec<String> {
    let to_world = |column: f64, row: f64| (100.0 + column, 200.0 - row);
    let window = RasterWindow { width: SIDE as usize, height: SIDE as usize, to_world: &to_world };
    let header = read_header(path).unwrap_or_else(|error| panic!("{error}"));
    let pixels = read_window(path, &header, &window).unwrap_or_else(|error| panic!("{error}"));
    let pixel = |pixel: &Option<[u8; 3]>| {
        pixel.map_or("......".to_owned(), |[r, g, b]| format!("{r:02x}{g:02x}{b:02x}"))
    };
    pixels.chunks(SIDE as usize).map(|row| row.iter().map(pixel).collect()).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rasters")
}

#[test]
fn what_gdal_calls_nothing_is_nothing_by_mask_alpha_nodata_and_palette() {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let expected: std::collections::BTreeMap<String, Vec<String>> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() >= 12);
    for (name, rows) in expected {
        assert_eq!(as_text(&fixtures().join(&name)), rows, "{name}");
    }
}

#[test]
fn a_mask_beside_a_raster_that_cannot_be_one_is_told_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (raster, mask) = (directory.path().join("r.tif"), directory.path().join("r.tif.msk"));
    std::fs::copy(fixtures().join("mask_beside.tif"), &raster).unwrap();
    let whole = std::fs::read(fixtures().join("mask_beside.tif.msk")).unwrap();
    let refusal = |bytes: &[u8]| {
        std::fs::write(&mask, bytes).unwrap();
        let to_world = |column: f64, row: f64| (100.0 + column, 200.0 - row);
        let window = RasterWindow { width: 20, height: 20, to_world: &to_world };
        read_header(&raster)
            .and_then(|header| read_window(&raster, &header, &window))
            .unwrap_err()
            .to_string()
    };
    assert!(refusal(b"no TIFF at all").contains("r.tif.msk: "), "{}", refusal(b"no TIFF at all"));
    let end = whole.len() / 2;
    assert!(refusal(&whole[..end]).contains(".msk"), "{}", refusal(&whole[..end]));
    let other = std::fs::read(demo().join("scene.tif")).unwrap();
    let told = refusal(&other);
    assert!(told.contains("r.tif.msk") && told.contains("the raster 20 and 20"), "{told}");
    // Without it the raster is shown whole.
    std::fs::remove_file(&mask).unwrap();
    assert!(as_text(&raster).iter().all(|row| !row.contains('.')));
}

#[test]
fn a_raster_whose_pixels_cannot_be_read_is_known_before_a_picture_in_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    let gray = vec![9_u8; (SIDE * SIDE) as usize];
    write::<colortype::Gray8>(&path, Compression::Uncompressed, &gray);
    assert!(check_pixels(&path, &read_header(&path).unwrap()).is_ok());
    let whole = std::fs::read(&path).unwrap();
    // The compression, an entry of one short: that of ZSTD, of LERC, and nonsense.
    let entry = [&259_u16.to_ne_bytes()[..], &3_u16.to_ne_bytes(), &1_u32.to_ne_bytes()].concat();
    let at = whole.windows(entry.len()).position(|part| part == entry).unwrap() + entry.len();
    for (method, name) in [
        (50000_u16, "ZSTD"),
        (50001, "WEBP"),
        (50002, "JXL"),
        (52546, "JXL"),
        (34887, "LERC"),
        (34925, "LZMA"),
        (34661, "JBIG"),
        (3, "CCITTFAX3"),
        (7777, "number 7777"),
    ] {
        let mut bytes = whole.clone();
        bytes[at..at + 2].copy_from_slice(&method.to_ne_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let header = read_header(&path).unwrap();
        let to_world = |column: f64, row: f64| (100.0 + column, 200.0 - row);
        let window = RasterWindow { width: 20, height: 20, to_world: &to_world };
        let of_picture = read_window(&path, &header, &window).unwrap_err().to_string();
        let before = check_pixels(&path, &header).unwrap_err().to_string();
        assert_eq!(before, of_picture);
        let told = format!("its compression {name} is not read; it can be rewritten with: gdal_translate");
        assert!(before.contains(&told) && before.contains("COMPRESS=DEFLATE"), "{before}");
    }
}

#[test]
fn what_was_left_in_place_of_a_raster_or_its_mask_is_told_as_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (raster, mask) = (directory.path().join("r.tif"), directory.path().join("r.tif.msk"));
    let told = || read_header(&raster).unwrap_err().to_string();
    for (bytes, words) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a pointer of Git LFS"),
        ("\n<!DOCTYPE html><html>", "a web page"),
    ] {
        std::fs::write(&raster, bytes).unwrap();
        assert!(
            told().contains("r.tif: ") && told().contains(words) && !told().contains("gdal_"),
            "{}",
            told()
        );
        std::fs::copy(fixtures().join("mask_beside.tif"), &raster).unwrap();
        std::fs::write(&mask, bytes).unwrap();
        assert!(told().contains("r.tif.msk: ") && told().contains(words), "{}", told());
        std::fs::remove_file(&mask).unwrap();
    }
    std::fs::write(&raster, "<VRTDataset>").unwrap();
    assert!(told().contains("gdal_translate"), "{}", told());
}

#[test]
fn what_gdal_wrote_beside_a_raster_places_it_before_the_raster_itself_and_its_world_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    let gray = vec![9_u8; (SIDE * SIDE) as usize];
    let beside = directory.path().join("raster.tif.aux.xml");
    let place = |text: &str| {
        std::fs::write(&beside, text).unwrap();
        read_header(&path).map(|header| header.affine)
    };
    let text = "<PAMDataset><GeoTransform>300, 0.5, 0, 400, 0, -0.5</GeoTransform></PAMDataset>";
    let broken = "<PAMDataset><GeoTransform>300, 0.5, 0, 400, 0</GeoTransform></PAMDataset>";
    let corrected = Affine { a: 0.5, b: 0.0, c: 300.0, d: 0.0, e: -0.5, f: 400.0 };
    let own = Affine { a: 1.0, b: 0.0, c: 100.0, d: 0.0, e: -1.0, f: 200.0 };

    write::<colortype::Gray8>(&path, Compression::Uncompressed, &gray);
    assert_eq!((place(text).unwrap(), place(broken).unwrap()), (corrected, own));

    // A TIFF that does not say where it lies, without a world file and with one.
    let mut encoder = TiffEncoder::new(File::create(&path).unwrap()).unwrap();
    encoder.write_image::<colortype::Gray8>(SIDE, SIDE, &gray).unwrap();
    assert_eq!(place(text).unwrap(), corrected);
    let told = place(broken).unwrap_err().to_string();
    assert!(told.contains("no world file or .aux.xml beside it does"), "{told}");
    std::fs::write(path.with_extension("tfw"), "1\n0\n0\n-1\n100.5\n199.5\n").unwrap();
    assert_eq!((place(text).unwrap(), place(broken).unwrap()), (corrected, own));
}

#[test]
fn floats_and_signed_integers_are_stretched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    let count = (SIDE * SIDE) as usize;
    let rows = |i: usize| i as u32 / SIDE;
    let floats: Vec<f32> =
        (0..count).map(|i| if i == 0 { f32::NAN } else { rows(i) as f32 / 100.0 - 0.1 }).collect();
    write::<colortype::Gray32Float>(&path, Compression::Uncompressed, &floats);
    let seen = window(&path);
    // What is no number is nothing.
    assert_eq!((seen[1], seen[2], seen[5 * 19 + 1]), (None, Some([0; 3]), Some([255; 3])));
    let signed: Vec<i16> = (0..count).map(|i| rows(i) as i16 * 100 - 900).collect();
    write::<colortype::GrayI16>(&path, Compression::Lzw, &signed);
    let seen = window(&path);
    assert_eq!((seen[1], seen[5 * 19 + 1]), (Some([0; 3]), Some([255; 3])));
}

/// Adds GDAL's tag for what is nothing.
fn write_with_nodata(path: &Path, values: &[u16], nodata: &str) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    let mut image = encoder.new_image::<colortype::RGB16>(SIDE, SIDE).unwrap();
    image.encoder().write_tag(Tag::ModelPixelScaleTag, &[1.0, 1.0, 0.0][..]).unwrap();
    image.encoder().write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 100.0, 200.0, 0.0][..]).unwrap();
    image.encoder().write_tag(Tag::Unknown(42113), nodata).unwrap();
    image.write_data(values).unwrap();
}

#[test]
fn what_is_nothing_is_transparent_and_left_out_of_the_stretch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raster.tif");
    // The upper half is imagery of 1000 to 1900, the lower half nothing.
    let value =
        |i: u32, nothing: u16| if i < SIDE * SIDE / 2 { 1000 + 100 * (i / SIDE) as u16 } else { nothing };
    for (nothing, text) in [(65535, "65535"), (0, "0"), (0, " 0.0 ")] {
        let values: Vec<u16> = (0..SIDE * SIDE).flat_map(|i| [value(i, nothing); 3]).collect();
        write_with_nodata(&path, &values, text);
        let seen = window(&path);
        assert_eq!((seen[1], seen[5 * 9 + 1]), (Some([0; 3]), Some([255; 3])), "{text}");
        assert!(seen[5 * 10..].iter().all(Option::is_none), "{text}");
        // Where one band has that value and the others do not, there is imagery.
        let mut values = values;
        values[3] = nothing;
        write_with_nodata(&path, &values, text);
        assert!(window(&path)[2].is_some(), "{text}");
    }
}

#[test]
fn the_raster_of_a_folder_is_found_beside_it_and_no_other_is_taken() {
    let folder = Folder::discover(&demo().join("features")).unwrap().into_folders().unwrap().remove(0);
    let chip = folder.chip(0).unwrap();
    let wanted = Wanted { epsg: folder.crs().epsg, names: folder.raster_names() };
    let found = rasters_beside(folder.root(), &chip, wanted).candidates;
    assert_eq!(found.len(), 1);
    assert!(found[0].path.ends_with("scene.tif") && found[0].coverage == 1.0, "{:?}", found[0]);
    // In another CRS the same numbers are another place, and that is told.
    let elsewhere = rasters_beside(folder.root(), &chip, Wanted { epsg: Some(32633), ..wanted });
    assert_eq!(elsewhere.candidates, []);
    let told = elsewhere.problems[0].to_string();
    assert!(
        told.contains("it is in EPSG:32632, the folder in EPSG:32633") && told.contains("gdalwarp"),
        "{told}"
    );
    assert_eq!(rasters_beside(Path::new("/nowhere/at/all"), &chip, wanted).candidates, []);
}

/// On a card with several surveys rasters lie beside all their folders.
#[test]
fn of_rasters_in_other_crss_only_those_of_the_folders_place_are_told() {
    let folder = Folder::discover(&demo().join("features")).unwrap().into_folders().unwrap().remove(0);
    let chip = folder.chip(0).unwrap();
    let (x, y) = chip.affine.apply(chip.shape.1 as f64 / 2.0, chip.shape.0 as f64 / 2.0);
    let [utm_32, utm_33] = [32632, 32633].map(|code| Crs::from_epsg(code).unwrap());
    let in_33 = Transform::new(&utm_32, &utm_33).unwrap().point(x, y).unwrap();
    let problems = |(x, y): (f64, f64), epsg: u16, names: &[String]| {
        let card = tempfile::tempdir().unwrap();
        let mut encoder = TiffEncoder::new(File::create(card.path().join("coast.tif")).unwrap()).unwrap();
        let mut image = encoder.new_image::<colortype::Gray8>(64, 64).unwrap();
        let written = image.encoder();
        written.write_tag(Tag::ModelPixelScaleTag, &[0.5, 0.5, 0.0][..]).unwrap();
        written.write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, x - 16.0, y + 16.0, 0.0][..]).unwrap();
        // A projected CRS with a code, its pixels areas.
        let keys = [1_u16, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, epsg];
        written.write_tag(Tag::GeoKeyDirectoryTag, &keys[..]).unwrap();
        image.write_data(&[7; 64 * 64]).unwrap();
        let found = rasters_beside(card.path(), &chip, Wanted { epsg: Some(32632), names });
        assert_eq!(found.candidates, []);
        found.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let here = problems(in_33, 32633, &[]);
    assert!(here.len() == 1 && here[0].contains("it is in EPSG:32633, the folder in EPSG:32632"), "{here:?}");
    let elsewhere = (in_33.0 + 20_000.0, in_33.1);
    assert_eq!(problems(elsewhere, 32633, &[]), [""; 0]);
    let named = problems(elsewhere, 32633, &["coast.tif".to_owned()]);
    assert!(named.len() == 1 && named[0].contains("gdalwarp"), "{named:?}");
    // Where it lies is not known.
    let unknown = problems(elsewhere, 2263, &[]);
    assert_eq!(unknown.len(), usize::from(Crs::from_epsg(2263).is_err()), "{unknown:?}");
}

#[test]
fn the_raster_that_the_manifest_names_comes_first_and_else_the_one_with_colours() {
    let card = tempfile::tempdir().unwrap();
    let folder = Folder::discover(&demo().join("features")).unwrap().into_folders().unwrap().remove(0);
    let chip = folder.chip(0).unwrap();
    // Rasters over the whole chip, of one and three bands.
    let affine = chip.affine;
    let raster = |name: &str, bands: usize| {
        let mut encoder = TiffEncoder::new(File::create(card.path().join(name)).unwrap()).unwrap();
        let scale = [affine.a * 2.0, -affine.e * 2.0, 0.0];
        let tie = [0.0, 0.0, 0.0, affine.c, affine.f, 0.0];
        let values = vec![7_u8; 512 * 512 * bands];
        if bands == 3 {
            let mut image = encoder.new_image::<colortype::RGB8>(512, 512).unwrap();
            image.encoder().write_tag(Tag::ModelPixelScaleTag, &scale[..]).unwrap();
            image.encoder().write_tag(Tag::ModelTiepointTag, &tie[..]).unwrap();
            image.write_data(&values).unwrap();
        } else {
            let mut image = encoder.new_image::<colortype::Gray8>(512, 512).unwrap();
            image.encoder().write_tag(Tag::ModelPixelScaleTag, &scale[..]).unwrap();
            image.encoder().write_tag(Tag::ModelTiepointTag, &tie[..]).unwrap();
            image.write_data(&values).unwrap();
        }
    };
    raster("a_dem.tif", 1);
    raster("ortho.tif", 3);
    let first = |names: &[String]| {
        let found = rasters_beside(card.path(), &chip, Wanted { epsg: None, names });
        found.candidates[0].path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(first(&[]), "ortho.tif");
    assert_eq!(first(&["A_DEM.tif".to_owned()]), "a_dem.tif");
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
