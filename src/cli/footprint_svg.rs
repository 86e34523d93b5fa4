//! The drawing of `footprint` as SVG: each chip a polygon with its id.

use super::CliError;
use super::footprint::{Drawing, FOOT, IDS_UP_TO, MARGIN};
use super::output::Output;

/// Writes the drawing.
pub(super) fn write(drawing: &Drawing, output: &mut Output) -> Result<(), CliError> {
    let (width, height) = drawing.size();
    let (all_width, all_height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN + FOOT);
    output.text(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all_width:.1} {all_height:.1}\" \
         font-family=\"sans-serif\">\n<title>{name}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <rect x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"#eee\"/>\n\
         <g fill=\"#1f77b4\" fill-opacity=\"0.15\" stroke=\"#1f77b4\" stroke-width=\"1.5\">",
        name = escaped(&drawing.served.name),
    ))?;
    let folder = &drawing.served.folder;
    for chip in folder.chips() {
        let points = drawing.outline(&chip).map(|(x, y)| format!("{x:.2},{y:.2}")).join(" ");
        output.text(&format!("<polygon points=\"{points}\"/>"))?;
    }
    output.text("</g>\n<g font-size=\"14\" text-anchor=\"middle\" fill=\"#222\">")?;
    if folder.len() <= IDS_UP_TO {
        for chip in folder.chips() {
            let (x, y) = drawing.middle(&chip);
            output.text(&format!("<text x=\"{x:.2}\" y=\"{y:.2}\">{}</text>", escaped(chip.id)))?;
        }
    }
    output.text("</g>")?;
    output.text(&foot(drawing, height + MARGIN))?;
    output.text("</svg>")
}

/// The scale bar, and what is drawn.
fn foot(drawing: &Drawing, top: f64) -> String {
    let folder = &drawing.served.folder;
    let legend = format!("{}: {} chips, {}", drawing.served.name, folder.len(), folder.crs().short());
    let legend = format!(
        "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"14\" fill=\"#222\">{}</text>",
        top + 50.0,
        escaped(&legend)
    );
    let Some((bar, length)) = drawing.scale_bar() else { return legend };
    format!(
        "{legend}\n<rect x=\"{MARGIN}\" y=\"{:.1}\" width=\"{length:.2}\" height=\"4\" fill=\"#222\"/>\n\
         <text x=\"{:.2}\" y=\"{:.1}\" font-size=\"14\" fill=\"#222\">{}</text>",
        top + 20.0,
        MARGIN + length + 8.0,
        top + 27.0,
        bar.label
    )
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
