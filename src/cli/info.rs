//! `info`: what a folder holds.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::CliError;
use crate::catalog::{Folder, FolderSummary};
use crate::engine::ServedFolder;

const EXAMPLES: &str = "\
Examples:
  geosam-edge info /card/beiluhe
  geosam-edge info /card --json | jq '.[].chips'";

/// Tell what a folder holds: chips, model, CRS, extent, pixel size, missing chips.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, its manifest, or the directory above several folders.
    pub folder: PathBuf,

    /// Print a JSON array with one object a folder.
    #[arg(long)]
    pub json: bool,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let discovered = Folder::discover(&self.folder)?;
        if !discovered.folders.is_empty() {
            for problem in &discovered.problems {
                eprintln!("warning: {problem}");
            }
        }
        let whole = discovered.problems.is_empty();
        let folders = discovered.into_folders()?.into_iter();
        let summaries: Vec<FolderSummary> =
            folders.map(|folder| ServedFolder::new(folder.name().to_owned(), folder).summary()).collect();
        let mut output = super::output::Output::create("-".as_ref())?;
        if self.json {
            output.json_line(&summaries)?;
        } else {
            for summary in &summaries {
                output.text(&as_text(summary))?;
            }
        }
        output.finish()?;
        Ok(whole)
    }
}

/// What to know of a folder whose raster is rotated against its CRS by so many degrees.
pub(super) fn rotation_warning(degrees: f64) -> String {
    format!(
        "its raster is rotated by {degrees:.1} degrees; geosam 0.1.3 puts the chips of rotated rasters in wrong places (by \
         tens of metres), and so will every answer be: warp the raster first (gdalwarp in.tif out.tif) and encode it again"
    )
}

/// A summary for people, one fact a line.
fn as_text(summary: &FolderSummary) -> String {
    let numbers = |values: &[f64], digits: usize| {
        values.iter().map(|v| format!("{v:.digits$}")).collect::<Vec<_>>().join(", ")
    };
    let degrees = summary.crs.unit.as_deref() == Some("degrees");
    let digits = if degrees { 7 } else { 2 };
    let mut lines = vec![summary.name.clone()];
    let mut fact = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
    fact("long name", summary.long_name.clone());
    fact("path", summary.path.clone());
    let v1 = if summary.v1 { " (written by Geo-SAM v1)" } else { "" };
    fact("chips", format!("{}{v1}", summary.chips));
    fact("model", format!("{}, family {}", summary.model, summary.model_type));
    fact("CRS", summary.crs.short());
    fact("extent", numbers(&summary.extent, digits));
    fact(
        "extent WGS84",
        summary
            .extent_wgs84
            .map_or_else(|| "unknown: the CRS is not supported".to_owned(), |e| numbers(&e, 7)),
    );
    fact("pixel size", numbers(&summary.pixel_size, if degrees { 9 } else { 3 }));
    let stride = match summary.stride {
        [None, None] => "none, a single chip".to_owned(),
        [Some(across), None] => format!("{across} pixels, one row of chips"),
        [None, Some(down)] => format!("{down} pixels, one column of chips"),
        [Some(across), Some(down)] => format!("{across} x {down} pixels"),
    };
    fact("stride", stride);
    let shapes = summary.chip_shapes.iter().map(|[height, width]| format!("{width} x {height}"));
    fact("chip size", format!("{} pixels", shapes.collect::<Vec<_>>().join(", ")));
    let about = if summary.size_is_estimate { "about " } else { "" };
    fact("size on disk", format!("{about}{:.1} MB", summary.size_bytes as f64 / 1e6));
    let missing = match &summary.missing {
        missing if missing.count == 0 => "none".to_owned(),
        missing => {
            let more = if missing.count > missing.first.len() { ", ..." } else { "" };
            format!("{}: {}{more}", missing.count, missing.first.join(", "))
        }
    };
    fact("chips missing", missing);
    if let Some(degrees) = summary.rotation {
        fact("warning", rotation_warning(degrees));
    }
    lines.join("\n")
}
