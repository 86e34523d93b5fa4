//! Pictures of what was answered, made from the GeoJSON alone: in the terminal, and over the raster as PNG.

use std::path::Path;

use serde_json::Value;

use super::DemoError;
use super::place::Place;
use crate::catalog::ChipRef;
use crate::geo::Affine;
use crate::mask::Mask;
use crate::picture::{Backdrop, Overlay, Wanted, metres_per_pixel};

/// Characters of a drawing in the terminal; one has 2 x 4 dots.
const COLUMNS: usize = 44;
const ROWS: usize = 9;

/// The rings of a GeoJSON geometry, Polygon or MultiPolygon.
pub(super) fn rings(geometry: &Value) -> Vec<Vec<[f64; 2]>> {
    let entries = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let polygons = match geometry["type"].as_str() {
        Some("Polygon") => vec![geometry["coordinates"].clone()],
        Some("MultiPolygon") => entries(&geometry["coordinates"]),
        _ => Vec::new(),
    };
    let rings = polygons.iter().flat_map(entries);
    rings.filter_map(|ring| serde_json::from_value(ring).ok()).collect()
}

/// The rings of all polygons of a response, in the folder's coordinates.
pub(super) fn answered(body: &Value, place: &Place) -> Result<Vec<Vec<(f64, f64)>>, DemoError> {
    let features = body["result"]["features"].as_array().map_or(&[][..], Vec::as_slice);
    let rings = features.iter().flat_map(|feature| rings(&feature["geometry"]));
    rings.map(|ring| ring.into_iter().map(|position| place.native(position)).collect()).collect()
}

/// A drawing of rings in Unicode's Braille dots, one text a line; nothing without rings.
pub(super) fn drawing(rings: &[Vec<(f64, f64)>]) -> Vec<String> {
    let all = rings.iter().flatten().copied();
    let Some(bounds) = crate::geo::Bounds::around(all) else { return Vec::new() };
    let (width, height) = bounds.size();
    let dots = ((2 * COLUMNS) as f64 / width).min((4 * ROWS) as f64 / height);
    if !dots.is_finite() {
        return Vec::new();
    }
    // The conversions saturate, and the sides are at most those above.
    let columns = ((width * dots / 2.0).ceil() as usize).clamp(1, COLUMNS);
    let rows = ((height * dots / 4.0).ceil() as usize).clamp(1, ROWS);
    let place = |&(x, y): &(f64, f64)| ((x - bounds.min_x) * dots, (bounds.max_y - y) * dots);
    let rings: Vec<Vec<(f64, f64)>> = rings.iter().map(|ring| ring.iter().map(place).collect()).collect();
    let pixels = filled(&rings, 2 * columns, 4 * rows);
    let line = |row: usize| (0..columns).map(|column| braille(&pixels, 2 * columns, column, row)).collect();
    (0..rows).map(line).collect()
}

/// The character whose dots are the 2 x 4 pixels there.
fn braille(pixels: &[bool], width: usize, column: usize, row: usize) -> char {
    /// Bits of the dots, row by row.
    const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let mut code = 0x2800;
    for (y, bits) in DOTS.iter().enumerate() {
        for (x, bit) in bits.iter().enumerate() {
            if pixels.get((4 * row + y) * width + 2 * column + x) == Some(&true) {
                code |= bit;
            }
        }
    }
    // All of 0x2800..0x2900 are characters.
    char::from_u32(code).unwrap_or(' ')
}

/// What is drawn over the raster.
pub(super) struct Picture<'a> {
    pub points: &'a [[f64; 2]],
    pub labels: &'a [u8],
    pub bbox: Option<[f64; 4]>,
}

impl Picture<'_> {
    /// Writes the picture of a response as PNG.
    ///
    /// # Errors
    /// The answer names no chip of the folder, or the file cannot be written.
    pub fn write(&self, body: &Value, place: &Place, path: &Path) -> Result<(), DemoError> {
        let id = body["masks"][0]["chip_id"].as_str().unwrap_or_default();
        let folder = &place.served.folder;
        let chip = folder.chips().find(|chip| chip.id == id).ok_or(DemoError::NoChip)?;
        let followed = body["chips"].as_array().map_or(&[][..], Vec::as_slice);
        let all: Vec<ChipRef<'_>> =
            folder.chips().filter(|chip| followed.iter().any(|id| *id == chip.id)).collect();
        let chip = spanning(chip, &all);
        let rings = answered(body, place)?.into_iter();
        let to_pixel = |ring: Vec<(f64, f64)>| ring.into_iter().map(|(x, y)| chip.to_pixel(x, y)).collect();
        let rings: Vec<Vec<(f64, f64)>> = rings.map(to_pixel).collect();
        let (height, width) = chip.shape;
        let pixels = filled(&rings, width, height);
        let mask = Mask::from_pixels(height, width, &pixels)?;
        let foreground: Vec<bool> = self.labels.iter().map(|&label| label == 1).collect();
        let overlay = Overlay {
            chip: &chip,
            mask: &mask,
            prompt: &place.prompt(self.points, self.bbox)?,
            foreground: &foreground,
            metres_per_pixel: place.served.crs().ok().and_then(|crs| metres_per_pixel(crs, &chip)),
        };
        let wanted = Wanted { epsg: folder.crs().epsg, names: folder.raster_names() };
        let backdrop = Backdrop::find(folder.root(), &chip, wanted);
        let mut png = Vec::new();
        overlay.draw(backdrop).write_png(&mut png)?;
        std::fs::write(path, png).map_err(|source| DemoError::Picture { path: path.to_owned(), source })
    }
}

/// The stretch of the raster that a chip and others on its grid cover together.
fn spanning<'a>(chip: ChipRef<'a>, others: &[ChipRef<'_>]) -> ChipRef<'a> {
    let size = |chip: &ChipRef<'_>| (chip.shape.1 as f64, chip.shape.0 as f64);
    let (mut from, mut to) = ((0.0, 0.0), size(&chip));
    for other in others {
        let (col, row) = chip.to_pixel(other.affine.c, other.affine.f);
        let (col, row, (width, height)) = (col.round(), row.round(), size(other));
        from = (f64::min(from.0, col), f64::min(from.1, row));
        to = (f64::max(to.0, col + width), f64::max(to.1, row + height));
    }
    let (c, f) = chip.affine.apply(from.0, from.1);
    let shape = ((to.1 - from.1) as usize, (to.0 - from.0) as usize);
    let affine = Affine { c, f, ..chip.affine };
    chip.seen_as(affine, shape)
}

/// The pixels whose centres lie inside an odd number of rings, row by row.
fn filled(rings: &[Vec<(f64, f64)>], width: usize, height: usize) -> Vec<bool> {
    let mut pixels = vec![false; width * height];
    let mut crossings = Vec::new();
    for (row, line) in pixels.chunks_exact_mut(width.max(1)).enumerate() {
        let y = row as f64 + 0.5;
        crossings.clear();
        for pair in rings.iter().flat_map(|ring| ring.windows(2)) {
            let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
            if (y0 <= y) != (y1 <= y) {
                crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
            }
        }
        crossings.sort_unstable_by(f64::total_cmp);
        for span in crossings.chunks_exact(2) {
            // The conversion saturates.
            let edge = |x: f64| ((x - 0.5).ceil().max(0.0) as usize).min(width);
            line[edge(span[0])..edge(span[1])].fill(true);
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_square_with_a_hole_is_filled_around_it() {
        let square = |a: f64, b: f64| vec![(a, a), (b, a), (b, b), (a, b), (a, a)];
        let pixels = filled(&[square(0.0, 4.0), square(1.0, 3.0)], 5, 5);
        let text: String = pixels.iter().map(|&set| if set { '#' } else { '.' }).collect();
        assert_eq!(text, "####.#..#.#..#.####......");
    }

    #[test]
    fn a_drawing_keeps_the_shape() {
        let ring = vec![(0.0, 0.0), (100.0, 0.0), (100.0, 10.0), (0.0, 10.0), (0.0, 0.0)];
        let lines = drawing(&[ring]);
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].chars().all(|c| c == '\u{28ff}') && lines[0].chars().count() == COLUMNS,
            "{lines:?}"
        );
        assert!(drawing(&[]).is_empty());
    }

    #[test]
    fn rings_of_polygons_and_multipolygons_are_found() {
        let ring = json!([[0, 0], [1, 0], [1, 1], [0, 0]]);
        let polygon = json!({"type": "Polygon", "coordinates": [ring]});
        let multi = json!({"type": "MultiPolygon", "coordinates": [[ring], [ring, ring]]});
        assert_eq!((rings(&polygon).len(), rings(&multi).len(), rings(&json!(null)).len()), (1, 3, 0));
    }
}
