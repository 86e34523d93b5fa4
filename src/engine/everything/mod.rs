//! Everything in an area: a grid of points on every chip, the masks that are objects, each once over all chips.
//!
//! ```text
//! chips in order -> points -> masks that pass the filters -> duplicates out -> pieces
//!   -> pieces of one object put together, those that a border cuts followed into the neighbours -> one mask -> one geometry
//! ```
//!
//! The pieces: `plan` (which chips and points), `candidates` (filters, duplicates), `same` (whether two chips mean one
//! object), `sheet` (what may still go on), `ask` (the decoder), `found` (one geometry of all pieces), `advance` (all of it in steps
//! short enough for others), `rows` (what is kept over a restart). How neighbours are asked and believed is `engine::stitch`'s. Not here: who waits for it, and
//! where the objects go.
//!
//! An object is given out as soon as no chip is left that could add to it, so that memory holds the pieces along the
//! front only, as runs: some hundred KB a chip. An object that goes on and on (the ground, a river) keeps its pieces
//! until it ends, or until one mask of 2^28 pixels would not hold it.

mod advance;
mod ask;
mod candidates;
mod found;
mod plan;
mod rows;
mod same;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use self::advance::{Drawn, Joining, MOST_GIVEN, Work};
use self::plan::Plan;
use self::sheet::Sheet;
use super::answer::Writer;
use super::locate::{candidates, prompt_in};
use super::{Engine, EngineError, ServedFolder};
use crate::ErrorCode;
use crate::api::{EverythingOptions, LegacyCrs, OutputOptions, PromptItem};
use crate::catalog::CatalogError;
use crate::geo::{Bounds, ToldUnit};

pub use candidates::Candidate;
pub use found::FoundObject;

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
    /// What came of that chip and is being put together with its neighbours.
    joining: Option<Joining>,
    sheet: Sheet,
    /// Objects that nothing can be added to any more, which are to be given out before the next chip is asked.
    finished: VecDeque<u64>,
    /// Those that are drawn.
    drawn: Drawn,
    /// Objects that are given out at once, and bytes of their outlines.
    most_given: (usize, usize),
    skipped: Vec<(String, String)>,
    skipped_count: usize,
    /// Places that rows are kept of.
    kept_rows: BTreeSet<usize>,
}

/// What came of a step.
#[derive(Debug)]
pub enum Step {
    /// Somebody else wanted the decoder.
    Paused,
    /// A chip is done, and these objects with it; or these are some more of the objects that were done with it.
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
        self.sheet.bytes() + self.work.as_ref().map_or(0, Work::bytes) + self.drawn.bytes
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
        (self.place, self.work, self.joining) = (place, None, None);
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
            joining: None,
            sheet: Sheet::default(),
            finished: VecDeque::new(),
            drawn: Drawn::default(),
            most_given: MOST_GIVEN,
            skipped: Vec::new(),
            skipped_count: 0,
            kept_rows: BTreeSet::new(),
        })
    }
}

/// Why nothing can be found in a box between the points of the grid.
fn no_grid_point(folder: &ServedFolder, plan: &Plan, area: &Bounds, per_side: u16) -> EngineError {
    let unit = ToldUnit::of(folder.folder.crs().unit.as_deref());
    let apart = plan.spacing(per_side).map_or_else(String::new, |apart| format!(" {}", unit.size(apart)));
    EngineError::NoGridPoint { area: unit.size(area.size()), per_side, apart }
}

/// Whether an error lies in one chip's file, so that the others may go on.
fn is_of_the_chip(error: &EngineError) -> bool {
    error.code() == ErrorCode::ChipUnreadable
}
