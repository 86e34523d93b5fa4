//! Choosing the chip of a prompt.
//!
//! geosam: of the chips whose footprint covers the box and the convex hull of the points, the one whose
//! centre is nearest to the prompt's; the first in the manifest's order among equals. Where none does, those that cover it
//! all but for a rounding error are asked. Geo-SAM v1: of the
//! chips that meet the bounds of the prompt, the one whose centre is nearest to the centre of those bounds.

use super::chip::ROUNDING;
use super::chips::ChipTable;
use super::error::Lies;
use super::index::SpatialIndex;
use super::prompt::PromptGeometry;
use crate::geo::Bounds;

/// Which chips come into question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Those that cover the prompt.
    Cover,
    /// Those that meet its bounds (v1).
    Meet,
}

/// The chip of a prompt whose bounds and centre are given; `None` where none comes into question.
pub(super) fn choose(
    table: &ChipTable,
    index: &SpatialIndex,
    rule: Rule,
    prompt: &PromptGeometry,
    (bounds, center): (Bounds, (f64, f64)),
) -> Option<usize> {
    let (x, y) = if rule == Rule::Meet { bounds.center() } else { center };
    match rule {
        Rule::Cover => {
            let covers = |&chip: &usize| table.footprints.get(chip).covers(prompt);
            let covering = nearest_center(table, (x, y), index.covering(&bounds).filter(covers));
            covering
                .or_else(|| nearest_center(table, (x, y), all_but_covering(table, index, prompt, &bounds)))
        }
        Rule::Meet => nearest_center(table, (x, y), index.meeting(&bounds)),
    }
}

/// Chips that a prompt reaches beyond by rounding alone, as one at a printed corner of the extent does. geosam's own
/// coordinates are rounded to float32, which forgives more.
fn all_but_covering<'a>(
    table: &'a ChipTable,
    index: &'a SpatialIndex,
    prompt: &'a PromptGeometry,
    bounds: &Bounds,
) -> impl Iterator<Item = usize> + 'a {
    let tolerance = |chip: usize| {
        let (width, height) = table.affine(chip).pixel_size();
        ROUNDING * width.min(height)
    };
    let grown = ROUNDING * table.largest_pixel();
    let around =
        Bounds::new(bounds.min_x - grown, bounds.min_y - grown, bounds.max_x + grown, bounds.max_y + grown);
    let near: Vec<usize> = index.meeting(&around).collect();
    near.into_iter().filter(move |&chip| table.footprints.get(chip).covers_within(prompt, tolerance(chip)))
}

/// The chip whose centre is nearest to (x, y). Chips come in no order: among equals the first of the
/// manifest counts.
fn nearest_center(
    table: &ChipTable,
    (x, y): (f64, f64),
    chips: impl Iterator<Item = usize>,
) -> Option<usize> {
    let distances = chips.map(|chip| {
        let (cx, cy) = table.center(chip);
        ((cx - x).powi(2) + (cy - y).powi(2), chip)
    });
    distances.min_by(|(a, i), (b, j)| a.total_cmp(b).then(i.cmp(j))).map(|(_, chip)| chip)
}

/// The chip nearest to the prompt's centre: its position, and how far the prompt's farthest vertex lies outside it.
pub(super) fn nearest(
    table: &ChipTable,
    index: &SpatialIndex,
    prompt: &PromptGeometry,
    (x, y): (f64, f64),
) -> Option<(usize, f64)> {
    let (chip, _) = index.nearest((x, y), |chip| {
        let (cx, cy) = table.center(chip);
        (table.footprints.get(chip).distance_to(x, y), (cx - x).hypot(cy - y))
    })?;
    let footprint = table.footprints.get(chip);
    let farthest = prompt.vertices().map(|(x, y)| footprint.distance_to(x, y)).fold(0.0, f64::max);
    Some((chip, farthest))
}

/// How a prompt that no chip covers lies to the chips.
pub(super) fn lies(table: &ChipTable, index: &SpatialIndex, prompt: &PromptGeometry) -> Lies {
    let is_on_a_chip = |(x, y): (f64, f64)| {
        let here = Bounds::new(x, y, x, y);
        index.meeting(&here).any(|chip| table.footprints.get(chip).distance_to(x, y) == 0.0)
    };
    let (on_chips, on_none): (Vec<_>, Vec<_>) = prompt.vertices().partition(|&vertex| is_on_a_chip(vertex));
    let box_meets = || prompt.bbox.is_some_and(|bounds| index.meeting(&bounds).next().is_some());
    match (on_chips.is_empty(), on_none.is_empty()) {
        (false, true) => Lies::OnSeveralChips,
        (false, false) => Lies::PartlyOutside,
        // A box may hold all of the imagery, with no corner on it.
        (true, _) if box_meets() => Lies::PartlyOutside,
        (true, _) => Lies::Outside,
    }
}
