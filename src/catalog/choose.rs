//! Choosing the chip of a prompt.
//!
//! geosam: of the chips whose footprint covers the box and the convex hull of the points, the one whose
//! centre is nearest to the prompt's; the first in the manifest's order among equals. Geo-SAM v1: of the
//! chips that meet the bounds of the prompt, the one whose centre is nearest to the centre of those bounds.

use super::chips::ChipTable;
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
    let mut best: Option<(f64, u32)> = None;
    let consider = |chip: u32| {
        let i = chip as usize;
        let is_candidate = match rule {
            Rule::Cover => {
                table.footprints.bounds()[i].covers(&bounds) && table.footprints.get(i).covers(prompt)
            }
            Rule::Meet => table.footprints.bounds()[i].intersects(&bounds),
        };
        if !is_candidate {
            return;
        }
        let (cx, cy) = table.center(i);
        let distance2 = (cx - x).powi(2) + (cy - y).powi(2);
        // Chips come in no order: among equals the first of the manifest counts.
        let is_before =
            best.is_none_or(|(least, first)| distance2.total_cmp(&least).then(chip.cmp(&first)).is_lt());
        if is_before {
            best = Some((distance2, chip));
        }
    };
    match rule {
        Rule::Cover => index.visit(|node| node.covers(&bounds), consider),
        Rule::Meet => index.visit(|node| node.intersects(&bounds), consider),
    }
    best.map(|(_, chip)| chip as usize)
}

/// The chip nearest to the prompt's centre: its position, its distance from that centre, and how far the
/// prompt's farthest vertex lies outside it.
pub(super) fn nearest(
    table: &ChipTable,
    index: &SpatialIndex,
    prompt: &PromptGeometry,
    (x, y): (f64, f64),
) -> Option<(usize, f64, f64)> {
    let (chip, distance) = index.nearest((x, y), |chip| {
        let (cx, cy) = table.center(chip as usize);
        (table.footprints.get(chip as usize).distance_to(x, y), (cx - x).hypot(cy - y))
    })?;
    let footprint = table.footprints.get(chip as usize);
    let farthest = prompt.vertices().map(|(x, y)| footprint.distance_to(x, y)).fold(0.0, f64::max);
    Some((chip as usize, distance, farthest))
}
