//! Everything in an area: a grid of points on every chip, the masks that are objects, each once over all chips.
//!
//! ```text
//! chips in order -> points -> masks that pass the filters -> duplicates out -> pieces
//!   -> pieces of one object put together, those that a border cuts followed into the neighbours -> one mask -> one geometry
//! ```
//!
//! The pieces: `plan` (which chips and points), `candidates` (filters, duplicates), `same` (whether two chips mean one
//! object), `sheet` (what may still go on), `ask` (the decoder), `found` (one geometry of all pieces), `rows` (what is
//! kept over a restart). How neighbours are asked and believed is `engine::stitch`'s. Not here: who waits for it, and
//! where the objects go.
//!
//! An object is given out as soon as no chip is left that could add to it, so that memory holds the pieces along the
//! front only, as runs: some hundred KB a chip. An object that goes on and on (the ground, a river) keeps its pieces
//! until it ends, or until one mask of 2^28 pixels would not hold it.

mod ask;
mod candidates;
mod found;
mod plan;
mod rows;
mod same;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::candidates::suppress;
use self::plan::Plan;
use self::sheet::{Piece, Sheet};
use super::answer::Writer;
use super::locate::{candidates, prompt_in};
use super::stitch::Window;
use super::{Engine, EngineError, ServedFolder};
use crate::ErrorCode;
use crate::api::{EverythingOptions, LegacyCrs, OutputOptions, PromptItem};
use crate::catalog::CatalogError;
use crate::geo::{Bounds, ToldUnit};

pub use candidates::Candidate;
pub use found::FoundObject;

/// Points that are asked before somebody else may have the decoder.
const BATCH: usize = 8;
/// Chips that could not be read and are remembered by name.
const MOST_SKIPPED: usize = 100;

/// A search for everything, as far as it has come.
#[derive(Debug)]
pub struct Survey {
    folder: Arc<ServedFolder>,
    options: EverythingOptions,
    output: OutputOptions,
    crs: Option<LegacyCrs>,
    plan: Plan,
    /// The chip that is asked now, or next.
    place: usize,
    work: Option<Work>,
    sheet: Sheet,
    skipped: Vec<(String, String)>,
    skipped_count: usize,
    /// Places that rows are kept of.
    kept_rows: BTreeSet<usize>,
}

/// The chip that is asked now.
#[derive(Debug)]
struct Work {
    window: Window,
    /// In the chip's pixels.
    points: Vec<(f64, f64)>,
    asked: usize,
    candidates: Vec<Candidate>,
}

/// What came of a step.
#[derive(Debug)]
pub enum Step {
    /// Somebody else wanted the decoder.
    Paused,
    /// A chip is done, and these objects with it.
    Chip(Vec<FoundObject>),
    /// There is nothing left to ask.
    Done,
}

impl Survey {
    /// The folder.
    pub fn folder(&self) -> &ServedFolder {
        &self.folder
    }

    /// The CRS of the objects' coordinates, where it is not WGS84.
    pub const fn crs(&self) -> Option<&LegacyCrs> {
        self.crs.as_ref()
    }

    /// Chips that are done, and chips in all.
    pub const fn progress(&self) -> (usize, usize) {
        (self.place, self.plan.len())
    }

    /// Chips that could not be read, with the reasons, the first hundred of them; and how many they are.
    pub fn skipped(&self) -> (&[(String, String)], usize) {
        (&self.skipped, self.skipped_count)
    }

    /// Bytes of the masks that are kept, of objects that are not given out yet.
    pub fn bytes(&self) -> usize {
        let candidates = self.work.iter().flat_map(|work| &work.candidates);
        self.sheet.bytes() + candidates.map(|candidate| candidate.runs.bytes()).sum::<usize>()
    }

    /// The id of the chip in a place of the order in which they are asked, and the shape of its masks, height and width.
    pub fn chip(&self, place: usize) -> Option<(&str, (usize, usize))> {
        let chip = self.folder.chip(self.plan.window(place)?.chip).ok()?;
        Some((chip.id, chip.shape))
    }

    /// Turns to the chip of this id, which is asked next; `None` where none is to be asked. What that chip answers stands by
    /// itself: [`Engine::advance`] would miss those before it.
    pub fn turn_to(&mut self, chip_id: &str) -> Option<()> {
        let place =
            (0..self.plan.len()).find(|&place| self.chip(place).is_some_and(|(id, _)| id == chip_id))?;
        (self.place, self.work) = (place, None);
        Some(())
    }

    /// How many points are asked on the chip in a place.
    pub fn points_of(&self, place: usize) -> usize {
        self.plan.points(&self.folder.folder, place, self.options.points_per_side).len()
    }

    /// The next chip cannot be asked; it is passed over with the next step.
    pub fn skip(&mut self, problem: &dyn std::fmt::Display) {
        self.skipped_count += 1;
        if self.skipped.len() < MOST_SKIPPED {
            let id = self.chip(self.place).map_or("", |(id, _)| id).to_owned();
            self.skipped.push((id, problem.to_string()));
        }
    }
}

impl Engine {
    /// Begins to look for everything in the box of an item, or in the whole folder where it has none.
    ///
    /// # Errors
    /// No folder, or several where none is named; a CRS that is not supported; a box that no chip meets, or in which no
    /// point would be asked.
    pub fn survey(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
        options: EverythingOptions,
    ) -> Result<Survey, EngineError> {
        let folder = match candidates(folders, item)? {
            [] => return Err(EngineError::NoFolder),
            [only] => Arc::clone(only),
            several => {
                let names = several.iter().map(|folder| folder.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(EngineError::WhichFolder { names });
            }
        };
        let area = if item.prompt.bbox.is_some() { prompt_in(&folder, item)?.bbox } else { None };
        let plan = Plan::of(&folder.folder, area);
        if plan.len() == 0 {
            // With the nearest chip, as for a prompt.
            let prompt = prompt_in(&folder, item)?;
            return Err(match folder.folder.choose(&prompt) {
                Err(error @ CatalogError::NoChipCovers(_)) => error.into(),
                _ => EngineError::EmptyPrompt,
            });
        }
        if let Some(area) = area
            && !plan.has_a_point(&folder.folder, options.points_per_side)
        {
            return Err(no_grid_point(&folder, &plan, &area, options.points_per_side));
        }
        // What cannot be written, or decoded, is refused before the first chip.
        let first = plan.window(0).map_or(0, |window| window.chip);
        let crs = Writer::new(&folder, first, item.output.crs, None)?.crs().cloned();
        self.decoders().check(&folder.folder)?;
        Ok(Survey {
            folder,
            options,
            output: item.output,
            crs,
            plan,
            place: 0,
            work: None,
            sheet: Sheet::default(),
            skipped: Vec::new(),
            skipped_count: 0,
            kept_rows: BTreeSet::new(),
        })
    }

    /// Goes on to the end of the next chip, or until `pause` says that somebody else wants the decoder; it is asked
    /// after every few points. A chip whose file is missing or damaged is passed over.
    ///
    /// # Errors
    /// What lies in the card, the model or the decoder. The step may be tried again.
    pub fn advance(&self, survey: &mut Survey, pause: &dyn Fn() -> bool) -> Result<Step, EngineError> {
        if survey.plan.window(survey.place).is_none() {
            return Ok(Step::Done);
        }
        match self.ask_chip(survey, pause) {
            Ok(None) => Ok(Step::Paused),
            Ok(Some(candidates)) => self.advance_with(survey, candidates),
            Err(error) if is_of_the_chip(&error) => {
                survey.skip(&error);
                self.advance_with(survey, Vec::new())
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
            Work { window, points, asked: 0, candidates: Vec::new() }
        });
        while work.asked < work.points.len() {
            let end = (work.asked + BATCH).min(work.points.len());
            let batch = work.points.get(work.asked..end).unwrap_or_default();
            match self.ask_points(survey, &work.window, batch) {
                Ok(found) => work.candidates.extend(found),
                Err(error) => {
                    if !is_of_the_chip(&error) {
                        survey.work = Some(work);
                    }
                    return Err(error);
                }
            }
            work.asked = end;
            thin(&mut work.candidates, survey.options.nms_thresh);
            if end < work.points.len() && pause() {
                survey.work = Some(work);
                return Ok(None);
            }
        }
        Ok(Some(suppress(work.candidates, survey.options.nms_thresh)))
    }

    /// Goes on with the next chip, whose masks have been asked for: here, or by another board
    /// ([`Engine::ask_chip`]). The result is the same.
    ///
    /// # Errors
    /// As [`Engine::advance`].
    pub fn advance_with(&self, survey: &mut Survey, candidates: Vec<Candidate>) -> Result<Step, EngineError> {
        let place = survey.place;
        let Some(window) = survey.plan.window(place) else { return Ok(Step::Done) };
        // Of a step that failed near its end.
        survey.sheet.forget(place);
        for Candidate { score, stability, runs } in candidates {
            survey.sheet.add(Piece { id: 0, place, window, runs, score, stability, goes_on_from: None });
        }
        let neighbours = survey.plan.neighbours(&survey.folder.folder, place);
        for &other in neighbours.iter().filter(|&&other| other < place) {
            survey.sheet.relate(place, other);
        }
        self.go_on(survey, place, &neighbours)?;
        survey.place += 1;
        Ok(Step::Chip(survey.take_found()?))
    }
}

/// Why nothing can be found in a box between the points of the grid.
fn no_grid_point(folder: &ServedFolder, plan: &Plan, area: &Bounds, per_side: u16) -> EngineError {
    let unit = ToldUnit::of(folder.folder.crs().unit.as_deref());
    let apart = plan.spacing(per_side).map_or_else(String::new, |apart| format!(" {}", unit.size(apart)));
    EngineError::NoGridPoint { area: unit.size(area.size()), per_side, apart }
}

/// Masks of one chip that may wait for their duplicates to be left out, in bytes.
const MOST_CANDIDATES: usize = 32 << 20;

/// Leaves out duplicates early where the masks take much room: rough ones do.
fn thin(candidates: &mut Vec<Candidate>, threshold: f32) {
    if candidates.iter().map(|candidate| candidate.runs.bytes()).sum::<usize>() > MOST_CANDIDATES {
        *candidates = suppress(std::mem::take(candidates), threshold);
    }
}

/// Whether an error lies in one chip's file, so that the others may go on.
fn is_of_the_chip(error: &EngineError) -> bool {
    error.code() == ErrorCode::ChipUnreadable
}
