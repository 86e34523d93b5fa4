//! v1 chips as rasterio writes them: interleaved by pixel and by band, in strips and tiles, compressed.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use tiff::encoder::{TiffEncoder, TiffKindStandard, colortype::ColorType, compression::DeflateLevel};
use tiff::tags::{PhotometricInterpretation, SampleFormat, Tag};

use super::*;
use crate::geo::Affine;

fn value(band: usize, row: usize, column: usize) -> f32 {
    f32::from(u16::try_from(band * 64 + row).unwrap()) + f32::from(u16::try_from(column).unwrap()) / 64.0
}

/// How a chip is laid out in its file.
#[derive(Debug, Clone, Copy)]
struct Plan {
    separate: bool,
    tile: Option<u32>,
    metadata: &'static str,
    bands: usize,
}

const METADATA: &str = "<GDALMetadata>\n  <Item name=\"img_shape\">(3, 400, 500)</Item>\n  \
    <Item name=\"img_shape\" sample=\"0\">(9, 9)</Item>\n  \
    <Item name=\"input_shape\">(3, 819, 1024)</Item>\n  <Item name=\"model_type\">vit_l</Item>\n</GDALMetadata>\n";

const PLAN: Plan = Plan { separate: false, tile: None, metadata: METADATA, bands: 256 };

/// A little-endian TIFF written by hand, since the encoder of `tiff` writes no tiles and no bands apart.
fn chip(plan: Plan) -> Vec<u8> {
    let grid = 64_usize;
    let side = plan.tile.unwrap_or(64) as usize;
    let (across, down) = (grid.div_ceil(side), if plan.tile.is_some() { grid.div_ceil(side) } else { 4 });
    let (columns, rows) = (side, if plan.tile.is_some() { side } else { 16 });
    let (planes, samples) = if plan.separate { (plan.bands, 1) } else { (1, plan.bands) };
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let (mut offsets, mut counts) = (vec![], vec![]);
    for plane in 0..planes {
        for chunk in 0..across * down {
            let start = file.len();
            for r in 0..rows {
                for c in 0..columns {
                    for s in 0..samples {
                        let (row, column) = (chunk / across * rows + r, chunk % across * columns + c);
                        file.extend(value(plane + s, row, column).to_le_bytes());
                    }
                }
            }
            offsets.push(u32::try_from(start).unwrap());
            counts.push(u32::try_from(file.len() - start).unwrap());
        }
    }
    let shorts = |v: &[u16]| (3_u16, v.len(), v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let longs = |v: &[u32]| (4_u16, v.len(), v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let doubles = |v: &[f64]| (12_u16, v.len(), v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let bands = u16::try_from(plan.bands).unwrap();
    let mut tags = vec![
        (256, shorts(&[64])),
        (257, shorts(&[64])),
        (258, shorts(&vec![32; plan.bands])),
        (259, shorts(&[1])),
        (262, shorts(&[1])),
        (277, shorts(&[bands])),
        (284, shorts(&[if plan.separate { 2 } else { 1 }])),
        (338, shorts(&vec![0; plan.bands - 1])),
        (339, shorts(&vec![3; plan.bands])),
        (33550, doubles(&[16.0, 20.0, 0.0])),
        (33922, doubles(&[0.0, 0.0, 0.0, 500_000.0, 4_000_000.0, 0.0])),
        (34735, shorts(&[1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32618])),
        (42112, (2, plan.metadata.len() + 1, [plan.metadata.as_bytes(), &[0]].concat())),
    ];
    match plan.tile {
        Some(side) => tags.extend([
            (322, longs(&[side])),
            (323, longs(&[side])),
            (324, longs(&offsets)),
            (325, longs(&counts)),
        ]),
        None => tags.extend([(273, longs(&offsets)), (278, shorts(&[16])), (279, longs(&counts))]),
    }
    tags.sort_by_key(|(tag, _)| *tag);
    let mut directory = u16::try_from(tags.len()).unwrap().to_le_bytes().to_vec();
    for (tag, (kind, count, bytes)) in tags {
        directory.extend(u16::to_le_bytes(tag));
        directory.extend(kind.to_le_bytes());
        directory.extend(u32::try_from(count).unwrap().to_le_bytes());
        if bytes.len() <= 4 {
            directory.extend([bytes.clone(), vec![0; 4 - bytes.len()]].concat());
        } else {
            directory.extend(u32::try_from(file.len()).unwrap().to_le_bytes());
            file.extend(bytes);
        }
    }
    directory.extend([0; 4]);
    let at = u32::try_from(file.len()).unwrap();
    file[4..8].copy_from_slice(&at.to_le_bytes());
    file.extend(directory);
    file
}

fn read(bytes: &[u8]) -> Result<ChipFeatures, FeaturesError> {
    chip_of(bytes, Path::new("sam_feat_0123.tif"))
}

fn assert_values(chip: &ChipFeatures) {
    assert_eq!(chip.embedding.dim(), (256, 64, 64));
    assert!(chip.embedding.indexed_iter().all(|((b, r, c), &v)| v == value(b, r, c)));
}

#[test]
fn all_256_bands_are_read_from_every_layout() {
    for (separate, tile) in
        [(false, None), (true, None), (false, Some(32)), (true, Some(32)), (true, Some(48))]
    {
        let plan = Plan { separate, tile, ..PLAN };
        let chip = read(&chip(plan)).unwrap();
        assert_values(&chip);
        // As stored: channels-last unless the bands lie apart.
        assert_eq!(chip.embedding.is_standard_layout(), separate, "{plan:?}");
        assert!(chip.embedding.as_slice_memory_order().is_some());
    }
}

#[test]
fn the_header_says_where_the_chip_lies_and_what_encoded_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sam_feat.tif");
    std::fs::write(&path, chip(PLAN)).unwrap();
    let header = read_header(&path).unwrap();
    let affine = Affine::new([16.0, 0.0, 500_000.0, 0.0, -20.0, 4_000_000.0]);
    assert_eq!((header.affine, header.epsg), (affine, Some(32618)));
    assert_eq!((header.bands, header.height, header.width), (256, 64, 64));
    assert_eq!((header.img_shape, header.input_shape), (Some((400, 500)), Some((819, 1024))));
    assert_eq!(header.model_type.as_deref(), Some("vit_l"));
    // 64 cells of 16 m over 500 pixels; 64 of 20 m over 400.
    let chip = header.chip_affine();
    assert_eq!(chip.apply(500.0, 400.0), affine.apply(64.0, 64.0));
    assert!((chip.a - 2.048).abs() < 1e-12 && (chip.e - -3.2).abs() < 1e-12);

    let features = read_v1_chip(&path).unwrap();
    assert_eq!((features.family, features.checkpoint.as_str()), (Family::Sam, "sam_l.pt"));
    assert_eq!((features.src_shape, features.dst_shape), ((400, 500), (1024, 1024)));
}

#[test]
fn a_file_without_metadata_takes_its_model_from_its_name() {
    let bytes = chip(Plan { metadata: "", ..PLAN });
    let features = chip_of(&bytes, Path::new("sam_features_vit_h_beiluhe.tif")).unwrap();
    assert_eq!((features.checkpoint.as_str(), features.src_shape), ("sam_h.pt", (1024, 1024)));
    let message = read(&bytes).unwrap_err().to_string();
    assert!(message.contains("vit_h, vit_l or vit_b") && message.contains("sam_feat_0123.tif"), "{message}");
}

#[test]
fn shapes_that_do_not_belong_together_are_refused() {
    let message = |metadata| read(&chip(Plan { metadata, ..PLAN })).unwrap_err().to_string();
    let lie = "<Item name=\"img_shape\">(3, 400, 500)</Item><Item name=\"input_shape\">(3, 1024, 1024)</Item>\
               <Item name=\"model_type\">vit_b</Item>";
    assert!(message(lie).contains("is not its img_shape"), "{}", message(lie));
    let empty = "<Item name=\"img_shape\">(3, 0, 500)</Item><Item name=\"model_type\">vit_b</Item>";
    assert!(message(empty).contains("img_shape is 0 x 500"), "{}", message(empty));
}

#[test]
fn other_rasters_are_refused() {
    let message = read(&chip(Plan { bands: 255, ..PLAN })).unwrap_err().to_string();
    assert!(message.contains("255 bands of 64 x 64, not 256"), "{message}");
    assert!(read(b"PK\x03\x04 and so on").unwrap_err().to_string().contains("not a TIFF"));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n";
    assert!(read(pointer).unwrap_err().to_string().contains("git lfs pull"));
    assert!(read(b"<!DOCTYPE html><html>").unwrap_err().to_string().contains("it is a web page"));
    let whole = chip(PLAN);
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        assert!(read(&whole[..length]).is_err(), "{length} bytes were accepted");
    }
}

#[test]
fn a_compression_that_is_not_read_has_its_name_and_what_helps() {
    // Its entry of one short: tag, type, count.
    let entry = [259_u16.to_le_bytes(), 3_u16.to_le_bytes(), [1, 0], [0, 0]].concat();
    let whole = chip(PLAN);
    let at = whole.windows(entry.len()).position(|part| part == entry).unwrap() + entry.len();
    for (method, name) in [(34887_u16, "LERC"), (50002, "JXL"), (7777, "number 7777")] {
        let mut bytes = whole.clone();
        bytes[at..at + 2].copy_from_slice(&method.to_le_bytes());
        let told = read(&bytes).unwrap_err().to_string();
        let words = format!("its compression {name} is not read; it can be rewritten with: gdal_translate");
        assert!(told.contains(&words) && !told.contains("Unknown"), "{told}");
    }
}

struct Bands;

impl ColorType for Bands {
    type Inner = f32;
    const TIFF_VALUE: PhotometricInterpretation = PhotometricInterpretation::BlackIsZero;
    const BITS_PER_SAMPLE: &'static [u16] = &[32; 256];
    const SAMPLE_FORMAT: &'static [SampleFormat] = &[SampleFormat::IEEEFP; 256];

    fn horizontal_predict(_row: &[f32], _result: &mut Vec<f32>) {}
}

#[test]
fn compressed_files_of_another_writer_are_read() {
    let pixels: Vec<f32> =
        (0..64 * 64).flat_map(|at| (0..256).map(move |band| value(band, at / 64, at % 64))).collect();
    for method in [
        tiff::encoder::Compression::Uncompressed,
        tiff::encoder::Compression::Lzw,
        tiff::encoder::Compression::Deflate(DeflateLevel::Fast),
    ] {
        let mut file = std::io::Cursor::new(vec![]);
        let mut encoder: TiffEncoder<_, TiffKindStandard> =
            TiffEncoder::new(&mut file).unwrap().with_compression(method);
        let mut image = encoder.new_image::<Bands>(64, 64).unwrap();
        let tags = image.encoder();
        tags.write_tag(Tag::Unknown(42112), METADATA).unwrap();
        let matrix = [16.0, 0.0, 0.0, 7.0, 0.0, -16.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0_f64];
        tags.write_tag(Tag::ModelTransformationTag, &matrix[..]).unwrap();
        image.write_data(&pixels).unwrap();
        let bytes = file.into_inner();
        assert_values(&read(&bytes).unwrap());
        let header = header::header_of(bytes.as_slice(), bytes.len() as u64, Path::new("a.tif")).unwrap();
        assert_eq!(header.affine, Affine::new([16.0, 0.0, 7.0, 0.0, -16.0, 9.0]));
        assert_eq!(header.epsg, None);
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name)
}

#[test]
fn files_of_gdal_are_read() {
    let by_pixel = read_v1_chip(&fixture("by_pixel.tif")).unwrap();
    assert_values(&by_pixel);
    assert!(!by_pixel.embedding.is_standard_layout());
    assert_eq!((by_pixel.checkpoint.as_str(), by_pixel.src_shape), ("sam_b.pt", (400, 500)));
    let header = read_header(&fixture("by_pixel.tif")).unwrap();
    assert_eq!(header.affine, Affine::new([15.625, 0.0, 500_000.0, 0.0, -12.5, 4_000_800.0]));
    assert_eq!((header.epsg, header.chip_affine().pixel_size()), (Some(32618), (2.0, 2.0)));

    let by_band = read_v1_chip(&fixture("by_band.tif")).unwrap();
    assert_values(&by_band);
    assert!(by_band.embedding.is_standard_layout());
    let header = read_header(&fixture("by_band.tif")).unwrap();
    assert_eq!(header.affine, Affine::new([16.0, 2.0, 10.5, -2.0, -16.0, 48.25]));
    assert_eq!((header.epsg, header.model_type.as_deref()), (Some(4326), Some("vit_b")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mutated_chip_never_panics(
        changes in prop::collection::vec((0_usize..700, any::<u8>()), 1..6), separate: bool, tiled: bool,
    ) {
        static FILES: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
            let plan = |separate, tile| chip(Plan { separate, tile, ..PLAN });
            [plan(false, None), plan(true, None), plan(false, Some(32)), plan(true, Some(32))]
        });
        let mut bytes = FILES[usize::from(separate) + 2 * usize::from(tiled)].clone();
        // The directory stands at the end; changes go there and into the start.
        for (at, value) in changes {
            let length = bytes.len();
            let at = if at < 8 { at } else { length - (at - 7) };
            bytes[at] = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn a_mutated_file_of_gdal_never_panics(
        near in prop::collection::vec((0_usize..4000, any::<u8>()), 0..4),
        anywhere in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        by_band: bool,
    ) {
        static FILES: LazyLock<[Vec<u8>; 2]> =
            LazyLock::new(|| ["by_pixel.tif", "by_band.tif"].map(|name| std::fs::read(fixture(name)).unwrap()));
        let mut bytes = FILES[usize::from(by_band)].clone();
        for (at, value) in near {
            bytes[at] = value;
        }
        for (at, value) in anywhere {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn arbitrary_directories_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), big: bool) {
        let magic: &[u8] = if big { b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" } else { b"II*\0\x08\0\0\0" };
        let _ = read(&[magic, &bytes].concat());
    }
}
