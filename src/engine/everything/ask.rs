//! The decoder's part: masks of points, and pieces followed into the chips beside them.

use ndarray::Axis;

use super::super::stitch::{BorderRun, Side, Window, agrees, border_runs, hangs_together, seeds};
use super::candidates::{Candidate, stability_score, within_chip};
use super::sheet::Piece;
use super::{Survey, is_of_the_chip};
use crate::decoder::{FramePoint, FramePrompt, Keep};
use crate::engine::{Engine, EngineError};
use crate::mask::{Mask, MaskRuns, letterbox_gain, upscale};

/// Shorter stretches of a border are a matter of outlines.
const SHORTEST: i64 = 4;
/// Pieces of one chip and its neighbours that are followed at the most.
pub(super) const MOST_FOLLOWED: usize = 64;
/// How far beyond a border is pointed at, in pixels, at the first and at the second time.
const DEPTHS: [i64; 2] = [8, 2];
/// How far an outline may be off where it crosses a border.
const SLIP: i64 = super::super::stitch::SLIP;

/// What came of following a piece.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Whether a chip was asked.
    pub is_asked: bool,
    /// The piece that it goes on with there, where one is believed.
    pub new: Option<u64>,
}

impl Engine {
    /// The masks of some points that pass the filters, up to three a point.
    pub(super) fn ask_points(
        &self,
        survey: &Survey,
        window: &Window,
        points: &[(f64, f64)],
    ) -> Result<Vec<Candidate>, EngineError> {
        let chip = survey.folder.chip(window.chip)?;
        let options = &survey.options;
        let family = survey.folder.folder.family();
        let prompt = |point: &(f64, f64)| frame_prompt(&[*point], chip.shape, chip.dst_shape);
        let prompts: Vec<FramePrompt> = points.iter().map(prompt).collect();
        let keep = Keep { predicted_iou: options.pred_iou_thresh, multimask: true };
        let mut found = Vec::new();
        for decoded in self.decode_many(&survey.folder, window.chip, &prompts, keep)?.into_iter().flatten() {
            for mask in decoded.select(family, true) {
                if mask.score < options.pred_iou_thresh {
                    continue;
                }
                let logits = decoded.logits.index_axis(Axis(0), mask.index);
                let seen = within_chip(logits, chip.shape, chip.dst_shape);
                let stability = stability_score(seen, options.stability_score_offset);
                if stability < options.stability_score_thresh {
                    continue;
                }
                let runs = MaskRuns::of(&upscale(logits, chip.shape, chip.dst_shape, chip.shape)?);
                if runs.pixels() > 0 {
                    found.push(Candidate { score: mask.score, stability, runs });
                }
            }
        }
        Ok(found)
    }

    /// Follows a piece that a border cuts into the chip of another place.
    pub(super) fn go_on(&self, survey: &mut Survey, piece: u64, to: usize) -> Result<Gone, EngineError> {
        let Some((window, runs)) = open_toward(survey, piece, to) else { return Ok(Gone::default()) };
        match self.follow(survey, piece, to, &window, &runs) {
            Ok(new) => Ok(Gone { is_asked: true, new }),
            Err(error) if is_of_the_chip(&error) => Ok(Gone { is_asked: true, new: None }),
            Err(error) => Err(error),
        }
    }

    /// Asks a chip to go on with a piece from some runs on its border; the new piece, where there is one that is
    /// believed.
    fn follow(
        &self,
        survey: &mut Survey,
        piece: u64,
        to: usize,
        window: &Window,
        runs: &[BorderRun],
    ) -> Result<Option<u64>, EngineError> {
        let (height, width) = (window.height as usize, window.width as usize);
        let (mut known, mut covered) = (Mask::blank(height, width)?, Mask::blank(height, width)?);
        for part in survey.sheet.object(survey.sheet.object_of(piece)).filter(|part| part.place != to) {
            let shift = (part.window.col - window.col, part.window.row - window.row);
            if let Some((cols, rows)) = part.window.shared(window) {
                part.runs.draw_at(&mut known, shift);
                for row in rows[0]..rows[1] {
                    covered.set_run(
                        (row - window.row) as usize,
                        (cols[0] - window.col) as usize..(cols[1] - window.col) as usize,
                    );
                }
            }
        }
        let (shape, frame) = {
            let chip = survey.folder.chip(window.chip)?;
            (chip.shape, chip.dst_shape)
        };
        for depth in DEPTHS {
            let points = seeds(window, runs, &known, &covered, depth);
            let prompt = frame_prompt(&points, shape, frame);
            let (decoded, family, _) = self.decode(&survey.folder, window.chip, &prompt)?;
            let selected = decoded.select(family, false);
            let Some(selected) = selected.first() else { return Ok(None) };
            let logits = decoded.logits.index_axis(Axis(0), selected.index);
            let answer = upscale(logits, shape, frame, shape)?;
            if !agrees(window, runs, &known, &covered, &answer) {
                continue;
            }
            let runs = MaskRuns::of(&hangs_together(&answer, window, runs, &known, None));
            let there = survey.sheet.at(to);
            let nms_thresh = f64::from(survey.options.nms_thresh);
            // The chip had found it, but did not seem to mean the same.
            let same = there.iter().find(|other| other.runs.iou(&runs) > nms_thresh).map(|other| other.id);
            if let Some(same) = same {
                survey.sheet.link(same, piece);
                return Ok(None);
            }
            let seen = within_chip(logits, shape, frame);
            let stability = stability_score(seen, survey.options.stability_score_offset);
            let (score, goes_on_from) = (selected.score, Some(piece));
            let new = Piece { id: 0, place: to, window: *window, runs, score, stability, goes_on_from };
            return Ok(Some(survey.sheet.add(new)));
        }
        Ok(None)
    }
}

/// Foreground points in a chip's pixels, as a prompt in the encoder's frame.
fn frame_prompt(points: &[(f64, f64)], shape: (usize, usize), frame: (usize, usize)) -> FramePrompt {
    let gain = letterbox_gain(shape, frame);
    let point = |&(x, y): &(f64, f64)| FramePoint { x: x * gain, y: y * gain, foreground: true };
    FramePrompt { points: points.iter().map(point).collect(), ..FramePrompt::default() }
}

/// The stretches of a piece's border beyond which the chip in a place lies, and no piece of its object; `None` where
/// there are none.
fn open_toward(survey: &Survey, piece: u64, to: usize) -> Option<(Window, Vec<BorderRun>)> {
    let target = survey.plan.window(to)?;
    let object = survey.sheet.object_of(piece);
    let own = survey.sheet.object(object).find(|part| part.id == piece)?;
    if own.place == to || !reaches_border(own) {
        return None;
    }
    let shares = Shares::beside(own, survey.sheet.object(object));
    let mut runs: Vec<BorderRun> =
        open_runs(own, &shares).into_iter().flat_map(|run| part_within(&run, &target)).collect();
    runs.retain(|run| run.length >= SHORTEST);
    (!runs.is_empty()).then_some((target, runs))
}

/// Whether a piece touches a side of its chip.
pub(super) fn reaches_border(piece: &Piece) -> bool {
    let (bounds, (height, width)) = (piece.runs.bounds(), piece.runs.shape());
    bounds.min_x == 0
        || bounds.min_y == 0
        || bounds.max_x as usize == width
        || bounds.max_y as usize == height
}

/// What an object has on each of the chips beside one, all pieces in one mask: it may have thousands.
pub(super) struct Shares(Vec<(usize, Window, Mask)>);

impl Shares {
    /// Of the pieces of one object, those on chips near that of `own`. Those of its own chip lie within its border.
    pub fn beside<'a>(own: &Piece, pieces: impl Iterator<Item = &'a Piece>) -> Self {
        let around = own.window.grown(SLIP + 1);
        let are_near = |piece: &&Piece| piece.place != own.place && around.shared(&piece.window).is_some();
        let mut shares: Vec<(usize, Window, Mask)> = Vec::new();
        for piece in pieces.filter(are_near) {
            let known = shares.iter_mut().find(|(place, ..)| *place == piece.place);
            match known {
                Some((_, _, mask)) => piece.runs.draw(mask),
                // What was made of a mask can be made one again.
                None => {
                    shares.extend(piece.runs.to_mask().ok().map(|mask| (piece.place, piece.window, mask)))
                }
            }
        }
        Self(shares)
    }
}

/// The stretches of a piece's border that no other piece of its object, whose shares beside it are given, goes on from.
pub(super) fn open_runs(own: &Piece, Shares(shares): &Shares) -> Vec<BorderRun> {
    let Ok(mask) = own.runs.to_mask() else { return Vec::new() };
    let has = |window: &Window, mask: &Mask, col: i64, row: i64| {
        window.contains(col, row) && mask.get((row - window.row) as usize, (col - window.col) as usize)
    };
    let is_met = |(col, row): (i64, i64), side: Side| {
        shares.iter().any(|(_, window, mask)| {
            (-SLIP..=SLIP).any(|k| match side {
                Side::Top | Side::Bottom => has(window, mask, col + k, row),
                Side::Left | Side::Right => has(window, mask, col, row + k),
            })
        })
    };
    let mut open = Vec::new();
    for run in border_runs(&own.window, 0, |col, row| has(&own.window, &mask, col, row)) {
        open.extend(stretches(&run, |k| !is_met(run.beyond(k), run.side)));
    }
    open
}

/// The part of a run beyond which a chip lies.
fn part_within(run: &BorderRun, target: &Window) -> Vec<BorderRun> {
    stretches(run, |k| {
        let (col, row) = run.beyond(k);
        target.contains(col, row)
    })
}

/// The stretches of a run whose pixels are wanted.
fn stretches(run: &BorderRun, wanted: impl Fn(i64) -> bool) -> Vec<BorderRun> {
    let (mut found, mut last): (Vec<BorderRun>, Option<BorderRun>) = (Vec::new(), None);
    let (dc, dr) = run.side.outward();
    for k in 0..run.length {
        if !wanted(k) {
            found.extend(last.take());
            continue;
        }
        match &mut last {
            Some(stretch) => stretch.length += 1,
            None => {
                let (col, row) = run.beyond(k);
                last = Some(BorderRun { col: col - dc, row: row - dr, length: 1, ..*run });
            }
        }
    }
    found.extend(last);
    found
}
