//! `segment`: one prompt from the flags, or many from a file, through one engine. Requests in JSON are answered in
//! `batch`, files of prompts in `prompts`.

pub(super) mod batch;
pub(super) mod documents;
mod masks;

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::CliError;
use super::models_dir::models_dir;
use super::output::{Output, note};
use super::prompts;
use super::segment_args::Args;
use crate::api::{Feature, Incomplete, LegacyCrs, Limits, PromptItem, StitchReport};
use crate::catalog::Folder;
use crate::engine::{Engine, EngineError, EngineOptions, MaskInput, Segmentation, ServedFolder, chip_of};

/// A request file is the user's own, so a line may be far longer than an MQTT payload. A point takes 0.2 MB while it is
/// decoded.
pub(super) const LIMITS: Limits =
    Limits { max_payload_bytes: 64 << 20, max_points: 1000, max_prompts: 100_000, max_depth: 64 };

/// Prepared chips kept between requests: some 25 chips of SAM, 11 of SAM 2.
pub(super) const CACHE_BYTES: usize = 256 << 20;

pub(super) fn run(args: &Args) -> Result<bool, CliError> {
    let folders = open_folders(&args.folder)?;
    let engine = Engine::open(&EngineOptions {
        models: models_dir(args.models.as_deref(), Some(&args.folder)),
        engine: args.engine,
        threads: args.threads.map_or_else(all_cores, usize::from),
        cache_bytes: CACHE_BYTES,
    })?;
    args.check()?;
    if let Some(dump) = &args.dump {
        std::fs::create_dir_all(dump).map_err(CliError::file(dump))?;
    }
    let asker = Asker::new(engine, folders, args.dump.as_deref());
    let defaults = args.defaults();
    if let Some(requests) = &args.request {
        return batch::answer(&asker, requests, &defaults, &args.output);
    }
    if let Some(prompts) = &args.prompts {
        return prompts::answer(&asker, prompts, &defaults, &args.output);
    }
    let item = PromptItem { prompt: args.prompt(LIMITS.max_points)?, ..defaults };
    let segmentation = asker.segment(&item, "1")?;
    if let Some(overlay) = &args.overlay {
        super::overlay::write(&segmentation, &item.prompt.foreground, overlay, args.raster.as_deref())?;
    }
    let mut output = Output::create(&args.output)?;
    output.json_line(segmentation.collection())?;
    output.finish()?;
    if let Some(report) = segmentation.stitch() {
        tell_stitch(report);
    }
    Ok(true)
}

/// How far an object was followed: the FeatureCollection has no place for it.
fn tell_stitch(report: &StitchReport) {
    let chips = report.chips.join(", ");
    let reason = |why: &Incomplete| match why {
        Incomplete::RasterEdge => "no chip lies beyond",
        Incomplete::MaxChips => "--max-chips is reached",
        Incomplete::Area => "the area ends there",
        Incomplete::Disagreement => "the chip beyond answers with another object",
    };
    let reasons: Vec<&str> = report.incomplete_because.iter().map(reason).collect();
    match &reasons[..] {
        [] => note(&format_args!("the whole object, on {chips}")),
        reasons => {
            note(&format_args!("the object may go on: {}; it was followed on {chips}", reasons.join(", ")))
        }
    }
}

pub(super) fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn open_folders(path: &Path) -> Result<Vec<Arc<ServedFolder>>, CliError> {
    let discovered = Folder::discover(path)?;
    if !discovered.folders.is_empty() {
        for problem in &discovered.problems {
            note(&format_args!("warning: {problem}"));
        }
    }
    let folders = discovered.into_folders()?.into_iter();
    Ok(folders.map(|folder| Arc::new(ServedFolder::new(folder.name().to_owned(), folder))).collect())
}

/// Engine and folders, ready for prompts.
pub(super) struct Asker<'a> {
    engine: Engine,
    folders: Vec<Arc<ServedFolder>>,
    /// Those of them whose model is there.
    ready: Vec<Arc<ServedFolder>>,
    dump: Option<&'a Path>,
    /// Names that are taken there.
    dumped: RefCell<HashSet<String>>,
}

impl<'a> Asker<'a> {
    fn new(engine: Engine, folders: Vec<Arc<ServedFolder>>, dump: Option<&'a Path>) -> Self {
        let is_ready = |folder: &&Arc<ServedFolder>| engine.decoders().check(&folder.folder).is_ok();
        let ready = folders.iter().filter(is_ready).cloned().collect();
        Self { engine, folders, ready, dump, dumped: RefCell::default() }
    }

    /// The folders that a prompt goes to: those with a model, as in the service, unless it is answered by none of them and
    /// would be by one whose model is missing, which is then told.
    fn asked(&self, item: &PromptItem) -> &[Arc<ServedFolder>] {
        let all_ready = self.ready.len() == self.folders.len();
        if all_ready || self.ready.is_empty() || item.folder.is_some() {
            return &self.folders;
        }
        let only_without_model = chip_of(&self.ready, item).is_err() && chip_of(&self.folders, item).is_ok();
        if only_without_model { &self.folders } else { &self.ready }
    }

    /// Segments one object, whose logits and mask are dumped under `name` where that is wanted.
    pub(super) fn segment(&self, item: &PromptItem, name: &str) -> Result<Segmentation, CliError> {
        self.segment_from(item, name, MaskInput::asked_by(item))
    }

    /// The same from a mask.
    pub(super) fn segment_from(
        &self,
        item: &PromptItem,
        name: &str,
        input: MaskInput<'_>,
    ) -> Result<Segmentation, CliError> {
        let segmentation = self.engine.segment_from(self.asked(item), item, input)?;
        self.dump(&segmentation, name)?;
        Ok(segmentation)
    }

    /// Segments one object, drawn as Features of one geometry each ([`Segmentation::objects`]), with the CRS that they are in.
    pub(super) fn segment_objects(
        &self,
        item: &PromptItem,
        name: &str,
    ) -> Result<(Vec<Feature>, Option<LegacyCrs>), CliError> {
        let (segmentation, objects) = self.engine.segment_objects(self.asked(item), item)?;
        self.dump(&segmentation, name)?;
        Ok((objects, segmentation.collection().crs.clone()))
    }

    fn dump(&self, segmentation: &Segmentation, name: &str) -> Result<(), CliError> {
        match self.dump {
            Some(directory) => write_dump(segmentation, directory, &self.free_name(name)),
            None => Ok(()),
        }
    }

    /// The name, with a number behind it where an answer of that name has been dumped: ids of requests may repeat.
    fn free_name(&self, name: &str) -> String {
        let mut dumped = self.dumped.borrow_mut();
        let free = crate::free_name::free_name(name, '-', |free| dumped.insert(free.to_owned()));
        if free != name {
            note(&format_args!("warning: several answers are called {name}; this one is dumped as {free}"));
        }
        free
    }

    /// The folder and the chip that a prompt goes to, for asking many prompts chip by chip.
    pub(super) fn chip(&self, item: &PromptItem) -> Result<(&ServedFolder, usize), EngineError> {
        let asked = self.asked(item);
        let (folder, chip) = chip_of(asked, item)?;
        Ok((asked.get(folder).ok_or(EngineError::NoFolder)?, chip))
    }
}

fn write_dump(segmentation: &Segmentation, dump: &Path, name: &str) -> Result<(), CliError> {
    let logits = dump.join(format!("{name}.logits.npy"));
    let file = std::fs::File::create(&logits).map_err(CliError::file(&logits))?;
    let writer = std::io::BufWriter::new(file);
    crate::mask::write_npy(segmentation.logits.view(), writer)
        .map_err(|source| CliError::Dump { path: logits, source })?;
    let mask = dump.join(format!("{name}.mask.png"));
    let file = std::fs::File::create(&mask).map_err(CliError::file(&mask))?;
    let writer = std::io::BufWriter::new(file);
    crate::mask::write_png(&segmentation.first_mask, writer)
        .map_err(|source| CliError::Dump { path: mask, source })
}
