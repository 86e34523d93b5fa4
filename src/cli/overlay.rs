//! `segment --overlay`: the picture of an answer as a file.

use std::path::Path;

use super::CliError;
use super::output::Output;
use crate::engine::Segmentation;
use crate::picture::{Backdrop, Overlay, metres_per_unit};

/// Draws the first mask of an answer over the raster beside its folder, and writes it as PNG.
pub(super) fn write(segmentation: &Segmentation, foreground: &[bool], path: &Path) -> Result<(), CliError> {
    if path == Path::new("-") {
        let message = "--overlay needs the name of a file: standard output is for the GeoJSON";
        return Err(CliError::Usage(message.to_owned()));
    }
    let served = segmentation.folder();
    let chip = served.chip(segmentation.chip())?;
    let backdrop = Backdrop::find(served.folder.root(), &chip, served.folder.crs().epsg);
    for problem in &backdrop.problems {
        eprintln!("warning: {problem}");
    }
    let overlay = Overlay {
        chip: &chip,
        mask: &segmentation.first_mask,
        prompt: &segmentation.prompt,
        foreground,
        metres_per_unit: served.crs().ok().map(|crs| metres_per_unit(crs, chip.center.1)),
    };
    let mut png = Vec::new();
    overlay.draw(backdrop).write_png(&mut png)?;
    let mut output = Output::create(path)?;
    output.bytes(&png)?;
    output.finish()
}
