//! The models directory: what is in it, and which model a folder needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{self, Description, Precision};
use super::error::ModelsError;
use super::weights;
use crate::family::Family;
use crate::features::{canonical, file_name_of, same_model};

/// One imported model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name of its directory.
    pub name: String,
    /// The directory.
    pub dir: PathBuf,
    /// Its family.
    pub family: Family,
    /// Side of its grid of image tokens.
    pub grid: usize,
    /// File name of the checkpoint that it was imported from.
    pub source_file: String,
    /// SHA-256 of that checkpoint, in hexadecimal.
    pub sha256: String,
    /// How its parameters are stored.
    pub precision: Precision,
    /// Whether it has the parameters to start from a mask.
    pub takes_masks: bool,
    /// CRC-32 of `decoder.safetensors`, in hexadecimal.
    pub(super) decoder_crc32: String,
}

impl ModelInfo {
    /// CRC-32 of the imported weights, in hexadecimal.
    pub fn decoder_crc32(&self) -> &str {
        &self.decoder_crc32
    }

    pub(super) fn of(name: String, dir: PathBuf, description: Description) -> Self {
        Self {
            name,
            takes_masks: weights::names_mask_parameters(description.family, &dir.join(disk::DECODER)),
            dir,
            family: description.family,
            grid: description.grid,
            source_file: description.source_file,
            sha256: description.source_sha256,
            precision: description.precision,
            decoder_crc32: description.decoder_crc32,
        }
    }

    /// The file with the parameters.
    pub fn decoder_path(&self) -> PathBuf {
        self.dir.join(disk::DECODER)
    }
}

/// A directory in the models directory that is meant to be a model and cannot be used.
#[derive(Debug)]
pub struct ModelProblem {
    /// Name of the directory.
    pub name: String,
    /// What is wrong with it.
    pub error: ModelsError,
}

/// The models of a models directory.
#[derive(Debug)]
pub struct ModelStore {
    dir: PathBuf,
    models: Vec<ModelInfo>,
    problems: Vec<ModelProblem>,
    /// Where nothing is in it: what it is instead, looked at once, since a card may hang later.
    instead: Option<String>,
}

impl ModelStore {
    /// Lists the models in a directory. A directory that does not exist has none; a model that cannot be used
    /// becomes a problem and leaves the others alone.
    ///
    /// # Errors
    /// A directory that cannot be listed.
    pub fn open(dir: &Path) -> Result<Self, ModelsError> {
        let mut store = Self { dir: dir.to_owned(), models: vec![], problems: vec![], instead: None };
        let io = |source| ModelsError::Io { action: "list", path: dir.to_owned(), source };
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                store.instead = Some("the directory is not there".to_owned());
                return Ok(store);
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let problem = "is a file; name the directory of imported models, which has a directory for each. A checkpoint becomes \
                               one of them with: geosam-edge import-model CHECKPOINT --models DIRECTORY";
                let path = disk::file_in_the_way(dir).unwrap_or(dir).to_owned();
                return Err(ModelsError::NoDirectory { path, problem });
            }
            other => other.map_err(io)?,
        };
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                store.take(&path);
            }
        }
        store.models.sort_by(|a, b| a.name.cmp(&b.name));
        store.problems.sort_by(|a, b| a.name.cmp(&b.name));
        if store.models.is_empty() && store.problems.is_empty() {
            store.instead = what_it_is_instead(dir);
        }
        Ok(store)
    }

    fn take(&mut self, dir: &Path) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            if let Some(name) = disk::interrupted(&self.dir, &name) {
                let detail =
                    format!("an import was cut off; rename it to {name}, or import the checkpoint again");
                let error = ModelsError::Damaged { path: dir.to_owned(), detail };
                self.problems.push(ModelProblem { name, error });
            }
            return;
        }
        // One that may not be looked into is there all the same: to say that there is no model would send its owner to
        // import it again, which changes nothing.
        let has = |file: &str| {
            let path = dir.join(file);
            path.try_exists().map_err(|source| ModelsError::Io {
                action: "look into",
                path: dir.to_owned(),
                source,
            })
        };
        let (described, decoder) = match (has(disk::DESCRIPTION), has(disk::DECODER)) {
            (Ok(described), Ok(decoder)) => (described, decoder),
            // fsck's own, which only root may read.
            (Err(_), _) | (_, Err(_)) if name == "lost+found" => return,
            (Err(error), _) | (_, Err(error)) => return self.problems.push(ModelProblem { name, error }),
        };
        match (described, decoder) {
            (false, false) => {}
            (true, true) => match Description::read(dir) {
                Ok(description) => self.models.push(ModelInfo::of(name, dir.to_owned(), description)),
                Err(error) => self.problems.push(ModelProblem { name, error }),
            },
            (described, _) => {
                let missing = if described { disk::DECODER } else { disk::DESCRIPTION };
                let detail = format!("it has no {missing}; import the model again");
                self.problems.push(ModelProblem {
                    name,
                    error: ModelsError::Damaged { path: dir.to_owned(), detail },
                });
            }
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The models that can be used, by name.
    pub fn list(&self) -> &[ModelInfo] {
        &self.models
    }

    /// The directories that cannot be used.
    pub fn problems(&self) -> &[ModelProblem] {
        &self.problems
    }

    /// The model that was imported from a folder's checkpoint: by the file name, ASCII case aside, known other
    /// names of the same weights included (see [`same_model`]), and by the family.
    ///
    /// # Errors
    /// `ModelMissing`, which says what to import and how; `FamilyMismatch`; `Ambiguous` where two models of
    /// different weights carry that name.
    pub fn find(&self, checkpoint: &str, family: Family) -> Result<&ModelInfo, ModelsError> {
        let named: Vec<_> = self.models.iter().filter(|m| same_model(&m.source_file, checkpoint)).collect();
        let mut fitting: Vec<_> = named.iter().filter(|m| m.family == family).collect();
        // The very name counts before another name of the same weights.
        let exact = |m: &ModelInfo| m.source_file.eq_ignore_ascii_case(file_name_of(checkpoint));
        if fitting.iter().any(|m| exact(m)) {
            fitting.retain(|m| exact(m));
        }
        if let Some(other) = fitting.iter().skip(1).find(|m| m.sha256 != fitting[0].sha256) {
            return Err(ModelsError::Ambiguous {
                checkpoint: file_name_of(checkpoint).to_owned(),
                first: fitting[0].name.clone(),
                second: other.name.clone(),
            });
        }
        match (fitting.first(), named.first()) {
            (Some(model), _) => Ok(model),
            (None, Some(other)) => Err(ModelsError::FamilyMismatch {
                checkpoint: file_name_of(checkpoint).to_owned(),
                family,
                name: other.name.clone(),
                found: other.family,
            }),
            (None, None) => Err(ModelsError::ModelMissing {
                checkpoint: file_name_of(checkpoint).to_owned(),
                family,
                models: self.dir.clone(),
                there: self.what_is_there(checkpoint),
            }),
        }
    }

    /// Names of the models that come from a checkpoint of the same name as this one, but with other weights.
    pub(super) fn namesakes(&self, model: &ModelInfo) -> Vec<String> {
        let same_name = |other: &&ModelInfo| {
            other.name != model.name
                && other.sha256 != model.sha256
                && other.family == model.family
                && same_model(&other.source_file, &model.source_file)
        };
        self.models.iter().filter(same_name).map(|other| other.name.clone()).collect()
    }

    /// The part of a missing model's message that says what there is instead.
    fn what_is_there(&self, checkpoint: &str) -> String {
        let wanted = canonical(checkpoint);
        if let Some(problem) =
            self.problems.iter().find(|p| wanted.strip_suffix(".pt") == Some(&p.name.to_ascii_lowercase()))
        {
            return format!("it has a model {} that cannot be used: {}", problem.name, problem.error);
        }
        let files: Vec<_> = self.models.iter().map(|m| m.source_file.as_str()).collect();
        match (files.is_empty(), self.problems.len()) {
            (true, 0) => self.instead.clone().unwrap_or_else(|| "it has no model at all".to_owned()),
            (true, broken) => format!("it has {broken} that cannot be used, and no other"),
            (false, _) => format!("it has models of {}", files.join(", ")),
        }
    }
}

/// Where a directory without models stands to one with some, if somebody named the directory below or above.
fn what_it_is_instead(dir: &Path) -> Option<String> {
    let is_model = |dir: &Path| dir.join(disk::DESCRIPTION).is_file();
    if is_model(dir) {
        return Some("it is a model itself: name the directory that it lies in".to_owned());
    }
    let below = dir.join("models");
    let has_models = fs::read_dir(&below).ok()?.flatten().any(|entry| is_model(&entry.path()));
    has_models.then(|| format!("its models are in {}: name that directory", below.display()))
}
