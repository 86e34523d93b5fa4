//! Measures a folder of a million chips: time to open it, memory of the process, time to choose a chip.
//!
//! ```text
//! cargo run --release --example million_chips            # writes a manifest, opens it
//! cargo run --release --example million_chips -- DIR     # opens the folder in DIR
//! ```
//!
//! The manifest is written by a process of its own, so that its memory is not counted.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use geosam_edge::catalog::{Folder, PromptGeometry};
use geosam_edge::geo::Bounds;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Chips along each side: a million in all.
const SIDE: usize = 1000;
/// Chips overlap by half.
const STRIDE: usize = 512;
const CHIP: usize = 1024;
/// Metres of a pixel; a number whose decimals are many, as those of real rasters are.
const PIXEL: f64 = 0.300_037_926_675_094_8;

const COLUMNS: [&str; 12] = [
    "feature_path",
    "chip_id",
    "source_path",
    "checkpoint_path",
    "model_type",
    "transform",
    "shape",
    "crs",
    "dst_shape",
    "chip_center_x",
    "chip_center_y",
    "geometry",
];

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--write"), Some(directory)) => write_manifest(Path::new(&directory))?,
        (Some(directory), None) => measure(Path::new(directory))?,
        (None, None) => {
            let directory = std::env::temp_dir().join(format!("million-chips-{}", std::process::id()));
            std::fs::create_dir_all(&directory)?;
            let program = std::env::current_exe()?;
            let status = Command::new(program).arg("--write").arg(&directory).status()?;
            let measured = if status.success() { measure(&directory) } else { Ok(()) };
            std::fs::remove_dir_all(&directory)?;
            measured?;
        }
        _ => {
            eprintln!("usage: million_chips [DIR]");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// (x, y) of the north-western corner of a chip.
fn origin(i: usize) -> (f64, f64) {
    let (column, row) = (i % SIDE, i / SIDE);
    (101_985.0 + (column * STRIDE) as f64 * PIXEL, 2_826_915.0 - (row * STRIDE) as f64 * PIXEL)
}

fn center(i: usize) -> (f64, f64) {
    let (x, y) = origin(i);
    (x + CHIP as f64 / 2.0 * PIXEL, y - CHIP as f64 / 2.0 * PIXEL)
}

fn cell(name: &str, i: usize) -> Vec<u8> {
    let (x, y) = origin(i);
    match name {
        "feature_path" => format!("/home/gis/geo/large_layer/features/chip_{i:06}.pt").into_bytes(),
        "chip_id" => format!("chip_{i:06}").into_bytes(),
        "source_path" => b"/home/gis/geo/large_layer.tif".to_vec(),
        "checkpoint_path" => b"/home/gis/geo/sam2.1_t.pt".to_vec(),
        "model_type" => b"sam2".to_vec(),
        "transform" => format!("[{PIXEL:?}, 0.0, {x:?}, 0.0, {:?}, {y:?}]", -PIXEL).into_bytes(),
        "shape" | "dst_shape" => b"[1024, 1024]".to_vec(),
        "crs" => b"EPSG:32618".to_vec(),
        _ => {
            let side = CHIP as f64 * PIXEL;
            let ring = [[x + side, y - side], [x + side, y], [x, y], [x, y - side], [x + side, y - side]];
            let mut wkb = vec![1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0];
            wkb.extend(ring.iter().flatten().flat_map(|v| v.to_le_bytes()));
            wkb
        }
    }
}

/// Writes a manifest as pandas would: Snappy, one row group, dictionaries where they serve.
fn write_manifest(directory: &Path) -> Result<()> {
    let fields = COLUMNS.map(|name| match name {
        "chip_center_x" | "chip_center_y" => format!("OPTIONAL DOUBLE {name};"),
        "geometry" => format!("OPTIONAL BYTE_ARRAY {name};"),
        _ => format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"),
    });
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {} }}", fields.join(" ")))?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let path: PathBuf = directory.join("manifest.parquet");
    let mut writer = SerializedFileWriter::new(std::fs::File::create(path)?, schema, properties)?;
    let mut group = writer.next_row_group()?;
    let levels = vec![1_i16; SIDE];
    for name in COLUMNS {
        let mut column = group.next_column()?.context("a column is missing")?;
        for start in (0..SIDE * SIDE).step_by(SIDE) {
            let rows = start..start + SIDE;
            if let Some(axis) = ["chip_center_x", "chip_center_y"].iter().position(|c| *c == name) {
                let numbers: Vec<f64> = rows.map(|i| [center(i).0, center(i).1][axis]).collect();
                column.typed::<DoubleType>().write_batch(&numbers, Some(&levels), None)?;
            } else {
                let cells: Vec<ByteArray> = rows.map(|i| cell(name, i).into()).collect();
                column.typed::<ByteArrayType>().write_batch(&cells, Some(&levels), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

/// A line of `/proc/self/status`, in megabytes.
fn memory(key: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or_else(|| "unknown".to_owned(), |kb| format!("{:.0} MB", kb / 1024.0))
}

/// Time that this process spent on a processor; on a busy machine it says more than a clock.
fn processor_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = schedstat.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Nanoseconds of processor time of one call among `rounds`.
fn nanoseconds(rounds: u32, mut call: impl FnMut(u32)) -> f64 {
    let start = processor_time();
    (0..rounds).for_each(&mut call);
    (processor_time() - start).as_nanos() as f64 / f64::from(rounds)
}

fn measure(directory: &Path) -> Result<()> {
    let before = memory("VmRSS");
    let (clock, processor) = (Instant::now(), processor_time());
    let folders = Folder::discover(directory)?.into_folders()?;
    let (clock, processor) = (clock.elapsed(), processor_time() - processor);
    let folder = folders.first().context("no folder")?;
    println!("chips             {}", folder.len());
    println!(
        "open              {:.3} s ({:.3} s of processor time)",
        clock.as_secs_f64(),
        processor.as_secs_f64()
    );
    println!("memory before     {before}");
    println!("memory after      {} (highest {})", memory("VmRSS"), memory("VmHWM"));
    println!("table and index   {:.0} MB", folder.memory() as f64 / 1e6);

    let extent = folder.summary().extent;
    let [west, south, east, north] = extent;
    // Positions that fill the extent evenly (the fractional parts of multiples of two irrationals).
    let place = |i: u32| {
        let (u, v) = ((f64::from(i) * 0.754_877_666).fract(), (f64::from(i) * 0.569_840_291).fract());
        (west + u * (east - west), south + v * (north - south))
    };
    let rounds = 100_000_u32;
    let mut found = 0_u32;
    let by_point = nanoseconds(rounds, |i| {
        let prompt = PromptGeometry { points: vec![place(i)], bbox: None };
        found += u32::from(folder.choose(&prompt).is_ok());
    });
    println!("choose by a point {by_point:.0} ns ({found} of {rounds} found)");
    let by_box = nanoseconds(rounds, |i| {
        let (x, y) = place(i);
        let prompt = PromptGeometry { points: vec![], bbox: Some(Bounds::new(x, y, x + 20.0, y + 10.0)) };
        std::hint::black_box(folder.choose(&prompt).is_ok());
    });
    println!("choose by a box   {by_box:.0} ns");
    let outside = nanoseconds(rounds, |i| {
        let (x, y) = place(i);
        let prompt = PromptGeometry { points: vec![(x, y + 2.0 * (north - south))], bbox: None };
        std::hint::black_box(folder.choose(&prompt).is_ok());
    });
    println!("nearest, outside  {outside:.0} ns");
    Ok(())
}
