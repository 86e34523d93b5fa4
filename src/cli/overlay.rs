//! `segment --overlay`: the picture of an answer as a file.

use std::path::Path;

use super::CliError;
use super::output::{Output, note};
use super::segment_args::is_same_file;
use crate::engine::Segmentation;
use crate::picture::{Backdrop, Overlay, Wanted, metres_per_pixel};

/// Draws the first mask of an answer over the raster beside its folder, and writes it as PNG.
///
/// # Errors
/// A `raster` that the user named and that cannot be shown, or a file that cannot be written.
pub(super) fn write(
    segmentation: &Segmentation,
    foreground: &[bool],
    path: &Path,
    raster: Option<&Path>,
) -> Result<(), CliError> {
    if path == Path::new("-") {
        let message = "--overlay needs the name of a file: standard output is for the GeoJSON";
        return Err(CliError::Usage(message.to_owned()));
    }
    let served = segmentation.folder();
    // An object over several chips is shown whole.
    let mask = &segmentation.first_mask;
    let chip =
        served.chip(segmentation.chip())?.seen_as(segmentation.affine(), (mask.height(), mask.width()));
    let epsg = served.folder.crs().epsg;
    let backdrop = match raster {
        Some(raster) => Backdrop::of(raster, &chip, epsg)?,
        None => {
            let names = served.folder.raster_names();
            let backdrop = Backdrop::find(served.folder.root(), &chip, Wanted { epsg, names });
            tell(&backdrop);
            backdrop
        }
    };
    let overlay = Overlay {
        chip: &chip,
        mask,
        prompt: &segmentation.prompt,
        foreground,
        metres_per_pixel: served.crs().ok().and_then(|crs| metres_per_pixel(crs, &chip)),
    };
    let mut png = Vec::new();
    let shown = backdrop.raster.clone();
    overlay.draw(backdrop).write_png(&mut png)?;
    if let Some(raster) = shown.filter(|raster| is_same_file(raster, path)) {
        let message = format!(
            "--overlay is the raster {} itself, which would be lost; name another file",
            raster.display()
        );
        return Err(CliError::Usage(message));
    }
    let mut output = Output::create(path)?;
    output.bytes(&png)?;
    output.finish()
}

/// Most rasters that are told of where none can be used.
const MOST_TOLD: usize = 5;

/// Which raster is shown, or why there is none.
fn tell(backdrop: &Backdrop) {
    for problem in backdrop.problems.iter().take(MOST_TOLD) {
        note(&format_args!("warning: {problem}"));
    }
    if let Some(more) = backdrop.problems.len().checked_sub(MOST_TOLD + 1) {
        note(&format_args!("warning: {} more rasters cannot be used", more + 1));
    }
    match &backdrop.raster {
        Some(raster) => note(&format_args!("the picture shows {}", raster.display())),
        None if backdrop.problems.is_empty() => {
            note(&"the picture has no raster: copy it beside the folder as GeoTIFF, or name it with --raster")
        }
        None => note(&"the picture has no raster: none of these can be shown; --raster names another"),
    }
}
