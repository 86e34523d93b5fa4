//! Manifests and folders for tests: written through the `parquet` crate, as geosam lays them out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

pub(crate) use crate::features::testing::corpus;
use crate::geo::Affine;

/// The schema that pandas gives a manifest.
const SCHEMA: &str = "message schema {
    OPTIONAL BYTE_ARRAY feature_path (UTF8);
    OPTIONAL BYTE_ARRAY chip_id (UTF8);
    OPTIONAL BYTE_ARRAY source_path (UTF8);
    OPTIONAL BYTE_ARRAY checkpoint_path (UTF8);
    OPTIONAL BYTE_ARRAY model_type (UTF8);
    OPTIONAL BYTE_ARRAY transform (UTF8);
    OPTIONAL BYTE_ARRAY shape (UTF8);
    OPTIONAL BYTE_ARRAY crs (UTF8);
    OPTIONAL BYTE_ARRAY dst_shape (UTF8);
    OPTIONAL DOUBLE chip_center_x;
    OPTIONAL DOUBLE chip_center_y;
    OPTIONAL BYTE_ARRAY geometry;
}";

/// A closed ring of a square.
pub(crate) fn square_ring() -> Vec<[f64; 2]> {
    vec![[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0], [0.0, 0.0]]
}

/// Little-endian WKB of a polygon with one ring.
pub(crate) fn polygon_wkb(ring: &[[f64; 2]]) -> Vec<u8> {
    let mut bytes = vec![1, 3, 0, 0, 0, 1, 0, 0, 0];
    bytes.extend((ring.len() as u32).to_le_bytes());
    bytes.extend(ring.iter().flatten().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// A `crs` that is null.
pub(crate) const NULL: &str = "(null)";

/// One row of a manifest; a text that is `None` is null.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) feature_path: Option<String>,
    pub(crate) chip_id: Option<String>,
    pub(crate) checkpoint_path: String,
    pub(crate) model_type: String,
    pub(crate) transform: String,
    pub(crate) shape: String,
    pub(crate) crs: String,
    pub(crate) dst_shape: String,
    pub(crate) center: [f64; 2],
    pub(crate) geometry: Option<Vec<u8>>,
}

impl Row {
    /// Chip `number` of `height` x `width` pixels on a grid, as geosam writes it on Linux.
    pub(crate) fn on_grid(number: usize, grid: Affine, (height, width): (usize, usize)) -> Self {
        let corner = |col: usize, row: usize| {
            let (x, y) = grid.apply(col as f64, row as f64);
            [x, y]
        };
        let mut ring = vec![corner(width, height), corner(width, 0), corner(0, 0), corner(0, height)];
        ring.push(ring[0]);
        let (x, y) = grid.apply(width as f64 / 2.0, height as f64 / 2.0);
        let Affine { a, b, c, d, e, f } = grid;
        Self {
            feature_path: Some(format!("/home/gis/geo/layer/features/chip_{number:06}.pt")),
            chip_id: Some(format!("chip_{number:06}")),
            checkpoint_path: "/home/gis/geo/sam2.1_t.pt".to_owned(),
            model_type: "sam2".to_owned(),
            transform: format!("[{a:?}, {b:?}, {c:?}, {d:?}, {e:?}, {f:?}]"),
            shape: format!("[{height}, {width}]"),
            crs: "EPSG:32618".to_owned(),
            dst_shape: "[1024, 1024]".to_owned(),
            center: [x, y],
            geometry: Some(polygon_wkb(&ring)),
        }
    }

    /// Chip `number` with the pixel (0, 0) at (x, y), 100 x 100 pixels of one metre.
    pub(crate) fn at(number: usize, x: f64, y: f64) -> Self {
        Self::on_grid(number, Affine::new([1.0, 0.0, x, 0.0, -1.0, y]), (100, 100))
    }
}

/// Rows of chips, 100 pixels of a metre each, every 50 metres, from (0, 0) eastwards and southwards.
pub(crate) fn grid_rows(columns: usize, rows: usize) -> Vec<Row> {
    (0..rows * columns)
        .map(|i| Row::at(i, (i % columns) as f64 * 50.0, -((i / columns) as f64) * 50.0))
        .collect()
}

/// A manifest to be written.
pub(crate) struct ManifestBuilder {
    pub(crate) rows: Vec<Row>,
    pub(crate) schema: String,
    pub(crate) geo: Option<String>,
    pub(crate) properties: WriterPropertiesBuilder,
    /// Rows in a row group.
    pub(crate) group: usize,
}

impl ManifestBuilder {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        Self { rows, schema: SCHEMA.to_owned(), geo: None, properties, group: usize::MAX }
    }

    pub(crate) fn compression(mut self, compression: Compression) -> Self {
        self.properties = self.properties.set_compression(compression);
        self
    }

    pub(crate) fn without(mut self, column: &str) -> Self {
        let lines = self.schema.lines().filter(|line| !line.contains(&format!(" {column}")));
        self.schema = lines.collect::<Vec<_>>().join("\n");
        self
    }

    /// The bytes of the file.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(&self.schema).unwrap());
        let geo = self.geo.map(|json| vec![KeyValue::new("geo".to_owned(), json)]);
        let properties = Arc::new(self.properties.set_key_value_metadata(geo).build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema.clone(), properties).unwrap();
        for rows in self.rows.chunks(self.group.min(self.rows.len().max(1))) {
            let mut group = writer.next_row_group().unwrap();
            for field in schema.get_fields() {
                let mut column = group.next_column().unwrap().unwrap();
                let name = field.name();
                if field.get_physical_type() == PhysicalType::DOUBLE {
                    let numbers = numbers(rows, name);
                    let levels = vec![1; numbers.len()];
                    let levels = field.is_optional().then_some(&levels[..]);
                    column.typed::<DoubleType>().write_batch(&numbers, levels, None).unwrap();
                } else if field.get_physical_type() == PhysicalType::INT32 {
                    // Arrow's column of nulls without a type.
                    let levels = vec![0; rows.len()];
                    column.typed::<Int32Type>().write_batch(&[], Some(&levels), None).unwrap();
                } else {
                    let cells: Vec<_> = rows.iter().map(|row| cell(row, name)).collect();
                    let levels: Vec<i16> = cells.iter().map(|cell| cell.is_some().into()).collect();
                    let values: Vec<_> = cells.into_iter().flatten().map(ByteArray::from).collect();
                    let levels = field.is_optional().then_some(&levels[..]);
                    column.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
                }
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    /// Writes `manifest.parquet` into a directory, which is made.
    pub(crate) fn write(self, directory: &Path) -> PathBuf {
        std::fs::create_dir_all(directory).unwrap();
        let path = directory.join("manifest.parquet");
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// The numbers of a column; the first coordinate for columns that hold none.
fn numbers(rows: &[Row], name: &str) -> Vec<f64> {
    let axis = usize::from(name == "chip_center_y");
    rows.iter().map(|row| row.center[axis]).collect()
}

fn cell(row: &Row, name: &str) -> Option<Vec<u8>> {
    let text = |text: &String| Some(text.clone().into_bytes());
    match name {
        "feature_path" => row.feature_path.clone().map(String::into_bytes),
        "chip_id" => row.chip_id.clone().map(String::into_bytes),
        "source_path" => Some(b"/home/gis/geo/RGB.byte.tif".to_vec()),
        "checkpoint_path" => text(&row.checkpoint_path),
        "model_type" => text(&row.model_type),
        "transform" => text(&row.transform),
        "shape" => text(&row.shape),
        "crs" => text(&row.crs).filter(|crs| crs != NULL.as_bytes()),
        "dst_shape" => text(&row.dst_shape),
        "geometry" => row.geometry.clone(),
        "chip_center_x" => text(&row.center[0].to_string()),
        other => panic!("no column {other}"),
    }
}

/// A little-endian TIFF that has the directory of a v1 feature file and no pixels.
pub(crate) struct V1Tiff {
    pub(crate) bands: u16,
    pub(crate) bounds: [f64; 4],
    pub(crate) epsg: u16,
    /// GDAL's metadata as (name, value).
    pub(crate) tags: Vec<(&'static str, String)>,
}

impl V1Tiff {
    pub(crate) fn new(bounds: [f64; 4]) -> Self {
        let tags = vec![
            ("img_shape", "(3, 1024, 1024)".to_owned()),
            ("input_shape", "(3, 1024, 1024)".to_owned()),
            ("model_type", "vit_b".to_owned()),
        ];
        Self { bands: 256, bounds, epsg: 32647, tags }
    }

    pub(crate) fn write(&self, path: &Path) {
        let [w, s, e, n] = self.bounds;
        let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let shorts = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let items: String =
            self.tags.iter().map(|(name, value)| format!("<Item name=\"{name}\">{value}</Item>")).collect();
        let xml = format!("<GDALMetadata>{items}</GDALMetadata>\0").into_bytes();
        let keys = shorts(&[1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, self.epsg]);
        let one = |value: u16| shorts(&[value]);
        let strips = 2 * usize::from(self.bands);
        // (tag, type, count, value)
        let entries: Vec<(u16, u16, usize, Vec<u8>)> = vec![
            (256, 3, 1, one(64)),
            (257, 3, 1, one(64)),
            (258, 3, usize::from(self.bands), shorts(&vec![32; usize::from(self.bands)])),
            (259, 3, 1, one(1)),
            (262, 3, 1, one(1)),
            (273, 4, strips, vec![8; 4 * strips]),
            (277, 3, 1, one(self.bands)),
            (278, 3, 1, one(32)),
            (279, 4, strips, vec![0; 4 * strips]),
            (284, 3, 1, one(2)),
            (339, 3, usize::from(self.bands), shorts(&vec![3; usize::from(self.bands)])),
            (33550, 12, 3, doubles(&[(e - w) / 64.0, (n - s) / 64.0, 0.0])),
            (33922, 12, 6, doubles(&[0.0, 0.0, 0.0, w, n, 0.0])),
            (34735, 3, keys.len() / 2, keys),
            (42112, 2, xml.len(), xml),
        ];
        let mut head = vec![b'I', b'I', 42, 0, 8, 0, 0, 0];
        head.extend((entries.len() as u16).to_le_bytes());
        let mut offset = 8 + 2 + 12 * entries.len() + 4;
        let mut values = Vec::new();
        for (tag, kind, count, mut value) in entries {
            head.extend(tag.to_le_bytes());
            head.extend(kind.to_le_bytes());
            head.extend((count as u32).to_le_bytes());
            if value.len() <= 4 {
                value.resize(4, 0);
                head.extend(value);
            } else {
                head.extend((offset as u32).to_le_bytes());
                offset += value.len();
                values.extend(value);
            }
        }
        head.extend([0; 4]);
        head.extend(values);
        std::fs::write(path, head).unwrap();
    }
}
