//! The drawing of `footprint` as PNG: each chip with its place in the manifest.

use super::CliError;
use super::footprint::{Drawing, FOOT, IDS_UP_TO, MARGIN};
use crate::picture::{Canvas, Rgb};

const WHITE: Rgb = [255, 255, 255];
const EXTENT: Rgb = [238, 238, 238];
const CHIP: Rgb = [31, 119, 180];
const INK: Rgb = [34, 34, 34];
/// Pixels of a letter's dot.
const DOT: f64 = 3.0;

/// The drawing as the bytes of a file.
pub(super) fn bytes(drawing: &Drawing) -> Result<Vec<u8>, CliError> {
    let (width, height) = drawing.size();
    // At most 1000 pixels and the margins.
    let side = |length: f64| (length + 2.0 * MARGIN).ceil() as usize;
    let mut canvas = Canvas::new(side(width), side(height + FOOT), WHITE);
    canvas.fill([MARGIN, MARGIN, MARGIN + width, MARGIN + height], EXTENT, 1.0);
    let folder = &drawing.served.folder;
    for chip in folder.chips() {
        canvas.polygon(&drawing.outline(&chip), CHIP, 0.15);
    }
    for chip in folder.chips() {
        let corners = drawing.outline(&chip);
        for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
            canvas.line(*from, *to, 2.0, CHIP);
        }
    }
    if folder.len() <= IDS_UP_TO {
        for chip in folder.chips() {
            let (x, y) = drawing.middle(&chip);
            let number = chip.index.to_string();
            // Three dots a digit, and one between two. Where chips overlap, edges of others cross the middle.
            let half = (number.len() * 4 - 1) as f64 * DOT / 2.0;
            canvas.disc((x, y), half + 3.0 * DOT, WHITE);
            canvas.text((x - half, y - 2.5 * DOT), &number, DOT, INK);
        }
    }
    if let Some((bar, length)) = drawing.scale_bar() {
        let top = height + MARGIN + 20.0;
        canvas.fill([MARGIN, top, MARGIN + length, top + 4.0], INK, 1.0);
        canvas.text((MARGIN, top + 10.0), &bar.label, DOT, INK);
    }
    let mut png = Vec::new();
    canvas.write_png(&mut png)?;
    Ok(png)
}
