//! `everything` of one chip: the masks of its points that pass the filters, as the answer. It is what boards of a group do for who
//! puts the objects together (`geosam-edge everything --fleet`), and for any client that wants the masks themselves.

use serde_json::{Map, json};

use super::ENVELOPE;
use super::pieces::Slice;
use crate::ErrorCode;
use crate::api::OutputOptions;
use crate::engine::{Candidate, Survey};
use crate::mask::MaskError;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::service::under_way::Work;

impl Context {
    /// Goes on with the points of a chip, to their end or until `pause` says that it is to give way.
    pub(super) fn chip(&self, job: &Job, survey: Option<Box<Survey>>, pause: &dyn Fn() -> bool) -> Slice {
        let survey = survey.map_or_else(|| self.open_chip(job), Ok);
        let asked = survey.and_then(|mut survey| {
            let found = self.engine.ask_chip(&mut survey, pause);
            Ok((found.map_err(|error| Refusal(error.code(), error.to_string()))?, survey))
        });
        let answer = match asked {
            Ok((None, survey)) => {
                self.under_way.keep(job, Work::Chip(survey));
                return Slice::Paused;
            }
            Ok((Some(candidates), survey)) => self.chip_found(job, &survey, &candidates),
            Err(refusal) => Err(refusal),
        };
        // It costs time alone to find again, and what is refused today may be there tomorrow.
        let refused = |refusal| Performed { keep: false, ..Self::refusal(job, refusal) };
        Slice::Over(Box::new(answer.unwrap_or_else(refused)))
    }

    fn open_chip(&self, job: &Job) -> Result<Box<Survey>, Refusal> {
        let mut survey = self.survey(job, OutputOptions::default())?;
        let chip = job.request.chip.as_deref().unwrap_or_default();
        if survey.turn_to(chip).is_none() {
            let text = format!(
                "folder {} has no chip \"{chip}\" in what is asked for; it stands in its manifest as chip_id",
                survey.folder().name
            );
            return Err(Refusal(ErrorCode::BadRequest, text));
        }
        Ok(Box::new(survey))
    }

    fn chip_found(&self, job: &Job, survey: &Survey, found: &[Candidate]) -> Result<Performed, Refusal> {
        let folder = survey.folder();
        let limit = self.answers.most.saturating_sub(ENVELOPE);
        let (mut masks, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for candidate in found {
            let mask = mask(candidate).map_err(|error| Refusal(ErrorCode::Internal, error.to_string()))?;
            bytes += mask.len() + 1;
            if bytes > limit {
                let text = format!(
                    "the {} masks of this chip have more than {limit} bytes; a higher \"pred_iou_thresh\" or \
                     \"stability_score_thresh\" leaves fewer of them",
                    found.len()
                );
                return Err(Refusal(ErrorCode::TooLarge, text));
            }
            masks.push(mask);
        }
        let about = json!({
            "folder": folder.name,
            "chip_id": job.request.chip,
            "points": survey.points_of(survey.progress().0),
            "model_sha256": self.engine.decoders().sha256_of(folder.folder.checkpoint()),
        });
        let members = Map::from_iter([("chip".to_owned(), about)]);
        Ok(Performed::with_list(job.id(), members, "masks", masks.join(",").as_bytes()))
    }
}

/// A mask as it is answered: scores, and COCO's uncompressed run-length encoding.
fn mask(candidate: &Candidate) -> Result<String, MaskError> {
    let Candidate { score, stability, runs } = candidate;
    let ((height, width), counts) = (runs.shape(), runs.to_mask()?.coco_counts()?);
    let mask = json!({
        "score": score,
        "stability_score": stability,
        "segmentation": {"size": [height, width], "counts": counts},
    });
    Ok(mask.to_string())
}
