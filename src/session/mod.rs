//! Sessions: a prompt set built step by step, as in QGIS. A state machine without I/O, threads or clock.
//!
//! Here is what the steps are and what undoing one means. Decoding the prompt set, storing the session and saving
//! its mask to a layer are others' affairs.
//!
//! One *prompt* is one step: a point or a box. An `add` with five points is five steps, so `undo` takes back one
//! point at a time, in the reverse order of their coming; where an `add` has both, its box comes before its
//! points. A new box takes the place of the one before it, and undoing it brings that one back (Geo-SAM's QGIS
//! plugin undoes prompt by prompt as well, but is left without a box then). A session without steps is bound to no
//! folder and no CRS, and remembers nothing of how its masks were shown.
//!
//! An `add` that refines starts from the mask of the prompts before it. The session keeps no mask, only which prompts
//! came so: from them and the prompts each mask can be made again, after a restart and after an undo, and there is none that
//! could be of another chip or model.

mod error;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use error::SessionError;
pub use table::{SessionKey, SessionLimits, SessionTable};

use crate::api::{CrsChoice, Multimask, OutputOptions, PromptItem, PromptSet};
use crate::geo::Bounds;

/// One prompt, in the session's CRS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Point { at: [f64; 2], foreground: bool },
    Box(Bounds),
}

/// How a session's mask was shown by its last answer, so that the next one, and what is saved, are drawn the same way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The output that was asked for.
    pub output: OutputOptions,
    /// The tolerance that the outlines were simplified with, in source pixels; larger than what was asked for where the
    /// answer had to fit.
    pub tolerance: Option<f64>,
    /// Over how many chips the object was followed at the most; `None` where it was not.
    pub stitch: Option<u16>,
}

/// Steps that an `add` has brought which started from the mask of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refining {
    /// How many steps there were: the mask is that of so many. None yet where it is 0.
    pub from: usize,
    /// How many there were then.
    to: usize,
    /// Which mask of those steps was shown.
    pub multimask: Multimask,
}

/// A prompt set under construction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Session {
    folder: Option<String>,
    crs: Option<CrsChoice>,
    steps: Vec<Step>,
    /// Absent in what older versions stored.
    #[serde(default)]
    shown: Option<Shown>,
    /// In order; absent in what older versions stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refinings: Vec<Refining>,
}

/// How many prompts of each kind a mask was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PromptCounts {
    /// Foreground points.
    pub foreground: usize,
    /// Background points.
    pub background: usize,
    /// Boxes, at most one: those replaced do not count.
    pub boxes: usize,
}

impl Session {
    /// A session without prompts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the box and the points of a request; all or none of them.
    ///
    /// One that refines starts from the mask of the steps before it, as the last answer showed it.
    ///
    /// The first add binds the session to its CRS, and the first that names a folder to that folder. `max_steps` is
    /// [`crate::api::Limits::max_points`]; boxes, also replaced ones, count like points.
    ///
    /// # Errors
    /// If the request has no prompt, names another CRS or folder than the session's, or makes it too long.
    pub fn add(&mut self, item: &PromptItem, max_steps: usize) -> Result<(), SessionError> {
        let PromptItem { folder, crs, prompt, .. } = item;
        if prompt.is_empty() {
            return Err(SessionError::NoPrompt);
        }
        if let Some(bound) = self.crs.filter(|bound| bound != crs) {
            return Err(SessionError::OtherCrs { session: bound, request: *crs });
        }
        if let (Some(bound), Some(named)) = (&self.folder, folder)
            && bound != named
        {
            return Err(SessionError::OtherFolder { session: bound.clone(), request: named.clone() });
        }
        let from = self.steps.len();
        let steps = from + prompt.points.len() + usize::from(prompt.bbox.is_some());
        if steps > max_steps {
            return Err(SessionError::TooLong { steps, limit: max_steps });
        }
        self.crs = Some(*crs);
        if let Some(named) = folder {
            self.folder = Some(named.clone());
        }
        self.steps.extend(prompt.bbox.map(Step::Box));
        let points = prompt.points.iter().zip(&prompt.foreground);
        self.steps.extend(points.map(|(at, foreground)| Step::Point { at: *at, foreground: *foreground }));
        if item.refine {
            let multimask = self.shown.map(|shown| shown.output.multimask).unwrap_or_default();
            self.refinings.push(Refining { from, to: steps, multimask });
        }
        Ok(())
    }

    /// Takes back the last prompt.
    ///
    /// # Errors
    /// If there is none.
    pub fn undo(&mut self) -> Result<(), SessionError> {
        self.steps.pop().ok_or(SessionError::NothingToUndo)?;
        if self.steps.is_empty() {
            self.clear();
        }
        self.cut_refinings();
        Ok(())
    }

    /// What is undone was not refined.
    fn cut_refinings(&mut self) {
        let steps = self.steps.len();
        self.refinings.retain(|refining| refining.from < steps);
        self.refinings.iter_mut().for_each(|refining| refining.to = refining.to.min(steps));
    }

    /// How the last steps were refined; `None` where they were not.
    pub fn refining(&self) -> Option<&Refining> {
        self.refinings.last().filter(|refining| refining.to == self.steps.len())
    }

    /// The session as it was with so many steps, but for how it was shown.
    #[must_use]
    pub fn before(&self, steps: usize) -> Self {
        let mut before = Self { shown: None, ..self.clone() };
        before.steps.truncate(steps);
        before.cut_refinings();
        before
    }

    /// Takes back all prompts, and with them the session's CRS and folder.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How the last answer showed the mask; `None` without prompts.
    pub const fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// Notes how an answer shows the mask of these prompts.
    pub fn show(&mut self, shown: Shown) {
        self.shown = (!self.is_empty()).then_some(shown);
    }

    /// The folder that the prompts are for, where one was named.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// The CRS of the prompts; `None` without prompts.
    pub const fn crs(&self) -> Option<CrsChoice> {
        self.crs
    }

    /// The prompts as one set, in the session's CRS: the points in order, and the last box. Empty without prompts.
    pub fn prompt_set(&self) -> PromptSet {
        let mut set = PromptSet::default();
        for step in &self.steps {
            match *step {
                Step::Box(bounds) => set.bbox = Some(bounds),
                Step::Point { at, foreground } => {
                    set.points.push(at);
                    set.foreground.push(foreground);
                }
            }
        }
        set
    }

    /// The prompts to save the mask of.
    ///
    /// # Errors
    /// If there is none.
    pub fn to_save(&self) -> Result<PromptSet, SessionError> {
        if self.is_empty() { Err(SessionError::NothingToSave) } else { Ok(self.prompt_set()) }
    }

    /// How many prompts of each kind there are.
    pub fn counts(&self) -> PromptCounts {
        let set = self.prompt_set();
        let foreground = set.foreground.iter().filter(|label| **label).count();
        let background = set.foreground.len() - foreground;
        PromptCounts { foreground, background, boxes: usize::from(set.bbox.is_some()) }
    }
}
