//! `footprint`: where the chips of a folder lie, as a drawing. How it is drawn is in `footprint_svg` and
//! `footprint_png`.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::CliError;
use super::output::Output;
use super::{footprint_png, footprint_svg};
use crate::catalog::{ChipRef, Folder};
use crate::engine::ServedFolder;
use crate::geo::Bounds;
use crate::picture::{ScaleBar, ground_distance};

const EXAMPLES: &str = "\
Examples:
  geosam-edge footprint /card/beiluhe --output beiluhe.svg
  geosam-edge footprint /card/beiluhe --output beiluhe.png";

/// Longer side of the extent in the drawing.
const SIDE: f64 = 1000.0;
/// Room around it.
pub(super) const MARGIN: f64 = 20.0;
/// Room below for the scale bar and the legend.
pub(super) const FOOT: f64 = 50.0;
/// With more chips, their ids would only blacken the drawing.
pub(super) const IDS_UP_TO: usize = 400;

/// Draw the chips of a folder over its extent, as SVG or PNG.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder or its manifest.
    pub folder: PathBuf,

    /// Where the drawing goes: an SVG with the chips' ids, or a PNG with their places in the manifest; `-`
    /// writes the SVG to standard output.
    #[arg(long, value_name = "FILE.svg|FILE.png|-", default_value = "-")]
    pub output: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let folder = only_folder(&self.folder)?;
        let drawing = Drawing::new(ServedFolder::new(folder.name().to_owned(), folder))?;
        let extension = self.output.extension().unwrap_or_default().to_ascii_lowercase();
        let png = match extension.to_str() {
            Some("png") => Some(footprint_png::bytes(&drawing)?),
            // Standard output, and files without an ending.
            Some("svg" | "") => None,
            _ => {
                let told = format!("{}: the drawing is written as .svg or .png", self.output.display());
                return Err(CliError::Usage(told));
            }
        };
        let mut output = Output::create(&self.output)?;
        match png {
            Some(png) => output.bytes(&png)?,
            None => footprint_svg::write(&drawing, &mut output)?,
        }
        output.finish()?;
        Ok(true)
    }
}

/// The chips and their place in a drawing, whatever its format.
pub(super) struct Drawing {
    pub served: ServedFolder,
    pub extent: Bounds,
    /// Drawing units, which are pixels of a PNG, in one unit of the CRS.
    pub scale: f64,
}

impl Drawing {
    fn new(served: ServedFolder) -> Result<Self, CliError> {
        let corners = served.folder.chips().flat_map(|chip| corners(&chip));
        let extent = Bounds::around(corners).filter(|b| b.size().0 > 0.0 && b.size().1 > 0.0);
        let extent =
            extent.ok_or_else(|| CliError::Usage(format!("{} has no chips to draw", served.name)))?;
        let (width, height) = extent.size();
        Ok(Self { served, extent, scale: SIDE / width.max(height) })
    }

    /// Width and height of the extent in the drawing.
    pub fn size(&self) -> (f64, f64) {
        let (width, height) = self.extent.size();
        (width * self.scale, height * self.scale)
    }

    /// The scale bar and its length in the drawing; none where the CRS is not supported.
    pub fn scale_bar(&self) -> Option<(ScaleBar, f64)> {
        // What a unit is worth in the middle, by a thousandth of the width.
        let (x, y) = self.extent.center();
        let step = self.extent.size().0 / 1000.0;
        let metres = ground_distance(self.served.crs().ok()?, (x, y), (x + step, y))? / step;
        let bar = ScaleBar::within(self.extent.size().0 / 4.0 * metres)?;
        let length = bar.metres / metres * self.scale;
        Some((bar, length))
    }

    /// The corners of a chip's pixels in the drawing, in order around it.
    pub fn outline(&self, chip: &ChipRef<'_>) -> [(f64, f64); 4] {
        corners(chip).map(|corner| self.place(corner))
    }

    /// The middle of a chip's pixels in the drawing.
    pub fn middle(&self, chip: &ChipRef<'_>) -> (f64, f64) {
        let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
        self.place(chip.affine.apply(width / 2.0, height / 2.0))
    }

    /// World to drawing: y grows downwards there.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (MARGIN + (x - self.extent.min_x) * self.scale, MARGIN + (self.extent.max_y - y) * self.scale)
    }
}

/// The folder at a path.
///
/// # Errors
/// None or several, or what is wrong with it.
pub(super) fn only_folder(path: &Path) -> Result<Folder, CliError> {
    let mut folders = Folder::discover(path)?.into_folders()?;
    if folders.len() > 1 {
        let names: Vec<&str> = folders.iter().map(Folder::name).collect();
        let told = format!("{} holds several folders; name one of {}", path.display(), names.join(", "));
        return Err(CliError::Usage(told));
    }
    folders.pop().ok_or_else(|| CliError::Usage(format!("{} holds no folder", path.display())))
}

/// The corners of the chip's pixels in its CRS, in order around it.
pub(super) fn corners(chip: &ChipRef<'_>) -> [(f64, f64); 4] {
    let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
    [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)].map(|(col, row)| chip.affine.apply(col, row))
}
