//! `segment`: one prompt from the flags, or many requests from a file, through one engine.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::CliError;
use super::models_dir::models_dir;
use super::output::Output;
use super::segment_args::Args;
use crate::api::{Limits, PromptItem, Request, Response, parse_request};
use crate::catalog::Folder;
use crate::engine::{Engine, EngineOptions, Segmentation, ServedFolder};

/// A request file is the user's own, so a line may be far longer than an MQTT payload. A point takes 0.2 MB while it is
/// decoded.
const LIMITS: Limits =
    Limits { max_payload_bytes: 64 << 20, max_points: 1000, max_prompts: 100_000, max_depth: 64 };

/// Prepared chips kept between requests: some 25 chips of SAM, 11 of SAM 2.
const CACHE_BYTES: usize = 256 << 20;

pub(super) fn run(args: &Args) -> Result<bool, CliError> {
    let folders = open_folders(&args.folder)?;
    let engine = Engine::open(&EngineOptions {
        models: models_dir(args.models.as_deref(), Some(&args.folder)),
        cards: Vec::new(),
        engine: args.engine,
        threads: args.threads.map_or_else(all_cores, usize::from),
        cache_bytes: CACHE_BYTES,
    })?;
    if let Some(dump) = &args.dump {
        std::fs::create_dir_all(dump).map_err(CliError::file(dump))?;
    }
    let batch = Batch { engine, folders, dump: args.dump.as_deref() };
    match &args.request {
        Some(requests) => batch.answer_lines(requests, &args.output),
        None => {
            let item = args.item(LIMITS.max_points)?;
            let segmentation = batch.segment(&item, "1")?;
            if let Some(overlay) = &args.overlay {
                super::overlay::write(&segmentation, &item.prompt.foreground, overlay)?;
            }
            let mut output = Output::create(&args.output)?;
            output.json_line(segmentation.collection())?;
            output.finish()?;
            Ok(true)
        }
    }
}

fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn open_folders(path: &Path) -> Result<Vec<Arc<ServedFolder>>, CliError> {
    let discovered = Folder::discover(path)?;
    if !discovered.folders.is_empty() {
        for problem in &discovered.problems {
            eprintln!("warning: {problem}");
        }
    }
    let folders = discovered.into_folders()?.into_iter();
    Ok(folders.map(|folder| Arc::new(ServedFolder::new(folder.name().to_owned(), folder))).collect())
}

struct Batch<'a> {
    engine: Engine,
    folders: Vec<Arc<ServedFolder>>,
    dump: Option<&'a Path>,
}

impl Batch<'_> {
    /// One response a line, in order; `false` where one of them is an error.
    fn answer_lines(&self, requests: &Path, output: &Path) -> Result<bool, CliError> {
        let input: Box<dyn Read> = if requests == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(std::fs::File::open(requests).map_err(CliError::file(requests))?)
        };
        let mut output = Output::create(output)?;
        let mut all_ok = true;
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line).map_err(CliError::file(requests))? == 0 {
                break;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let response = self.answer(&line, number)?;
            all_ok &= response.is_ok();
            output.json_line(&response)?;
        }
        output.finish()?;
        Ok(all_ok)
    }

    fn answer(&self, line: &[u8], number: u64) -> Result<Response, CliError> {
        let request = match parse_request(line, &LIMITS) {
            Ok(request) => request,
            Err((id, error)) => {
                let message = format!("line {number}: {error}");
                return Ok(Response::error(id, error.code(), message));
            }
        };
        let Request { item, batch, .. } = request;
        let name = item.id.as_ref().map_or_else(|| number.to_string(), ToString::to_string);
        let Some(entries) = batch else { return self.answer_item(&item, &name) };
        let mut results = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            results.push(self.answer_item(entry, &format!("{name}.{index}"))?);
        }
        Ok(Response::batch(item.id, results))
    }

    fn answer_item(&self, item: &PromptItem, name: &str) -> Result<Response, CliError> {
        match self.segment(item, name) {
            Ok(segmentation) => Ok(segmentation.into_response(item.id.clone())),
            Err(CliError::Engine(error)) => {
                Ok(Response::error(item.id.clone(), error.code(), error.to_string()))
            }
            Err(other) => Err(other),
        }
    }

    fn segment(&self, item: &PromptItem, name: &str) -> Result<Segmentation, CliError> {
        let segmentation = self.engine.segment(&self.folders, item).map_err(CliError::from)?;
        if let Some(dump) = self.dump {
            write_dump(&segmentation, dump, name)?;
        }
        Ok(segmentation)
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
