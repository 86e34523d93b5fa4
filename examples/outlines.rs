//! Outlines of masks: right angles, smoothed, or along pixel edges.
//!
//! ```text
//! cargo run --release --example outlines -- [--right-angles] [--smooth PIXELS] [--tolerance PIXELS] < masks.txt
//! ```
//!
//! Reads a mask a line, `HEIGHT WIDTH HEX`: rows of bits, each row padded to whole bytes, as NumPy's `packbits` along the second
//! axis makes them. Writes a line of JSON for each: the MultiPolygon of its outlines in pixels (y down), whether each has right
//! angles, and the microseconds that drawing took. `benches/compare/outlines.py` compares them with others'.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use geosam_edge::mask::{Mask, PixelRings, polygonize};
use geosam_edge::outline::{Outlines, Shaping, draw};
use serde_json::{Value, json};

/// Pixels are as wide as high.
const SQUARE: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];

fn main() -> Result<(), Box<dyn Error>> {
    let mut shaping = Shaping::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut number =
            || arguments.next().ok_or("a number is missing")?.parse().map_err(Box::<dyn Error>::from);
        match flag.as_str() {
            "--right-angles" => shaping.right_angles = true,
            "--smooth" => shaping.smooth = number()?,
            "--tolerance" => shaping.tolerance = Some(number()?),
            _ => {
                return Err(
                    "usage: outlines [--right-angles] [--smooth PIXELS] [--tolerance PIXELS] < masks.txt"
                        .into(),
                );
            }
        }
    }
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let polygons = polygonize(&read(&line?)?);
        let rings: Vec<&PixelRings> = polygons.iter().map(|polygon| &polygon.rings).collect();
        let start = Instant::now();
        let outlines = draw(&rings, &shaping, |_, _| SQUARE);
        let microseconds = start.elapsed().as_secs_f64() * 1e6;
        writeln!(output, "{}", told(&outlines, microseconds))?;
    }
    Ok(())
}

fn read(line: &str) -> Result<Mask, Box<dyn Error>> {
    let mut parts = line.split_ascii_whitespace();
    let mut part = || parts.next().ok_or("a line is HEIGHT WIDTH HEX");
    let (height, width, hex) = (part()?.parse()?, part()?.parse()?, part()?);
    let byte = |place: usize| u8::from_str_radix(hex.get(place..place + 2).unwrap_or("?"), 16);
    let bytes = (0..hex.len()).step_by(2).map(byte).collect::<Result<Vec<u8>, _>>()?;
    Ok(Mask::from_packed(height, width, &bytes)?)
}

fn told(outlines: &Outlines, microseconds: f64) -> Value {
    let grid = outlines.grid;
    let at = |axis: usize, v: i32| f64::from(grid.origin[axis]) + f64::from(v) / f64::from(grid.parts);
    let ring = |ring: &[[i32; 2]]| ring.iter().map(|&[x, y]| [at(0, x), at(1, y)]).collect::<Vec<_>>();
    let polygons: Vec<Vec<_>> =
        outlines.outlines.iter().map(|outline| outline.rings.rings().map(ring).collect()).collect();
    let kept: Vec<Option<bool>> = outlines.outlines.iter().map(|outline| outline.right_angles).collect();
    json!({"type": "MultiPolygon", "coordinates": polygons, "right_angles": kept, "microseconds": microseconds})
}
