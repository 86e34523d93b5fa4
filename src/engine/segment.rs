//! The way itself: locate, load, prepare, decode, vectorize.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ndarray::{Array3, Axis};

use super::locate::locate;
use super::{Decoders, EngineError, ServedFolder, answer};
use crate::api::{FeatureCollection, MaskReport, Outcome, PromptItem, RequestId, Response, Timing};
use crate::decoder::{MaskDecoder, PreparedCache, PreparedChip};
use crate::mask::Mask;

/// How an engine is built.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Directory of imported models.
    pub models: PathBuf,
    /// Threads of one decode.
    pub threads: usize,
    /// Bytes of prepared chips kept in memory.
    pub cache_bytes: usize,
}

/// A chip in the cache: the manifest it belongs to and its row there.
type ChipKey = (PathBuf, usize);

/// A prepared chip with what the rest of the way needs from its file.
#[derive(Clone)]
struct LoadedChip {
    prepared: Arc<PreparedChip>,
    src_shape: (usize, usize),
    dst_shape: (usize, usize),
}

/// Decoders and prepared chips. Shared between threads; folders come with each call.
pub struct Engine {
    decoders: Decoders,
    prepared: Mutex<PreparedCache<ChipKey, LoadedChip>>,
}

/// One segmented object.
#[derive(Debug)]
pub struct Segmentation {
    /// The polygons.
    pub collection: FeatureCollection,
    /// One entry a mask.
    pub masks: Vec<MaskReport>,
    /// Where the time went; `queue` is the caller's to fill.
    pub timing: Timing,
    /// Low-resolution logits `[M, L, L]` of the masks returned, M = 1 or 3.
    pub logits: Array3<f32>,
    /// The first mask, in the chip's shape.
    pub first_mask: Mask,
}

impl Segmentation {
    /// The response to a request.
    pub fn into_response(self, id: Option<RequestId>) -> Response {
        let outcome = Outcome::Mask {
            status: crate::api::OkStatus::Ok,
            result: self.collection,
            masks: self.masks,
            timing_ms: self.timing,
        };
        Response { id, outcome }
    }
}

impl Engine {
    /// An engine over a directory of models.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(options: &EngineOptions) -> Result<Self, EngineError> {
        Ok(Self {
            decoders: Decoders::open(&options.models, options.threads)?,
            prepared: Mutex::new(PreparedCache::new(options.cache_bytes)),
        })
    }

    /// The models and their decoders.
    pub const fn decoders(&self) -> &Decoders {
        &self.decoders
    }

    /// Bytes of prepared chips in memory.
    pub fn cache_bytes(&self) -> usize {
        self.cache().bytes()
    }

    /// Forgets the prepared chips of a manifest, when its card is gone or its folder has changed.
    pub fn forget(&self, manifest: &std::path::Path) {
        self.cache().retain(|(of, _)| of != manifest);
    }

    /// Segments one object.
    ///
    /// # Errors
    /// Every refusal and failure on the way; see [`EngineError::code`].
    pub fn segment(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
    ) -> Result<Segmentation, EngineError> {
        let located = locate(folders, item)?;
        // An output CRS that we refuse should not cost a decode.
        let output = answer::Output::new(&located, item)?;

        let start = Instant::now();
        let (decoder, chip, load) = self.load(&located.folder, located.chip)?;
        let frame_prompt = located.frame_prompt(&item.prompt.foreground, chip.src_shape, chip.dst_shape)?;

        let decode_start = Instant::now();
        let decoded = decoder.decode(&chip.prepared, &frame_prompt)?;
        let decode = milliseconds(decode_start);

        let vectorize_start = Instant::now();
        let selected = decoded.select(decoder.family(), item.output.multimask);
        let shape = located.folder.folder.chip(located.chip).shape;
        let masks: Vec<answer::ScoredMask> = selected
            .iter()
            .map(|s| answer::ScoredMask {
                score: s.score,
                mask: crate::mask::upscale(
                    decoded.logits.index_axis(Axis(0), s.index),
                    chip.src_shape,
                    chip.dst_shape,
                    shape,
                ),
            })
            .collect();
        let (collection, reports) = output.write(&masks)?;
        let vectorize = milliseconds(vectorize_start);

        tracing::debug!(total_ms = milliseconds(start), load, decode, vectorize, "segmented");
        let indices: Vec<usize> = selected.iter().map(|s| s.index).collect();
        let first_mask = masks.into_iter().next().map_or_else(|| Mask::empty(shape.1, shape.0), |m| m.mask);
        Ok(Segmentation {
            collection,
            masks: reports,
            timing: Timing { queue: 0.0, load, decode, vectorize },
            logits: decoded.logits.select(Axis(0), &indices),
            first_mask,
        })
    }

    /// Segments one object and answers for it, whatever happens.
    pub fn respond(&self, folders: &[Arc<ServedFolder>], item: &PromptItem) -> Response {
        match self.segment(folders, item) {
            Ok(segmentation) => segmentation.into_response(item.id.clone()),
            Err(error) => Response::error(item.id.clone(), error.code(), error.to_string()),
        }
    }

    /// The decoder and the prepared chip, and the milliseconds it took to get them (0 from the cache).
    fn load(
        &self,
        folder: &ServedFolder,
        chip: usize,
    ) -> Result<(Arc<dyn MaskDecoder>, LoadedChip, f64), EngineError> {
        let key = (folder.folder.manifest().to_owned(), chip);
        let cached = self.cache().get(&key).cloned();
        if let Some(loaded) = cached {
            return Ok((self.decoders.for_folder(&folder.folder)?, loaded, 0.0));
        }
        let start = Instant::now();
        // Card and decoder are independent: the first prompt reads one while it builds the other.
        let (features, decoder) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| folder.folder.read_features(chip));
            let decoder = self.decoders.for_folder(&folder.folder);
            (reading.join(), decoder)
        });
        let decoder = decoder?;
        let features = features.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let loaded = LoadedChip {
            prepared: Arc::new(decoder.prepare(&features)?),
            src_shape: features.src_shape,
            dst_shape: features.dst_shape,
        };
        let bytes = loaded.prepared.bytes();
        self.cache().insert(key, loaded.clone(), bytes);
        Ok((decoder, loaded, milliseconds(start)))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, PreparedCache<ChipKey, LoadedChip>> {
        // The cache holds whole entries only, so a panic elsewhere leaves it usable.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(since: Instant) -> f64 {
    // Three decimals are more than any clock on a board can tell.
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
