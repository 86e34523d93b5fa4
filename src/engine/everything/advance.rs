//! How a survey goes on: points asked, duplicates left out, pieces put together with those of the chips beside, what a border cuts
//! followed, objects drawn; each in pieces so small that whoever else wants the decoder gets it in between, whatever masks the
//! options let through.

use std::collections::{BTreeSet, VecDeque};

use super::ask::MOST_FOLLOWED;
use super::candidates::{Candidate, MOST_OBJECTS, Pool};
use super::found::FoundObject;
use super::sheet::Piece;
use super::{Step, Survey, is_of_the_chip};
use crate::engine::fit::written_bytes;
use crate::engine::stitch::Window;
use crate::engine::{Engine, EngineError};

/// Points that are asked before somebody else may have the decoder.
const BATCH: usize = 8;

/// Objects that are given out at once, and bytes of their outlines: more wait for the next step.
pub(super) const MOST_GIVEN: (usize, usize) = (256, 4 << 20);

/// The chip that is asked now.
#[derive(Debug)]
pub(super) struct Work {
    window: Window,
    /// In the chip's pixels.
    points: Vec<(f64, f64)>,
    asked: usize,
    /// Masks that have not been compared yet.
    new: VecDeque<Candidate>,
    pool: Pool,
}

impl Work {
    /// Bytes of its masks.
    pub fn bytes(&self) -> usize {
        self.pool.bytes() + self.new.iter().map(|mask| mask.runs.bytes()).sum::<usize>()
    }
}

/// What a chip has found, or what was kept over a restart, on its way to what the chips beside it have.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// Pieces, each with a place whose pieces it has not been compared with.
    to_relate: VecDeque<(u64, usize)>,
    /// After a restart: the objects that were done and not given out.
    owed: Option<BTreeSet<u64>>,
    /// Pieces that may go on, each with the place of the chip that is asked; filled when all are related.
    to_follow: Option<VecDeque<(u64, usize)>>,
    /// How many have been followed.
    followed: usize,
}

/// Objects that are drawn and not given out.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    objects: Vec<FoundObject>,
    /// Of their outlines.
    pub bytes: usize,
}

impl Engine {
    /// Goes on to the end of the next chip, or until `pause` says that somebody else wants the decoder; it is asked
    /// after every few points, comparisons and objects. A chip whose file is missing or damaged is passed over.
    ///
    /// # Errors
    /// What lies in the card, the model or the decoder. The step may be tried again.
    pub fn advance(&self, survey: &mut Survey, pause: &dyn Fn() -> bool) -> Result<Step, EngineError> {
        if let Some(step) = survey.give_out(pause)? {
            return Ok(step);
        }
        if survey.joining.is_some() {
            return self.join(survey, pause);
        }
        if survey.plan.window(survey.place).is_none() {
            return Ok(Step::Done);
        }
        match self.ask_chip(survey, pause) {
            Ok(None) => Ok(Step::Paused),
            Ok(Some(candidates)) => self.take_in(survey, candidates, pause),
            Err(error) if is_of_the_chip(&error) => {
                survey.skip(&error);
                self.take_in(survey, Vec::new(), pause)
            }
            Err(error) => Err(error),
        }
    }

    /// The masks of the next chip that pass the filters, without duplicates; `None` where `pause` said that somebody else wants
    /// the decoder.
    ///
    /// # Errors
    /// As [`Engine::advance`], and what lies in the chip's file.
    pub fn ask_chip(
        &self,
        survey: &mut Survey,
        pause: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Candidate>>, EngineError> {
        let Some(window) = survey.plan.window(survey.place) else { return Ok(Some(Vec::new())) };
        let mut work = survey.work.take().unwrap_or_else(|| {
            let per_side = survey.options.points_per_side;
            let points = survey.plan.points(&survey.folder.folder, survey.place, per_side);
            Work {
                window,
                points,
                asked: 0,
                new: VecDeque::new(),
                pool: Pool::new(survey.options.nms_thresh),
            }
        });
        while !work.new.is_empty() || work.asked < work.points.len() {
            if let Some(candidate) = work.new.pop_front() {
                work.pool.add(candidate);
            } else {
                let end = (work.asked + BATCH).min(work.points.len());
                let batch = work.points.get(work.asked..end).unwrap_or_default();
                match self.ask_points(survey, &work.window, batch) {
                    Ok(found) => work.new.extend(found),
                    Err(error) => {
                        if !is_of_the_chip(&error) {
                            survey.work = Some(work);
                        }
                        return Err(error);
                    }
                }
                work.asked = end;
            }
            if pause() {
                survey.work = Some(work);
                return Ok(None);
            }
        }
        Ok(Some(work.pool.best(MOST_OBJECTS)))
    }

    /// Goes on with the next chip, whose masks have been asked for: here, or by another board
    /// ([`Engine::ask_chip`]). The result is the same. What is owed ([`Survey::give_out`]) is to be taken before.
    ///
    /// # Errors
    /// As [`Engine::advance`].
    pub fn advance_with(&self, survey: &mut Survey, candidates: Vec<Candidate>) -> Result<Step, EngineError> {
        self.take_in(survey, candidates, &|| false)
    }

    fn take_in(
        &self,
        survey: &mut Survey,
        candidates: Vec<Candidate>,
        pause: &dyn Fn() -> bool,
    ) -> Result<Step, EngineError> {
        let place = survey.place;
        let Some(window) = survey.plan.window(place) else { return Ok(Step::Done) };
        let mut new = Vec::with_capacity(candidates.len());
        for Candidate { score, stability, runs } in candidates {
            let piece = Piece { id: 0, place, window, runs, score, stability, goes_on_from: None };
            new.push(survey.sheet.add(piece));
        }
        let before = survey.before(place);
        let to_relate =
            before.iter().flat_map(|&other| new.iter().map(move |&piece| (piece, other))).collect();
        survey.joining = Some(Joining { to_relate, ..Joining::default() });
        self.join(survey, pause)
    }

    /// Puts together what a chip has found and what the chips beside it have.
    fn join(&self, survey: &mut Survey, pause: &dyn Fn() -> bool) -> Result<Step, EngineError> {
        let place = survey.place;
        let Some(mut joining) = survey.joining.take() else { return Ok(Step::Paused) };
        while let Some((piece, other)) = joining.to_relate.pop_front() {
            survey.sheet.relate_piece(piece, other);
            if pause() {
                survey.joining = Some(joining);
                return Ok(Step::Paused);
            }
        }
        if let Some(owed) = joining.owed {
            survey.give_up_given(&owed);
            return self.advance(survey, pause);
        }
        let mut to_follow = joining.to_follow.take().unwrap_or_else(|| survey.may_go_on(place));
        while joining.followed < MOST_FOLLOWED
            && let Some((piece, to)) = to_follow.pop_front()
        {
            match self.go_on(survey, piece, to) {
                Ok(gone) => {
                    joining.followed += usize::from(gone.is_asked);
                    if let Some(new) = gone.new {
                        for other in survey.plan.neighbours(&survey.folder.folder, to) {
                            if other <= place {
                                survey.sheet.relate_piece(new, other);
                                to_follow.push_back((new, other));
                            }
                        }
                    }
                }
                Err(error) => {
                    to_follow.push_front((piece, to));
                    survey.joining = Some(Joining { to_follow: Some(to_follow), ..joining });
                    return Err(error);
                }
            }
            if pause() {
                survey.joining = Some(Joining { to_follow: Some(to_follow), ..joining });
                return Ok(Step::Paused);
            }
        }
        survey.place += 1;
        survey.finished = survey.finished_objects();
        Ok(survey.give_out(pause)?.unwrap_or_else(|| Step::Chip(Vec::new())))
    }
}

impl Survey {
    /// Objects that are done and were too many for the last step; `None` where there are none.
    ///
    /// # Errors
    /// An object that cannot be written.
    pub fn give_out(&mut self, pause: &dyn Fn() -> bool) -> Result<Option<Step>, EngineError> {
        if self.finished.is_empty() && self.drawn.objects.is_empty() {
            return Ok(None);
        }
        while let Some(object) = self.finished.pop_front() {
            let pieces = self.sheet.take(object);
            if let Some(found) = self.write(&pieces)? {
                self.drawn.bytes += written_bytes(&found.object.geometry);
                self.drawn.objects.push(found);
            }
            let Drawn { objects, bytes } = &self.drawn;
            if objects.len() >= self.most_given.0 || *bytes >= self.most_given.1 {
                break;
            }
            if !self.finished.is_empty() && pause() {
                return Ok(Some(Step::Paused));
            }
        }
        Ok(Some(Step::Chip(std::mem::take(&mut self.drawn).objects)))
    }

    /// Is to find out which of its pieces are of one object, after a restart, before it goes on.
    pub(super) fn relate_all(&mut self, owed: BTreeSet<u64>) {
        let mut to_relate = VecDeque::new();
        for place in self.sheet.places() {
            for other in self.before(place) {
                to_relate.extend(self.sheet.at(place).iter().map(|piece| (piece.id, other)));
            }
        }
        self.joining = Some(Joining { to_relate, owed: Some(owed), ..Joining::default() });
    }

    /// Of the objects that are done those that are owed stay: the others were given out with the step that the rows are of, or one
    /// before.
    fn give_up_given(&mut self, owed: &BTreeSet<u64>) {
        for object in self.finished_objects() {
            if owed.contains(&object) {
                self.finished.push_back(object);
            } else {
                self.sheet.take(object);
            }
        }
    }

    /// The places before this one whose chips lie beside its chip.
    fn before(&self, place: usize) -> Vec<usize> {
        let mut neighbours = self.plan.neighbours(&self.folder.folder, place);
        neighbours.retain(|&other| other < place);
        neighbours
    }

    /// The pieces of a chip that may go on into the chips beside it that are done, and theirs into this one.
    fn may_go_on(&self, place: usize) -> VecDeque<(u64, usize)> {
        let mut open = VecDeque::new();
        for other in self.before(place) {
            open.extend(self.sheet.at(other).iter().map(|piece| (piece.id, place)));
            open.extend(self.sheet.at(place).iter().map(|piece| (piece.id, other)));
        }
        open
    }
}
