//! Manifests as pandas writes them, as other writers might, and damaged ones.

use std::io::Cursor;
use std::path::Path;

use parquet::basic::{Compression, Encoding, GzipLevel};
use parquet::file::properties::WriterVersion;
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::*;
use crate::ErrorCode;
use crate::catalog::testing::{ManifestBuilder, NULL, Row, grid_rows, polygon_wkb};
use crate::geo::Bounds;

fn read(bytes: &[u8]) -> Result<Manifest, CatalogError> {
    read_manifest(Cursor::new(bytes), Path::new("card/manifest.parquet"))
}

/// The message of a manifest that is refused.
fn refusal(builder: ManifestBuilder) -> String {
    let error = read(&builder.bytes()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FolderNotReady);
    let message = error.to_string();
    assert!(message.starts_with("card/manifest.parquet: "), "{message}");
    message
}

fn changed(row: usize, change: impl FnOnce(&mut Row)) -> ManifestBuilder {
    let mut rows = grid_rows(3, 2);
    change(&mut rows[row]);
    ManifestBuilder::new(rows)
}

fn assert_is_grid(manifest: &Manifest, columns: usize, rows: usize) {
    assert_eq!(manifest.chips.len(), columns * rows);
    for i in 0..columns * rows {
        let (x, y) = ((i % columns) as f64 * 50.0, -((i / columns) as f64) * 50.0);
        assert_eq!(manifest.chips.id(i), format!("chip_{i:06}"));
        assert_eq!(manifest.chips.file(i), (format!("chip_{i:06}").as_str(), ".pt"));
        assert_eq!(manifest.chips.affine(i), Affine::new([1.0, 0.0, x, 0.0, -1.0, y]));
        assert_eq!(manifest.chips.center(i), (x + 50.0, y - 50.0));
        let footprint = manifest.chips.footprints.get(i);
        assert_eq!((footprint.bounds, footprint.ring), (Bounds::new(x, y - 100.0, x + 100.0, y), None));
        assert_eq!(manifest.chips.shapes(i), Shapes { shape: (100, 100), dst_shape: (1024, 1024) });
    }
}

#[test]
fn every_codec_that_pandas_offers_is_read_or_refused_by_name() {
    for codec in [Compression::SNAPPY, Compression::UNCOMPRESSED, Compression::GZIP(GzipLevel::default())] {
        let manifest = read(&ManifestBuilder::new(grid_rows(4, 3)).compression(codec).bytes()).unwrap();
        assert_is_grid(&manifest, 4, 3);
        assert_eq!((manifest.checkpoint.as_str(), manifest.family), ("sam2.1_t.pt", Family::Sam2));
        assert_eq!(manifest.crs.epsg, Some(32618));
    }
}

#[test]
fn a_codec_that_is_not_compiled_in_is_named_before_a_row_is_read() {
    // The writer has only our codecs: change the footer of a file whose pages say nothing of it.
    let bytes = ManifestBuilder::new(grid_rows(2, 1)).bytes();
    let (metadata, _) = footer::read_footer(&mut Cursor::new(&bytes)).unwrap();
    for (codec, name) in [
        (parquet::basic::CompressionCodec::ZSTD, "zstd"),
        (parquet::basic::CompressionCodec::BROTLI, "brotli"),
        (parquet::basic::CompressionCodec::LZ4_RAW, "lz4"),
    ] {
        let mut builder = metadata.clone().into_builder();
        let groups = builder.take_row_groups().into_iter().map(|group| {
            let columns = group.columns().iter();
            let columns =
                columns.map(|c| c.clone().into_builder().set_compression_codec(codec).build().unwrap());
            let columns = columns.collect();
            group.clone().into_builder().set_column_metadata(columns).build().unwrap()
        });
        let metadata = builder.set_row_groups(groups.collect()).build();
        let error =
            Columns::open(Cursor::new(&bytes), bytes.len() as u64, &metadata, Path::new("m")).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "m: column feature_path uses {name} compression, which is not supported; save the manifest again: \
                 gdf.to_parquet('manifest.parquet', compression='snappy') ('gzip' and None work too)"
            )
        );
    }
}

#[test]
fn pages_of_both_versions_with_and_without_dictionary_are_read() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for dictionary in [true, false] {
            for codec in [Compression::SNAPPY, Compression::UNCOMPRESSED] {
                let mut builder = ManifestBuilder::new(grid_rows(40, 30)).compression(codec);
                builder.properties = builder
                    .properties
                    .set_writer_version(version)
                    .set_dictionary_enabled(dictionary)
                    .set_encoding(Encoding::PLAIN)
                    .set_data_page_size_limit(2048)
                    .set_dictionary_page_size_limit(1024)
                    .set_write_batch_size(16);
                builder.group = 700;
                assert_is_grid(&read(&builder.bytes()).unwrap(), 40, 30);
            }
        }
    }
}

#[test]
fn required_columns_are_read_like_optional_ones() {
    let mut builder = ManifestBuilder::new(grid_rows(3, 2));
    builder.schema = builder.schema.replace("OPTIONAL", "REQUIRED");
    assert_is_grid(&read(&builder.bytes()).unwrap(), 3, 2);
}

#[test]
fn an_encoding_that_geosam_never_uses_is_refused_by_name() {
    let mut builder = ManifestBuilder::new(grid_rows(3, 2));
    let column = ColumnPath::from("transform");
    builder.properties = builder
        .properties
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_encoding(column, Encoding::DELTA_BYTE_ARRAY);
    let message = refusal(builder);
    assert!(message.contains("column transform uses the encoding DELTA_BYTE_ARRAY"), "{message}");
}

#[test]
fn missing_columns_are_all_named() {
    let message = refusal(ManifestBuilder::new(grid_rows(1, 1)).without("dst_shape").without("source_path"));
    assert!(message.contains("the columns source_path, dst_shape are missing"), "{message}");
}

#[test]
fn columns_of_another_type_are_refused() {
    for (from, to, expected) in [
        ("BYTE_ARRAY geometry", "DOUBLE geometry", "column geometry holds DOUBLE, not WKB (bytes)"),
        ("BYTE_ARRAY shape (UTF8)", "DOUBLE shape", "column shape holds DOUBLE, not text"),
        (
            "DOUBLE chip_center_x",
            "BYTE_ARRAY chip_center_x",
            "column chip_center_x holds BYTE_ARRAY, not numbers",
        ),
    ] {
        let mut builder = ManifestBuilder::new(grid_rows(1, 1));
        builder.schema = builder.schema.replace(from, to);
        let message = refusal(builder);
        assert!(message.contains(expected), "{message}");
    }
    let geo = r#"{"columns": {"geometry": {"encoding": "polygon"}}}"#;
    let mut builder = ManifestBuilder::new(grid_rows(1, 1));
    builder.geo = Some(geo.to_owned());
    let message = refusal(builder);
    assert!(message.contains("column geometry holds GeoArrow's polygon (save it"), "{message}");
}

#[test]
fn bad_cells_are_refused_with_their_row_and_column() {
    let mut cases: Vec<(&str, ManifestBuilder)> = vec![
        (
            "row 4: transform is \"[1, 2]\", not a JSON array of 6 finite numbers",
            changed(4, |r| r.transform = "[1, 2]".into()),
        ),
        (
            "row 1: transform is \"[1, 0, NaN, 0, -1, 0]\"",
            changed(1, |r| r.transform = "[1, 0, NaN, 0, -1, 0]".into()),
        ),
        ("row 2: transform has no area", changed(2, |r| r.transform = "[1, 0, 5, 2, 0, 5]".into())),
        ("row 3: shape is", changed(3, |r| r.shape = "[512]".into())),
        ("row 3: dst_shape is", changed(3, |r| r.dst_shape = "[0, 1024]".into())),
        (
            "row 0: feature_path \"/home/gis/..\" does not end in the name of a file",
            changed(0, |r| r.feature_path = Some("/home/gis/..".into())),
        ),
        ("row 5: feature_path is missing", changed(5, |r| r.feature_path = None)),
        ("row 5: chip_id is missing", changed(5, |r| r.chip_id = None)),
        ("row 5: chip_id has 0 bytes", changed(5, |r| r.chip_id = Some(String::new()))),
        ("row 5: geometry is missing", changed(5, |r| r.geometry = None)),
        (
            "row 1: geometry is of WKB type 1, not a polygon",
            changed(1, |r| r.geometry = Some(vec![1, 1, 0, 0, 0])),
        ),
        ("row 1: geometry encloses no area", changed(1, |r| r.geometry = Some(polygon_wkb(&[[0.0; 2]; 5])))),
        ("row 2: chip_center_x is NaN, not a finite number", changed(2, |r| r.center[0] = f64::NAN)),
        ("row 2: chip_center_y is inf, not a finite number", changed(2, |r| r.center[1] = f64::INFINITY)),
    ];
    let mut empty = changed(0, |_| ());
    empty.rows.iter_mut().for_each(|r| r.crs = " ".into());
    cases.push(("row 0: crs is empty", empty));
    let mut without = changed(0, |_| ());
    without.rows.iter_mut().for_each(|r| r.crs = NULL.into());
    let way_out = "row 0: crs is empty, and the GeoParquet metadata has none; give the raster its CRS (gdal_edit.py -a_srs \
                   EPSG:n in.tif) and encode it again";
    cases.push((way_out, without));
    let mut unnamed = changed(0, |_| ());
    unnamed.rows.iter_mut().for_each(|r| r.checkpoint_path = "/home/gis/".into());
    cases.push(("row 0: checkpoint_path does not name a file", unnamed));
    for (expected, builder) in cases {
        let message = refusal(builder);
        assert!(message.contains(expected), "{message}\nis not: {expected}");
    }
}

#[test]
fn one_folder_has_one_crs_one_checkpoint_and_one_family() {
    for (expected, builder) in [
        ("crs is EPSG:32618 in row 0 and EPSG:32619 in row 2", changed(2, |r| r.crs = "EPSG:32619".into())),
        ("crs is EPSG:32618 in row 0 and empty in row 2", changed(2, |r| r.crs = NULL.into())),
        ("crs is empty in row 0 and EPSG:32618 in row 1", changed(0, |r| r.crs = NULL.into())),
        ("model_type is sam2 in row 0 and sam in row 3", changed(3, |r| r.model_type = "sam".into())),
        (
            "checkpoint_path is /home/gis/geo/sam2.1_t.pt in row 0 and /home/gis/geo/sam2.1_s.pt in row 1",
            changed(1, |r| r.checkpoint_path = "/home/gis/geo/sam2.1_s.pt".into()),
        ),
    ] {
        let message = refusal(builder);
        assert!(message.contains(expected), "{message}");
    }
    let moved = changed(1, |r| r.checkpoint_path = r"D:\models\SAM2.1_T.pt".into());
    assert!(read(&moved.bytes()).is_ok(), "the directory of a checkpoint does not count");
    let mut rows = grid_rows(2, 1);
    rows.iter_mut().for_each(|r| r.model_type = "sam9".into());
    let message = refusal(ManifestBuilder::new(rows));
    assert!(message.contains("model_type is \"sam9\""), "{message}");
}

#[test]
fn a_reprojected_manifest_is_refused_with_the_way_back() {
    let mut builder = ManifestBuilder::new(grid_rows(2, 1));
    builder.geo = Some(r#"{"columns": {"geometry": {"encoding": "WKB", "crs": {"id": {"authority": "EPSG", "code": 4326}}}}}"#.into());
    let message = refusal(builder);
    assert!(message.contains("the geometry is in EPSG:4326, the transforms in EPSG:32618"), "{message}");
}

#[test]
fn a_reprojected_manifest_with_a_wkt_is_refused_too() {
    let mut rows = grid_rows(2, 1);
    let laea = r#"PROJCS["unnamed",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Lambert_Azimuthal_Equal_Area"],PARAMETER["latitude_of_center",47],PARAMETER["longitude_of_center",9],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]"#;
    rows.iter_mut().for_each(|r| r.crs = laea.into());
    let metadata = r#"{"columns": {"geometry": {"encoding": "WKB", "crs": {"name": "WGS 84 / Pseudo-Mercator", "id": {"authority": "EPSG", "code": 3857}}}}}"#;
    // Somewhere else in metres, and in degrees.
    for by in [|v: f64| 1e6 + 1.4 * v, |v: f64| 9.0 + v / 111_000.0] {
        let mut rows = rows.clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let x = i as f64 * 50.0;
            let ring = [[x, 0.0], [x + 100.0, 0.0], [x + 100.0, -100.0], [x, -100.0], [x, 0.0]];
            row.geometry = Some(polygon_wkb(&ring.map(|corner| corner.map(by))));
        }
        let mut builder = ManifestBuilder::new(rows);
        builder.geo = Some(metadata.into());
        let message = refusal(builder);
        assert!(
            message.contains("the geometry is in EPSG:3857, the transforms in PROJCS[\"unnamed\""),
            "{message}"
        );
    }
}

#[test]
fn a_wkt_gets_its_code_from_the_metadata() {
    let mut rows = grid_rows(2, 1);
    let wkt = "PROJCS[\"WGS 84 / UTM zone 18N\",GEOGCS[\"WGS 84\"]]";
    rows.iter_mut().for_each(|r| r.crs = wkt.into());
    let mut builder = ManifestBuilder::new(rows.clone());
    builder.geo =
        Some(r#"{"columns": {"geometry": {"crs": {"id": {"authority": "EPSG", "code": 32618}}}}}"#.into());
    let crs = read(&builder.bytes()).unwrap().crs;
    assert_eq!((crs.epsg, crs.wkt.as_deref()), (Some(32618), Some(wkt)));
    let crs = read(&ManifestBuilder::new(rows).bytes()).unwrap().crs;
    assert_eq!((crs.epsg, crs.text.as_str()), (None, wkt));
}

#[test]
fn a_null_crs_is_that_of_the_metadata() {
    let geo = r#"{"columns": {"geometry": {"crs": {"id": {"authority": "EPSG", "code": 32618}}}}}"#;
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for dictionary in [true, false] {
            for schema in ["BYTE_ARRAY crs (UTF8)", "INT32 crs (UNKNOWN)"] {
                let mut rows = grid_rows(3, 2);
                // Some null, some blank, as after a merge of two manifests.
                for (i, row) in rows.iter_mut().enumerate() {
                    row.crs = if [0, 1, 4].contains(&i) { NULL } else { " " }.into();
                }
                let mut builder = ManifestBuilder::new(rows);
                builder.geo = Some(geo.into());
                builder.schema = builder.schema.replace("BYTE_ARRAY crs (UTF8)", schema);
                builder.properties = builder
                    .properties
                    .set_writer_version(version)
                    .set_dictionary_enabled(dictionary)
                    .set_encoding(Encoding::PLAIN);
                let manifest = read(&builder.bytes()).unwrap();
                assert_is_grid(&manifest, 3, 2);
                assert_eq!((manifest.crs.epsg, manifest.crs.text.as_str()), (Some(32618), "EPSG:32618"));
            }
        }
    }
}

#[test]
fn a_rotated_affine_and_its_footprint_are_kept() {
    let grid = Affine::new([0.8, 0.6, 1000.0, 0.6, -0.8, 2000.0]);
    let manifest = read(&ManifestBuilder::new(vec![Row::on_grid(0, grid, (300, 200))]).bytes()).unwrap();
    assert_eq!(manifest.chips.affine(0), grid);
    let ring = manifest.chips.footprints.get(0).ring.unwrap();
    assert_eq!(ring.len(), 4);
    assert_eq!(manifest.chips.shapes(0).shape, (300, 200));
}

#[test]
fn other_files_are_told_apart() {
    for (bytes, word) in [
        (&b"PAR1"[..], "another kind of file"),
        (b"", "another kind of file"),
        (b"PAR1 and then some text", "another kind of file"),
        (b"PAR1\0\0\0\0PAR1\xff\xff\xff\x7fPAR1", "its footer says"),
        (b"PAR1\0\0\0\0PAR1\x04\0\0\0PARE", "encrypted"),
        (b"PAR1\0\0\0\0\0\0\0\0\x04\0\0\0PAR1", "its footer"),
    ] {
        let message = read(bytes).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_footer_that_lies_about_rows_is_refused() {
    // A footer with 2^62 rows, and none in row groups.
    let bytes = ManifestBuilder::new(vec![]).bytes();
    assert!(read(&bytes).unwrap_err().to_string().contains("0 chips; a folder has 1 to 5000000"));
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let bytes = ManifestBuilder::new(grid_rows(3, 2)).bytes();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length} bytes");
    }
}

/// Changes of bytes, most of them in the pages or most in the footer.
fn damage() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0, any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_damage_makes_it_panic(damage in damage(), dictionary: bool, version: bool, codec in 0..3) {
        let codec = [Compression::SNAPPY, Compression::UNCOMPRESSED, Compression::GZIP(GzipLevel::default())][codec as usize];
        let mut builder = ManifestBuilder::new(grid_rows(3, 2)).compression(codec);
        let version = if version { WriterVersion::PARQUET_1_0 } else { WriterVersion::PARQUET_2_0 };
        builder.properties = builder
            .properties
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_encoding(Encoding::PLAIN);
        let mut bytes = builder.bytes();
        let length = bytes.len() as f64;
        for (place, byte) in damage {
            bytes[(place * length) as usize] = byte;
        }
        if let Ok(manifest) = read(&bytes) {
            for i in 0..manifest.chips.len() {
                prop_assert!(manifest.chips.affine(i).inverse().is_some());
                prop_assert!(manifest.chips.footprints.get(i).bounds.is_valid());
            }
        }
    }
}

/// `tests/fixtures/folder_sam/manifest.parquet`, read by pyarrow and written again by fastparquet 2026.9.0:
/// `pyarrow.parquet.read_table(..).to_pandas().to_parquet(.., engine="fastparquet")`.
#[test]
fn a_manifest_of_fastparquet_is_read_like_one_of_pyarrow() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let read = |name: &str| read(&std::fs::read(fixtures.join(name)).unwrap()).unwrap();
    let (own, other) = (read("folder_sam/manifest.parquet"), read("manifest_of_fastparquet.parquet"));
    assert_eq!((own.chips.len(), &own.checkpoint), (other.chips.len(), &other.checkpoint));
    for chip in 0..own.chips.len() {
        assert_eq!(own.chips.id(chip), other.chips.id(chip));
        assert_eq!(own.chips.affine(chip), other.chips.affine(chip));
        assert_eq!(own.chips.footprints.get(chip), other.chips.footprints.get(chip));
    }
    // It keeps no metadata of GeoParquet: the column says the CRS.
    assert_eq!(own.crs.epsg, other.crs.epsg);
}
