//! Starting from the mask of an earlier answer, as Segment Anything's predictors do: its low-resolution logits are given
//! with the new prompt.
//!
//! Here: which mask that is, whether it still fits what the prompt is answered with, and the decode itself. Not here: who
//! keeps masks, and for how long.

use ndarray::{Array2, ArrayView2, Axis};

use super::locate::Located;
use super::segment::{Answer, FileStamp, selected};
use super::{Engine, EngineError, ServedFolder};
use crate::api::{Multimask, NotRefined, PromptItem, RefineReport};
use crate::decoder::{Decoded, FramePrompt};
use crate::family::Family;

/// Beyond this SAM 2 and 3 clip the logits that their predictors give back.
const CLIPPED_AT: f32 = 32.0;

/// The mask of an answer, to start another one from.
#[derive(Debug, Clone, PartialEq)]
pub struct LowResMask {
    source: MaskSource,
    /// `[side, side]` with the family's [`Family::low_resolution`].
    logits: Array2<f32>,
}

impl LowResMask {
    /// The mask as the family's predictor gives it back.
    pub(super) fn new(source: MaskSource, logits: ArrayView2<'_, f32>, family: Family) -> Self {
        Self { source, logits: given_back(logits, family) }
    }

    /// Bytes of memory that it occupies, but for a few.
    pub fn bytes(&self) -> usize {
        self.logits.len() * size_of::<f32>()
    }
}

/// What a mask was decoded on, and with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MaskSource {
    folder: String,
    chip_id: String,
    opening: u64,
    chip: usize,
    file: Option<FileStamp>,
    /// Checksum of the checkpoint.
    model: String,
}

/// What a decode starts from.
#[derive(Debug, Clone, Copy)]
pub enum MaskInput<'a> {
    /// Nothing: the usual answer.
    None,
    /// Nothing, though a mask was asked for: there is none yet. The answer says so.
    Missing,
    /// The prompt's own mask: it is decoded twice.
    Own,
    /// This mask; it is an error if it does not fit.
    Given(&'a LowResMask),
    /// This mask if it fits; the answer says whether it did.
    IfFits(&'a LowResMask),
}

impl<'a> MaskInput<'a> {
    /// What an item says by itself: to refine its own mask, or nothing.
    #[must_use]
    pub const fn asked_by(item: &PromptItem) -> Self {
        if item.refine { Self::Own } else { Self::None }
    }

    /// The mask, where there is one to stay with.
    const fn mask(self) -> Option<&'a LowResMask> {
        match self {
            Self::Given(mask) | Self::IfFits(mask) => Some(mask),
            Self::None | Self::Missing | Self::Own => None,
        }
    }

    /// What is left of it for a prompt that no single chip covers, and what is to be told.
    ///
    /// # Errors
    /// A mask that must fit.
    pub(super) fn on_several_chips(self) -> Result<(Self, Option<RefineReport>), EngineError> {
        match self {
            Self::Given(mask) => Err(EngineError::OtherMask {
                mask: mask.source.told(),
                prompt: "on several chips".to_owned(),
            }),
            Self::IfFits(_) => Ok((Self::None, Some(RefineReport::not(NotRefined::OtherChip)))),
            Self::Missing => Ok((Self::None, Some(RefineReport::not(NotRefined::NoMask)))),
            Self::None | Self::Own => Ok((self, None)),
        }
    }
}

impl Located {
    /// Goes back to the chip that a mask is of, where that covers the prompt, too: chips overlap, and one more point may
    /// move a prompt's centre nearer to another chip's.
    pub(super) fn stay_with(&mut self, input: MaskInput<'_>) {
        let Some(LowResMask { source, .. }) = input.mask() else { return };
        let is_there = self.folder.opening == source.opening;
        let covers = || self.folder.chip(source.chip).is_ok_and(|chip| chip.footprint.covers(&self.prompt));
        if is_there && self.chip != source.chip && covers() {
            self.chip = source.chip;
        }
    }
}

impl MaskSource {
    fn told(&self) -> String {
        format!("of {} of folder {}", self.chip_id, self.folder)
    }
}

impl Engine {
    /// What a mask of a chip comes from now.
    pub(super) fn mask_source(&self, folder: &ServedFolder, chip: usize) -> Result<MaskSource, EngineError> {
        let found = folder.chip(chip)?;
        Ok(MaskSource {
            folder: folder.name.clone(),
            chip_id: found.id.to_owned(),
            opening: folder.opening,
            chip,
            file: FileStamp::of(&found.path()),
            model: self.decoders().checksum(&folder.folder)?,
        })
    }

    /// Decodes a prompt from a mask, where one is given and fits. `multimask` says which mask of a first pass is the one to
    /// start from.
    ///
    /// # Errors
    /// As [`Engine::decode`]; a mask that must fit and does not; a model that was imported without the parameters for masks.
    pub(super) fn decode_from(
        &self,
        folder: &ServedFolder,
        chip: usize,
        mut prompt: FramePrompt,
        input: MaskInput<'_>,
        multimask: Multimask,
    ) -> Result<(Answer, Option<RefineReport>), EngineError> {
        let plain = |prompt: &FramePrompt| self.decode(folder, chip, prompt);
        let (mask, is_needed) = match input {
            MaskInput::None => return Ok((plain(&prompt)?, None)),
            MaskInput::Missing => {
                return Ok((plain(&prompt)?, Some(RefineReport::not(NotRefined::NoMask))));
            }
            MaskInput::Own => {
                let (first, family, [load, decode]) = plain(&prompt)?;
                prompt.mask = Some(given_back(best(&first, family, multimask), family));
                let (second, family, [more_load, more]) = plain(&prompt)?;
                return Ok(((second, family, [load + more_load, decode + more]), Some(RefineReport::DONE)));
            }
            MaskInput::Given(mask) => (mask, true),
            MaskInput::IfFits(mask) => (mask, false),
        };
        let now = self.mask_source(folder, chip)?;
        let fits = MaskSource { folder: mask.source.folder.clone(), ..now.clone() } == mask.source;
        if fits {
            prompt.mask = Some(mask.logits.clone());
            return Ok((plain(&prompt)?, Some(RefineReport::DONE)));
        }
        if is_needed {
            let is_elsewhere = (now.chip_id.as_str(), now.folder.as_str())
                != (mask.source.chip_id.as_str(), mask.source.folder.as_str());
            let what = if is_elsewhere {
                format!("on {} of folder {}", now.chip_id, now.folder)
            } else if now.model != mask.source.model {
                "with another model since".to_owned()
            } else {
                "on what has come in its place since".to_owned()
            };
            return Err(EngineError::OtherMask { mask: mask.source.told(), prompt: what });
        }
        Ok((plain(&prompt)?, Some(RefineReport::not(NotRefined::OtherChip))))
    }
}

/// The logits of the mask that an answer is about: the selected one, of three the surest.
pub(super) fn best(decoded: &Decoded, family: Family, multimask: Multimask) -> ArrayView2<'_, f32> {
    let masks = selected(decoded, family, multimask);
    let first = masks.iter().fold(None, |best: Option<(f32, usize)>, mask| match best {
        Some((score, _)) if score >= mask.score => best,
        _ => Some((mask.score, mask.index)),
    });
    decoded.logits.index_axis(Axis(0), first.map_or(0, |(_, index)| index))
}

/// Logits as the family's predictor gives them back: those of SAM 2 and 3 clip them.
fn given_back(logits: ArrayView2<'_, f32>, family: Family) -> Array2<f32> {
    match family {
        Family::Sam => logits.to_owned(),
        Family::Sam2 | Family::Sam3 => logits.mapv(|logit| logit.clamp(-CLIPPED_AT, CLIPPED_AT)),
    }
}

#[cfg(test)]
impl LowResMask {
    /// A mask of nothing, of this side.
    pub(crate) fn blank(side: usize) -> Self {
        let source = MaskSource {
            folder: String::new(),
            chip_id: String::new(),
            opening: u64::MAX,
            chip: 0,
            file: None,
            model: String::new(),
        };
        Self { source, logits: Array2::zeros((side, side)) }
    }
}
