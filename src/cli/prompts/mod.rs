//! `segment --prompts`: the objects of a file, asked chip by chip, each answered with its own properties.
//!
//! Every format is read as GeoJSON Features (`read`), Features of one object are put together (`objects`) and taken for
//! prompts by the rules of the MQTT interface (`api`), so that a file means the same in every format.

mod csv;
mod encoding;
#[cfg(feature = "flatgeobuf")]
mod flatgeobuf;
mod geojson;
mod objects;
mod read;
mod wkt;
mod write;

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::features::FeatureWriter;
use super::output::note;
use super::segment::Asker;
use crate::api::PromptItem;
use objects::{Object, objects};
pub use read::PromptsError;

/// Asks for all objects of a file; `defaults` is what it does not say. `false` where one was not answered.
pub(super) fn answer(
    asker: &Asker<'_>,
    prompts: &Path,
    defaults: &PromptItem,
    output: &Path,
) -> Result<bool, CliError> {
    let drawn = read::read(prompts)?;
    let objects = objects(drawn, defaults);
    if let Some(first) = objects.iter().all(|o| o.prompt.is_err()).then(|| objects.first()).flatten()
        && let Err(reason) = &first.prompt
    {
        let (place, reason) = (first.place.clone(), reason.clone());
        return Err(
            PromptsError::NoPrompt { path: prompts.to_owned(), count: objects.len(), place, reason }.into()
        );
    }
    let mut refused: Vec<(usize, String)> = Vec::new();
    let mut asked: Vec<((usize, usize), usize, &PromptItem)> = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        match &object.prompt {
            Err(reason) => refused.push((number, format!("BAD_REQUEST: {reason}"))),
            Ok(item) => match asker.chip(item) {
                Ok(chip) => asked.push((chip, number, item)),
                // What no chip covers may be answered by several.
                Err(_) if item.stitch.is_some() => asked.push(((usize::MAX, 0), number, item)),
                Err(error) => refused.push((number, CliError::from(error).to_string())),
            },
        }
    }
    // A chip is read and prepared once.
    asked.sort_unstable_by_key(|&(chip, number, _)| (chip, number));

    let mut writer = FeatureWriter::create(output)?;
    let bar = ProgressBar::new(asked.len() as u64);
    let style = ProgressStyle::with_template("asking [{wide_bar}] {pos}/{len} objects, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for (_, number, item) in asked {
        let Some(object) = objects.get(number) else { continue };
        let answer = asker.segment(item, &(number + 1).to_string());
        match answer.and_then(|answer| Ok((answer.objects(&item.output)?, answer))) {
            Ok((masks, _)) if masks.is_empty() => {
                refused.push((number, "the mask is empty: nothing was found there".to_owned()));
            }
            Ok((masks, answer)) => {
                write::write(&mut writer, object, answer.collection().crs.as_ref(), &masks)?;
            }
            Err(error @ CliError::Engine(_)) => refused.push((number, error.to_string())),
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    writer.finish()?;
    tell(&objects, refused)
}

/// How many objects a file has, and how many of them are prompts; `None` where it cannot be read.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn prompts_in(path: &Path, bytes: &[u8], defaults: &PromptItem) -> Option<(usize, usize)> {
    let objects = objects(read::features(path, bytes).ok()?, defaults);
    Some((objects.len(), objects.iter().filter(|object| object.prompt.is_ok()).count()))
}

/// What could not be answered, with the reasons, in the order of the file.
fn tell(objects: &[Object], mut refused: Vec<(usize, String)>) -> Result<bool, CliError> {
    refused.sort_unstable();
    for (number, reason) in &refused {
        if let Some(object) = objects.get(*number) {
            note(&format_args!("{}: {reason}", object.place));
        }
    }
    note(&format_args!("{} answered, {} refused", objects.len() - refused.len(), refused.len()));
    Ok(refused.is_empty())
}
