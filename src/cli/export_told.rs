//! What `export` tells on standard error.

use std::path::Path;

use super::export::ExportArgs;
use super::output::note;
use crate::layers::LayerProblem;
use crate::layers::export::{Exported, Format};

/// What was written, and what people should know of it.
pub(super) fn tell(args: &ExportArgs, format: Format, exported: &Exported) {
    let &Exported { features, skipped, holed, large, ref unread, ref renamed, ref empty } = exported;
    let written: Vec<&str> =
        args.layers.iter().filter(|layer| !empty.contains(layer)).map(String::as_str).collect();
    let layers = written.join(", ");
    let name = format.name();
    for layer in empty {
        let of_layer = |problem: &LayerProblem| matches!(problem, LayerProblem::BadLines { layer: bad, .. } if bad == layer);
        let why = if unread.iter().any(of_layer) {
            "none of its lines can be read"
        } else {
            "it has no object that was asked for"
        };
        note(&format_args!("warning: layer {layer} is left out: {why}"));
    }
    for problem in unread {
        note(&format_args!("warning: {problem}"));
    }
    if !renamed.is_empty() {
        let pairs: Vec<String> =
            renamed.iter().take(5).map(|(from, to)| format!("{from:?} as {to:?}")).collect();
        let more = if renamed.len() > 5 { ", and more" } else { "" };
        note(&format_args!(
            "some properties are written under other names, since {name} has theirs taken or does not tell case apart: \
             {}{more}",
            pairs.join(", ")
        ));
    }
    if skipped > 0 {
        let lines = if skipped == 1 { "line" } else { "lines" };
        note(&format_args!(
            "warning: left out, since they are no objects that {name} can hold: {skipped} {lines} of {layers}"
        ));
    }
    if holed > 0 {
        note(&format_args!(
            "warning: {holed} of {features} objects have holes, which {name} cannot hold: their outer rings were \
             written"
        ));
    }
    if large > 0 && format == Format::Cot {
        note(&format_args!(
            "warning: {large} of {features} objects have more than 60,000 bytes, which neither datagrams nor PyTAK \
             carry; save objects with a larger tolerance"
        ));
    } else if large > 0 {
        note(&format_args!(
            "warning: {large} of {features} objects have more than 255 vertices, and ArduPilot takes no such fence; \
             save objects with a larger tolerance"
        ));
    }
    if features > 1 && args.inclusion == Some(true) {
        note(&format_args!(
            "warning: {features} objects to stay inside of: ArduPilot demands to be inside of all at once, unless \
             bit 1 of FENCE_OPTIONS is set"
        ));
    }
    let objects = if features == 1 { "object" } else { "objects" };
    let output =
        if args.output == Path::new("-") { Path::new("standard output") } else { args.output.as_path() };
    note(&format_args!("{features} {objects} of {layers} written to {}", output.display()));
}
