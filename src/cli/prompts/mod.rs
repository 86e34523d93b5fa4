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
use crate::api::{CrsChoice, PromptItem};
use crate::engine::ServedFolder;
use objects::{Object, objects};
pub use read::PromptsError;

/// Asks for all objects of a file; `defaults` is what it does not say. `false` where one was not answered; where none was, an output
/// that was there is left as it was.
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
    let mut asked: Vec<((String, usize), usize, &PromptItem)> = Vec::new();
    let mut one_crs = OneCrs::default();
    for (number, object) in objects.iter().enumerate() {
        match &object.prompt {
            Err(reason) => refused.push((number, format!("BAD_REQUEST: {reason}"))),
            Ok(item) => match asker.chip(item) {
                Ok((folder, chip)) => {
                    one_crs.check(item, folder)?;
                    asked.push(((folder.name.clone(), chip), number, item));
                }
                // What no chip covers may be answered by several.
                Err(_) if item.stitch.is_some() => asked.push(((String::new(), 0), number, item)),
                Err(error) => refused.push((number, CliError::from(error).to_string())),
            },
        }
    }
    // A chip is read and prepared once.
    asked.sort_unstable_by(|(chip, number, _), (other, next, _)| (chip, number).cmp(&(other, next)));

    let mut writer = FeatureWriter::create(output)?;
    let bar = ProgressBar::new(asked.len() as u64);
    let style = ProgressStyle::with_template("asking [{wide_bar}] {pos}/{len} objects, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for (_, number, item) in asked {
        let Some(object) = objects.get(number) else { continue };
        match asker.segment_objects(item, &(number + 1).to_string()) {
            Ok((masks, _)) if masks.is_empty() => {
                refused.push((number, "the mask is empty: nothing was found there".to_owned()));
            }
            Ok((masks, crs)) => write::write(&mut writer, object, crs.as_ref(), &masks)?,
            Err(error @ CliError::Engine(_)) => refused.push((number, error.to_string())),
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if refused.len() < objects.len() {
        writer.finish()?;
    } else if output.is_file() {
        // The answers of yesterday are worth more than none.
        note(&format_args!("{} is left as it was", output.display()));
    }
    tell(&objects, refused)
}

/// Coordinates of one file are in one CRS, which is told once for all of them.
#[derive(Default)]
struct OneCrs<'a> {
    first: Option<&'a ServedFolder>,
}

impl<'a> OneCrs<'a> {
    /// Refuses a second folder of another CRS where answers keep their folder's.
    fn check(&mut self, item: &PromptItem, folder: &'a ServedFolder) -> Result<(), CliError> {
        if item.output.crs != CrsChoice::Source {
            return Ok(());
        }
        let first = *self.first.get_or_insert(folder);
        let (one, other) = (first.folder.crs(), folder.folder.crs());
        if one.text == other.text || one.epsg.is_some() && one.epsg == other.epsg {
            return Ok(());
        }
        let told = |folder: &ServedFolder| format!("{} is in {}", folder.name, folder.folder.crs().text);
        Err(CliError::Usage(format!(
            "the answers would be in several CRSs, and a file has one: {}, {}. Give --output-crs another one, for example EPSG:4326, \
             or ask each folder by itself",
            told(first),
            told(folder)
        )))
    }
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
