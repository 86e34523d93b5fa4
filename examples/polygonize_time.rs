//! How long masks take to become polygons, and polygons to become simple ones.
//!
//! ```text
//! cargo run --release --example polygonize_time -- mask.png...
//! cargo run --release --example polygonize_time -- --generate 1024
//! ```
//!
//! Takes grayscale PNG files in which any value but 0 is set, or generates masks of a given side:
//! blobs of several sizes, and noise. Prints one JSON line a mask, with the least of several times
//! in milliseconds; `benches/polygonize_time.py` compares them with rasterio's and shapely's.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

use geosam_edge::mask::{Mask, PixelPolygon, Simplifier, polygonize, upscale};
use ndarray::Array2;

/// geosam's tolerance for simplified polygons, in pixels.
const TOLERANCE: f64 = 1.5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, side] if flag == "--generate" => {
            for (name, mask) in generated(side.parse()?)? {
                report(&name, &mask);
            }
        }
        [] => return Err("usage: polygonize_time MASK.png... | --generate SIDE".into()),
        files => {
            for file in files {
                report(file, &read(file).map_err(|error| format!("{file}: {error}"))?);
            }
        }
    }
    Ok(())
}

/// Prints one line on a mask.
fn report(name: &str, mask: &Mask) {
    let (polygonized, polygons) = least_time(|| polygonize(mask));
    let mut simplifier = Simplifier::default();
    let (simplified, simple) = least_time(|| {
        polygons.iter().map(|region| simplifier.simplify(&region.rings, TOLERANCE)).collect::<Vec<_>>()
    });
    let rings: usize = polygons.iter().map(|region| region.rings.ring_count()).sum();
    let vertices = |region: &PixelPolygon| region.rings.vertex_count();
    println!(
        "{}",
        serde_json::json!({
            "name": name,
            "height": mask.height(),
            "width": mask.width(),
            "polygons": polygons.len(),
            "rings": rings,
            "vertices": polygons.iter().map(vertices).sum::<usize>(),
            "simplified_vertices": simple.iter().map(|rings| rings.vertex_count()).sum::<usize>(),
            "polygonize_ms": polygonized.as_secs_f64() * 1e3,
            "simplify_ms": simplified.as_secs_f64() * 1e3,
        })
    );
}

/// The least time of several runs, in about a second at most, and what the last one returned.
fn least_time<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let mut least = Duration::MAX;
    loop {
        let start = Instant::now();
        let result = run();
        least = least.min(start.elapsed());
        if begin.elapsed() > Duration::from_millis(700) {
            return (least, result);
        }
    }
}

/// Reads a grayscale PNG of one to eight bits.
fn read(path: &str) -> Result<Mask, Box<dyn Error>> {
    let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let frame = reader.next_frame(&mut bytes)?;
    if frame.color_type != png::ColorType::Grayscale {
        return Err("not a grayscale PNG".into());
    }
    let pixels: Vec<bool> = bytes.iter().map(|&value| value != 0).collect();
    Ok(Mask::from_pixels(frame.height as usize, frame.width as usize, &pixels)?)
}

/// Masks from logits of waves of several lengths, and of noise.
fn generated(side: usize) -> Result<Vec<(String, Mask)>, Box<dyn Error>> {
    let mut state = 1u64;
    let mut noise = move || {
        // Xorshift: any generator will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let mut masks = Vec::new();
    for (name, length, share) in [("blobs", 60.0, 0.0), ("small blobs", 9.0, 0.1), ("noisy logits", 9.0, 3.0)]
    {
        let logits = Array2::from_shape_fn((256, 256), |(row, col)| {
            let (y, x) = (row as f32 / length, col as f32 / length);
            (x + y / 3.0).sin() + (y - x / 2.0).sin() + (x * 0.7 + y * 1.1).cos() + share * noise()
        });
        masks.push((name.to_owned(), upscale(logits.view(), (side, side), (1024, 1024), (side, side))?));
    }
    let pixels: Vec<bool> = (0..side * side).map(|_| noise() > 0.0).collect();
    masks.push(("noise".to_owned(), Mask::from_pixels(side, side, &pixels)?));
    Ok(masks)
}
