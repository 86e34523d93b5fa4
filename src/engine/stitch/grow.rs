//! Following an object from chip to chip: which neighbour is asked next, with what, and whether its answer is believed.
//!
//! One neighbour at a time: of all places where the object reaches a chip's border and no part covers what lies beyond, the
//! chip that most of them lead to. Everything is decided by places on the grid, never by the manifest's order.
//!
//! A neighbour's answer is believed where both see the same: in their overlap, or along the seam where they only abut, the
//! intersection is at least [`AGREE`] of the smaller share and [`RESEMBLE`] of the larger one. The second bound is against leaking: a
//! neighbour that answers with the whole wood agrees with every tree.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Zip};

use super::part::{BorderRun, Object, Part, Side};
use super::seeds::{MOST, seeds};
use super::window::Window;
use crate::api::Incomplete;
use crate::engine::EngineError;
use crate::mask::{Mask, connected_to};

/// Intersection over the smaller share from which on two chips mean the same object.
const AGREE: f64 = 0.7;
/// Intersection over the larger share below which they do not.
const RESEMBLE: f64 = 0.3;
/// Pixels by which two chips' outlines may differ where they cross a seam.
pub(in crate::engine) const SLIP: i64 = 3;
/// A shorter piece of a border that a part covers and does not have is a matter of outlines.
const UNMET: i64 = 6;
/// How often one chip is asked.
const ASKED: usize = 4;

/// Chips that can be asked.
pub(super) trait Chips {
    /// Chips that hold a pixel of the grid, by place.
    fn holding(&self, col: i64, row: i64) -> Vec<Window>;

    /// A chip's low-resolution logits for foreground points in its pixels; what the request itself says of the chip is added.
    fn ask(&mut self, window: &Window, seeds: &[(f64, f64)]) -> Result<Array2<f32>, EngineError>;

    /// Logits as a mask in the chip's shape.
    fn enlarge(&self, window: &Window, logits: &Array2<f32>) -> Result<Mask, EngineError>;
}

/// Where an object was left.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Places where it may go on.
    pub runs: Vec<BorderRun>,
    pub because: BTreeSet<Incomplete>,
}

/// What comes next at a place where the object reaches a border.
enum Next {
    /// It has been seen from the other side.
    Met,
    End(Incomplete),
    Ask(Window),
}

/// How often a chip was asked to go on from a side of another.
type Tried = BTreeMap<(usize, usize, Side), usize>;

/// How far beyond a border is pointed at, in pixels, at the first and at the second time: an object may end soon beyond it.
const DEPTHS: [i64; 2] = [8, 2];

/// Follows the object until it ends, or `max_chips` take part.
pub(super) fn grow(
    chips: &mut impl Chips,
    object: &mut Object,
    max_chips: usize,
) -> Result<Ends, EngineError> {
    let mut tried = Tried::new();
    loop {
        let (mut ends, mut groups) = (Ends::default(), BTreeMap::<_, (Window, Vec<BorderRun>)>::new());
        for run in open_runs(object) {
            match next(chips, object, &run, &tried) {
                Next::Met => {}
                Next::End(why) => ends.add(run, why),
                Next::Ask(window) => {
                    groups
                        .entry((window.row, window.col))
                        .or_insert_with(|| (window, Vec::new()))
                        .1
                        .push(run);
                }
            }
        }
        let pixels = |runs: &[BorderRun]| runs.iter().map(|run| run.length).sum::<i64>();
        let (mut asked, mut chosen) = (0, None);
        for (window, runs) in groups.into_values() {
            let is_new = object.parts.iter().all(|part| part.window.chip != window.chip);
            if is_new && (object.parts.len() >= max_chips || !object.has_room_for(&window)) {
                runs.iter().for_each(|&run| ends.add(run, Incomplete::MaxChips));
            } else if pixels(&runs) > asked {
                asked = pixels(&runs);
                chosen = Some((window, runs));
            }
        }
        let Some((window, runs)) = chosen else { return Ok(ends) };
        let mut times = 0;
        for key in runs.iter().map(|run| key(&window, object, run)).collect::<BTreeSet<_>>() {
            let asked = tried.entry(key).or_default();
            times = times.max(*asked);
            *asked += 1;
        }
        go_on(chips, object, &window, &runs, DEPTHS[times.min(1)])?;
    }
}

fn key(window: &Window, object: &Object, run: &BorderRun) -> (usize, usize, Side) {
    (window.chip, object.parts[run.part].window.chip, run.side)
}

impl Ends {
    fn add(&mut self, run: BorderRun, why: Incomplete) {
        self.runs.push(run);
        self.because.insert(why);
    }
}

/// The places where the object reaches a border and is not seen from the other side, in pieces that the same part covers
/// or none.
fn open_runs(object: &Object) -> Vec<BorderRun> {
    let mut open = Vec::new();
    for run in (0..object.parts.len()).flat_map(|part| object.border_runs(part)) {
        let mut last: Option<(Option<usize>, BorderRun)> = None;
        for k in 0..run.length {
            let (col, row) = run.beyond(k);
            let cover = object.parts.iter().position(|part| part.window.contains(col, row));
            let is_met = object.parts.iter().any(|part| {
                part.window.contains(col, row) && Object::is_near(part, (col, row), run.side, SLIP)
            });
            if is_met {
                open.extend(last.take());
                continue;
            }
            match &mut last {
                Some((of, piece)) if *of == cover => piece.length += 1,
                _ => {
                    open.extend(last.take());
                    let (dc, dr) = run.side.outward();
                    last = Some((cover, BorderRun { col: col - dc, row: row - dr, length: 1, ..run }));
                }
            }
        }
        open.extend(last);
    }
    open.retain(|(cover, run)| cover.is_none() || run.length >= UNMET);
    open.into_iter().map(|(_, run)| run).collect()
}

fn next(chips: &impl Chips, object: &Object, run: &BorderRun, tried: &Tried) -> Next {
    let (col, row) = run.middle();
    let is_tried =
        |window: &Window| tried.get(&key(window, object, run)).is_some_and(|&times| times >= DEPTHS.len());
    if let Some(part) = object.parts.iter().find(|part| part.window.contains(col, row)) {
        if part.asked < ASKED && !is_tried(&part.window) {
            return Next::Ask(part.window);
        }
        let (dc, dr) = run.side.outward();
        // Where they overlap the other has the say near this one's border; where they only abut nobody else has.
        let overlaps = part.window.contains(col - dc, row - dr);
        return if overlaps { Next::Met } else { Next::End(Incomplete::Disagreement) };
    }
    let mut windows = chips.holding(col, row);
    if windows.is_empty() {
        return Next::End(Incomplete::RasterEdge);
    }
    windows.retain(|window| !is_tried(window));
    let nearer = |a: &Window, b: &Window| a.eccentricity(col, row).total_cmp(&b.eccentricity(col, row));
    // The first of equals: they come by place.
    match windows.into_iter().min_by(nearer) {
        Some(window) => Next::Ask(window),
        None => Next::End(Incomplete::Disagreement),
    }
}

/// Asks a chip to go on from some runs, and takes its answer in where it is believed.
fn go_on(
    chips: &mut impl Chips,
    object: &mut Object,
    window: &Window,
    runs: &[BorderRun],
    depth: i64,
) -> Result<(), EngineError> {
    let (height, width) = (window.height as usize, window.width as usize);
    let (mut known, mut covered) = (Mask::blank(height, width)?, Mask::blank(height, width)?);
    object.within(window, &mut known, &mut covered);
    // Runs that abut an object's own further pieces are asked for together, but not more than a prompt can tell apart.
    let points = seeds(window, &runs[..runs.len().min(MOST * 4)], &known, &covered, depth);
    let logits = chips.ask(window, &points)?;
    let answer = chips.enlarge(window, &logits)?;
    let before = object.parts.iter().position(|part| part.window.chip == window.chip);
    if let Some(part) = before {
        object.parts[part].asked += 1;
    }
    if !agrees(window, runs, &known, &covered, &answer) {
        return Ok(());
    }
    let (logits, answer) = match before {
        None => (logits, answer),
        Some(part) => {
            let mut both = logits;
            Zip::from(&mut both).and(&object.parts[part].logits).for_each(|a, &b| *a = a.max(b));
            let answer = chips.enlarge(window, &both)?;
            (both, answer)
        }
    };
    let own = before.map(|part| &object.parts[part].mask);
    let mask = hangs_together(&answer, window, runs, &known, own);
    match before {
        Some(part) => (object.parts[part].logits, object.parts[part].mask) = (logits, mask),
        None => object.parts.push(Part { window: *window, logits, mask, asked: 1 }),
    }
    Ok(())
}

/// Of a chip's answer what hangs together with the known object: with its pixels in the chip, with those that the chip had before, or
/// across the runs.
pub(in crate::engine) fn hangs_together(
    answer: &Mask,
    window: &Window,
    runs: &[BorderRun],
    known: &Mask,
    own: Option<&Mask>,
) -> Mask {
    connected_to(answer, |row, cols| {
        let mut meets = |mask: &Mask| cols.clone().any(|col| mask.get(row, col));
        meets(known)
            || own.is_some_and(&mut meets)
            || runs.iter().any(|run| continues(run, window, row, &cols))
    })
}

/// Whether pixels of a row of the chip lie beyond the run.
fn continues(run: &BorderRun, window: &Window, row: usize, cols: &std::ops::Range<usize>) -> bool {
    let ((first_col, first_row), (last_col, last_row)) = (run.beyond(0), run.beyond(run.length - 1));
    let (row, start, end) =
        (window.row + row as i64, window.col + cols.start as i64, window.col + cols.end as i64);
    let (across, down) = match run.side {
        Side::Top | Side::Bottom => (SLIP, 0),
        Side::Left | Side::Right => (0, SLIP),
    };
    (first_row - down..=last_row + down).contains(&row)
        && start <= last_col + across
        && end > first_col - across
}

/// Whether a chip's answer means the object that was followed into it from some runs.
pub(in crate::engine) fn agrees(
    window: &Window,
    runs: &[BorderRun],
    known: &Mask,
    covered: &Mask,
    answer: &Mask,
) -> bool {
    let [mut ours, mut theirs, mut both] = [0u64; 3];
    for row in 0..known.height() {
        for ((&known, &covered), &answer) in
            known.row_words(row).iter().zip(covered.row_words(row)).zip(answer.row_words(row))
        {
            ours += u64::from(known.count_ones());
            theirs += u64::from((answer & covered).count_ones());
            both += u64::from((answer & known).count_ones());
        }
    }
    // An overlap of a line or two says less than the seam.
    let longest = runs.iter().map(|run| run.length as u64).max().unwrap_or(0);
    if ours > longest * 4 {
        return is_enough(both, ours, theirs);
    }
    let part = Part { window: *window, logits: Array2::zeros((0, 0)), mask: answer.clone(), asked: 0 };
    let [mut ours, mut theirs, mut both] = [const { BTreeSet::new() }; 3];
    let side = window.width.max(window.height);
    for run in runs {
        for pixel in (0..run.length).map(|k| run.beyond(k)) {
            ours.insert(pixel);
            if Object::is_near(&part, pixel, run.side, SLIP) {
                both.insert(pixel);
            }
        }
        // All that the chip has along that seam.
        theirs.extend(
            (-side..run.length + side).map(|k| run.beyond(k)).filter(|&(col, row)| part.contains(col, row)),
        );
    }
    is_enough(both.len() as u64, ours.len() as u64, theirs.len() as u64)
}

/// Whether two shares of an object with this intersection mean the same.
pub(in crate::engine) fn is_enough(both: u64, ours: u64, theirs: u64) -> bool {
    let (both, least, most) = (both as f64, ours.min(theirs) as f64, ours.max(theirs) as f64);
    theirs > 0 && both >= AGREE * least && both >= RESEMBLE * most
}
