//! `footprint`: where the chips of a folder lie, as a drawing.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::CliError;
use super::output::Output;
use crate::catalog::{ChipRef, Folder};
use crate::engine::ServedFolder;
use crate::geo::Bounds;
use crate::picture::{ScaleBar, metres_per_unit};

const EXAMPLES: &str = "\
Examples:
  geosam-edge footprint /card/beiluhe --output beiluhe.svg";

/// Longer side of the extent in the drawing.
const SIDE: f64 = 1000.0;
/// Room around it.
const MARGIN: f64 = 20.0;
/// Room below for the scale bar and the legend.
const FOOT: f64 = 50.0;
/// With more chips, their ids would only blacken the drawing.
const IDS_UP_TO: usize = 400;

/// Draw the chips of a folder over its extent, as an SVG.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder or its manifest.
    pub folder: PathBuf,

    /// Where the drawing goes; `-` is standard output.
    #[arg(long, value_name = "FILE.svg|-", default_value = "-")]
    pub output: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let mut folders = Folder::discover(&self.folder)?.into_folders()?;
        if folders.len() > 1 {
            let names: Vec<&str> = folders.iter().map(Folder::name).collect();
            let told =
                format!("{} holds several folders; name one of {}", self.folder.display(), names.join(", "));
            return Err(CliError::Usage(told));
        }
        let Some(folder) = folders.pop() else {
            return Err(CliError::Usage(format!("{} holds no folder", self.folder.display())));
        };
        let drawing = Drawing::new(ServedFolder::new(folder.name().to_owned(), folder))?;
        let mut output = Output::create(&self.output)?;
        drawing.write(&mut output)?;
        output.finish()?;
        Ok(true)
    }
}

struct Drawing {
    served: ServedFolder,
    extent: Bounds,
    /// Drawing units in one unit of the CRS.
    scale: f64,
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

    /// World to drawing: y grows downwards there.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (MARGIN + (x - self.extent.min_x) * self.scale, MARGIN + (self.extent.max_y - y) * self.scale)
    }

    fn write(&self, output: &mut Output) -> Result<(), CliError> {
        let (width, height) = self.extent.size();
        let (width, height) = (width * self.scale, height * self.scale);
        let (all_width, all_height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN + FOOT);
        output.text(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all_width:.1} {all_height:.1}\" \
             font-family=\"sans-serif\">\n<title>{name}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <rect x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"#eee\"/>\n\
             <g fill=\"#1f77b4\" fill-opacity=\"0.15\" stroke=\"#1f77b4\" stroke-width=\"1.5\">",
            name = escaped(&self.served.name),
        ))?;
        for chip in self.served.folder.chips() {
            let points = corners(&chip).map(|corner| self.place(corner));
            let points = points.map(|(x, y)| format!("{x:.2},{y:.2}")).join(" ");
            output.text(&format!("<polygon points=\"{points}\"/>"))?;
        }
        output.text("</g>\n<g font-size=\"14\" text-anchor=\"middle\" fill=\"#222\">")?;
        if self.served.folder.len() <= IDS_UP_TO {
            for chip in self.served.folder.chips() {
                let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
                let (x, y) = self.place(chip.affine.apply(width / 2.0, height / 2.0));
                output.text(&format!("<text x=\"{x:.2}\" y=\"{y:.2}\">{}</text>", escaped(chip.id)))?;
            }
        }
        output.text("</g>")?;
        output.text(&self.foot(height + MARGIN))?;
        output.text("</svg>")
    }

    /// The scale bar, and what is drawn.
    fn foot(&self, top: f64) -> String {
        let folder = &self.served.folder;
        let legend = format!("{}: {} chips, {}", self.served.name, folder.len(), folder.crs().short());
        let mut text = format!(
            "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"14\" fill=\"#222\">{}</text>",
            top + 50.0,
            escaped(&legend)
        );
        let metres_per_unit = self.served.crs().ok().map(|crs| metres_per_unit(crs, self.extent.center().1));
        let quarter = self.extent.size().0 / 4.0;
        let bar = metres_per_unit.and_then(|metres| Some((metres, ScaleBar::within(quarter * metres)?)));
        if let Some((metres, bar)) = bar {
            let length = bar.metres / metres * self.scale;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n<rect x=\"{MARGIN}\" y=\"{:.1}\" width=\"{length:.2}\" height=\"4\" fill=\"#222\"/>\n\
                 <text x=\"{:.2}\" y=\"{:.1}\" font-size=\"14\" fill=\"#222\">{}</text>",
                top + 20.0,
                MARGIN + length + 8.0,
                top + 27.0,
                bar.label
            );
        }
        text
    }
}

/// The corners of the chip's pixels in its CRS, in order around it.
fn corners(chip: &ChipRef<'_>) -> [(f64, f64); 4] {
    let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
    [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)].map(|(col, row)| chip.affine.apply(col, row))
}

/// Text for XML, in which control characters may not stand at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_cannot_break_out_of_the_drawing() {
        assert_eq!(escaped("<a b=\"c\">&\u{7}"), "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}");
    }
}
