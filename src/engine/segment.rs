//! The way itself: locate, load, prepare, decode, vectorize.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ndarray::{Array2, Array3, Axis};

use super::answer::{self, DrawnMask, MaskObject, Writer};
use super::decoders::{Pick, Picked};
use super::kept::Kept;
use super::swapped::locate_or_advise;
use super::{Decoders, EngineChoice, EngineError, ServedFolder};
use crate::accelerator::{Accelerator, SelfCheck};
use crate::api::{
    Feature, FeatureCollection, Multimask, Outcome, OutputOptions, PromptItem, RequestId, Response,
    StitchReport, Timing,
};
use crate::catalog::PromptGeometry;
use crate::decoder::{
    CpuEngine, Decoded, DecoderError, FramePrompt, MaskDecoder, PreparedCache, PreparedChip, SelectedMask,
};
use crate::family::Family;
use crate::features::Crc;
use crate::geo::Affine;
use crate::mask::Mask;

/// How an engine is built.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Directory of imported models.
    pub models: PathBuf,
    /// Directories whose `models` are looked into as well: cards.
    pub cards: Vec<PathBuf>,
    /// Which engine decodes on the processor.
    pub engine: EngineChoice,
    /// Threads of one decode.
    pub threads: usize,
    /// Bytes of prepared chips kept in memory.
    pub cache_bytes: usize,
}

/// A chip in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ChipKey {
    /// Which opening of its folder: a chip that is being read while its card is changed must not answer for the new one.
    opening: u64,
    /// Its row in the manifest.
    row: usize,
    /// Its file as it was: one that is copied again in place is another chip.
    file: FileStamp,
    /// Which of the processor's engines has prepared it; `None` for the accelerator.
    engine: Option<CpuEngine>,
}

/// What tells a file from the one that was in its place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileStamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// The file as it is now; nothing of one that is not there, which reading it will say.
    fn of(path: &Path) -> Option<Self> {
        let told = std::fs::metadata(path).ok()?;
        let modified = (told.mtime(), told.mtime_nsec());
        Some(Self { inode: told.ino(), bytes: told.len(), modified })
    }
}

/// A decoder, a chip that it has prepared, and the milliseconds it took to get them.
type Loaded = (Arc<dyn MaskDecoder>, Arc<PreparedChip>, f64);

/// What came out of a decoder, its family, and the milliseconds of loading and decoding.
pub(super) type Answer = (Decoded, Family, [f64; 2]);

/// Decoders and prepared chips. Shared between threads; folders come with each call.
pub struct Engine {
    decoders: Decoders,
    prepared: PreparedCache<ChipKey>,
    ways: Kept,
    step: OnceLock<Step>,
}

/// What is called before each decode.
type Step = Box<dyn Fn() + Send + Sync>;

/// One segmented object.
#[derive(Debug, Clone)]
pub struct Segmentation {
    folder: Arc<ServedFolder>,
    chip: usize,
    /// Pixels of the masks to the folder's CRS: the chip's own, or those of an object over several chips.
    affine: Affine,
    stitch: Option<StitchReport>,
    chip_bbox: Option<[f64; 4]>,
    masks: Vec<DrawnMask>,
    collection: FeatureCollection,
    /// Where the time went; `queue` is the caller's to fill.
    pub timing: Timing,
    /// Low-resolution logits `[M, L, L]` of the masks returned, M = 1 or 3.
    pub logits: Array3<f32>,
    /// The first mask, in the chip's shape; of a stitched object in that of all its chips, see [`Segmentation::affine`].
    pub first_mask: Mask,
    /// The prompt in the folder's CRS.
    pub prompt: PromptGeometry,
}

impl Segmentation {
    /// A stitched object: the folder, the chip it began on, the mask's pixels, and what was drawn of it.
    #[expect(clippy::too_many_arguments, reason = "every field of it")]
    pub(super) fn stitched(
        folder: Arc<ServedFolder>,
        chip: usize,
        affine: Affine,
        drawn: DrawnMask,
        collection: FeatureCollection,
        report: StitchReport,
        timing: Timing,
        (logits, mask): (Array2<f32>, Mask),
        prompt: PromptGeometry,
    ) -> Self {
        Self {
            folder,
            chip,
            affine,
            stitch: Some(report),
            chip_bbox: None,
            masks: vec![drawn],
            collection,
            timing,
            logits: logits.insert_axis(Axis(0)),
            first_mask: mask,
            prompt,
        }
    }

    /// The polygons, as the request asked for them.
    pub const fn collection(&self) -> &FeatureCollection {
        &self.collection
    }

    /// The same masks drawn in another way.
    ///
    /// # Errors
    /// A CRS that is not supported, or an answer that does not fit.
    pub fn collection_as(&self, options: &OutputOptions) -> Result<FeatureCollection, EngineError> {
        Writer::over(&self.folder, self.chip, self.affine, options.crs)?.write(&self.masks, options)
    }

    /// The first mask as one object, bounded by `options.max_bytes`, which `bytes` measures. `None` where nothing was found.
    ///
    /// # Errors
    /// A CRS that is not supported, or an object that does not fit.
    pub fn object(
        &self,
        options: &OutputOptions,
        bytes: impl Fn(&MaskObject) -> usize,
    ) -> Result<Option<MaskObject>, EngineError> {
        let Some(mask) = self.masks.first() else { return Ok(None) };
        Writer::over(&self.folder, self.chip, self.affine, options.crs)?.write_object(mask, options, bytes)
    }

    /// Each mask in which something was found as one Feature, whatever `options.max_bytes` says: its parts are one geometry,
    /// valid as a whole.
    ///
    /// # Errors
    /// A CRS that is not supported.
    pub fn objects(&self, options: &OutputOptions) -> Result<Vec<Feature>, EngineError> {
        Writer::over(&self.folder, self.chip, self.affine, options.crs)?.write_objects(&self.masks, options)
    }

    /// Tolerance in source pixels that the polygons were simplified with, where they were.
    pub fn tolerance(&self) -> Option<f64> {
        self.collection.features.first().and_then(|feature| feature.properties.tolerance)
    }

    /// Lets go of all but what the masks are drawn from, to be drawn again later.
    #[must_use]
    pub fn undrawn(mut self) -> Self {
        self.take_collection();
        let first_mask = Mask::blank(1, 1).unwrap_or(self.first_mask);
        Self { first_mask, logits: Array3::zeros((0, 0, 0)), ..self }
    }

    fn take_collection(&mut self) -> FeatureCollection {
        let empty = FeatureCollection { bbox: None, crs: None, features: Vec::new() };
        std::mem::replace(&mut self.collection, empty)
    }

    /// The same masks drawn as these options say.
    ///
    /// # Errors
    /// As [`Segmentation::collection_as`].
    pub fn drawn(self, options: &OutputOptions) -> Result<Self, EngineError> {
        let collection = self.collection_as(options)?;
        Ok(Self { collection, ..self })
    }

    /// Id of the chip that answered.
    pub fn chip_id(&self) -> &str {
        self.folder.chip(self.chip).map_or("", |chip| chip.id)
    }

    /// The folder that answered.
    pub fn folder(&self) -> &ServedFolder {
        &self.folder
    }

    /// Position of the chip in the folder.
    pub const fn chip(&self) -> usize {
        self.chip
    }

    /// Pixels of the masks to the folder's CRS.
    pub const fn affine(&self) -> Affine {
        self.affine
    }

    /// How far an object was followed, where the request asked for it.
    pub const fn stitch(&self) -> Option<&StitchReport> {
        self.stitch.as_ref()
    }

    /// Name of the folder that answered.
    pub fn folder_name(&self) -> &str {
        &self.folder.name
    }

    /// File name of the checkpoint.
    pub fn checkpoint(&self) -> &str {
        self.folder.folder.checkpoint()
    }

    /// The response to a request.
    pub fn into_response(mut self, id: Option<RequestId>) -> Response {
        self.take_response(id)
    }

    /// The response to a request, with the polygons; those are gone from here then, and may be drawn again.
    pub fn take_response(&mut self, id: Option<RequestId>) -> Response {
        let chip_id = self.folder.chip(self.chip).map_or("", |chip| chip.id).to_owned();
        let outcome = Outcome::Mask {
            status: crate::api::OkStatus::Ok,
            tolerance: self.tolerance(),
            masks: answer::reports(&self.masks, &chip_id),
            result: self.take_collection(),
            timing_ms: self.timing,
            chip_bbox: self.chip_bbox,
            stitch: self.stitch.clone(),
        };
        Response { id, properties: None, outcome }
    }
}

impl Engine {
    /// An engine over a directory of models.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(options: &EngineOptions) -> Result<Self, EngineError> {
        Ok(Self {
            decoders: Decoders::open(
                &options.models,
                &options.cards,
                options.engine.on_the_processor(),
                options.threads,
            )?,
            prepared: PreparedCache::new(options.cache_bytes),
            ways: Kept::default(),
            step: OnceLock::new(),
        })
    }

    /// The same, with engines beside the processor's.
    #[must_use]
    pub fn with_accelerator(self, accelerator: Accelerator) -> Self {
        Self { decoders: self.decoders.accelerated(accelerator), ..self }
    }

    /// The same, with the processor's engines compared before the fused executor decodes.
    #[must_use]
    pub fn with_self_check(self, check: SelfCheck) -> Self {
        Self { decoders: self.decoders.checked(check), ..self }
    }

    /// Calls something before each decode: a request that takes many is still alive. The first call counts.
    pub fn on_step(&self, step: impl Fn() + Send + Sync + 'static) {
        // Who comes second finds somebody who is told already.
        let _ = self.step.set(Box::new(step));
    }

    /// Lets go of what tract has built and prepared, when it has done its work.
    pub fn forget_tract(&self) {
        self.decoders.forget_tract();
        self.prepared.retain(|key| key.engine != Some(CpuEngine::Tract));
    }

    /// The models and their decoders.
    pub const fn decoders(&self) -> &Decoders {
        &self.decoders
    }

    /// Bytes of prepared chips in memory.
    pub fn cache_bytes(&self) -> usize {
        self.prepared.bytes()
    }

    /// Forgets the prepared chips of a folder, when its card is gone or it has changed.
    pub fn forget(&self, folder: &ServedFolder) {
        self.prepared.retain(|key| key.opening != folder.opening);
    }

    /// Looks at the models directory again, and says whether its models have changed.
    pub fn look_for_models(&self) -> bool {
        let changed = self.decoders.look();
        if changed {
            // What a decoder has prepared is of no use to another.
            self.prepared.retain(|_| false);
        }
        changed
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
        if let Some(max_chips) = item.stitch {
            return self.segment_whole(folders, item, max_chips.into());
        }
        let located = locate_or_advise(folders, item)?;
        // An output CRS that we refuse should not cost a decode.
        let known = self.ways.take(&located.folder, located.chip, item.output.crs);
        let mut writer = Writer::new(&located.folder, located.chip, item.output.crs, known)?;
        let chip = located.folder.chip(located.chip)?;
        let frame_prompt = located.frame_prompt(&chip, &item.prompt.foreground)?;
        let (decoded, family, [load, decode]) = self.decode(&located.folder, located.chip, &frame_prompt)?;

        let start = Instant::now();
        let selected = selected(&decoded, family, item.output.multimask);
        let upscaled = |index| {
            let logits = decoded.logits.index_axis(Axis(0), index);
            crate::mask::upscale(logits, chip.shape, chip.dst_shape, chip.shape)
        };
        let masks = selected.iter().map(|s| upscaled(s.index)).collect::<Result<Vec<_>, _>>()?;
        let drawn: Vec<DrawnMask> =
            selected.iter().zip(&masks).map(|(s, mask)| DrawnMask::new(s.score, mask)).collect();
        let collection = writer.write(&drawn, &item.output)?;
        let chip_bbox = Some(writer.chip_bbox(chip.shape)?);
        self.ways.put(&located.folder, located.chip, item.output.crs, writer.into_ways());
        let vectorize = milliseconds(start);

        let indices: Vec<usize> = selected.iter().map(|s| s.index).collect();
        let first_mask = match masks.into_iter().next() {
            Some(mask) => mask,
            None => Mask::blank(chip.shape.0, chip.shape.1)?,
        };
        Ok(Segmentation {
            chip: located.chip,
            affine: chip.affine,
            stitch: None,
            chip_bbox,
            masks: drawn,
            collection,
            timing: Timing { queue: 0.0, load, decode, vectorize },
            logits: decoded.logits.select(Axis(0), &indices),
            first_mask,
            prompt: located.prompt,
            folder: located.folder,
        })
    }

    /// Decodes with the accelerator, where it is ready, or on the processor. What the accelerator fails at, the processor
    /// does again: if it can, the accelerator is at fault and given up; if it cannot, the chip or the prompt is.
    pub(super) fn decode(
        &self,
        folder: &ServedFolder,
        chip: usize,
        prompt: &FramePrompt,
    ) -> Result<Answer, EngineError> {
        if let Some(step) = self.step.get() {
            step();
        }
        let start = Instant::now();
        let pick = self.decoders.pick(&folder.folder)?;
        let answer = self.decode_with(&pick, folder, chip, prompt);
        let error = match answer {
            Err(EngineError::Decoder(error)) if matches!(pick.engine, Picked::Accelerated(_)) => error,
            answer => return answer,
        };
        let processor = self.decoders.pick_processor(pick.model);
        let (decoded, family, [_, decode]) = self.decode_with(&processor, folder, chip, prompt)?;
        self.decoders.give_up(&processor.model, &error.to_string());
        self.prepared.retain(|key| key.engine.is_some());
        // All that was lost counts as loading.
        Ok((decoded, family, [rounded(start.elapsed().as_secs_f64() * 1e3 - decode), decode]))
    }

    fn decode_with(
        &self,
        pick: &Pick,
        folder: &ServedFolder,
        chip: usize,
        prompt: &FramePrompt,
    ) -> Result<Answer, EngineError> {
        let attempt = || {
            let (decoder, prepared, load) = self.load(pick, folder, chip)?;
            let start = Instant::now();
            let decoded = decoder.decode(&prepared, prompt)?;
            Ok((decoded, decoder.family(), [load, milliseconds(start)]))
        };
        match attempt() {
            Err(EngineError::Decoder(DecoderError::ForeignPreparedChip { .. })) => {
                // The model was replaced while the chip was being prepared by the old one.
                self.prepared.retain(|key| key.opening != folder.opening || key.row != chip);
                attempt()
            }
            answer => answer,
        }
    }

    /// The decoder and the prepared chip, and the milliseconds it took to get them (0 from the cache).
    fn load(&self, pick: &Pick, folder: &ServedFolder, chip: usize) -> Result<Loaded, EngineError> {
        let engine = pick.engine.on_the_processor();
        let file = FileStamp::of(&folder.chip(chip)?.path());
        let key = file.map(|file| ChipKey { opening: folder.opening, row: chip, file, engine });
        if let Some(prepared) = key.and_then(|key| self.prepared.get(&key)) {
            return Ok((self.decoders.decoder(pick)?, prepared, 0.0));
        }
        // Room first: what was prepared of an older file is of no use.
        self.prepared.retain(|old| old.opening != folder.opening || old.row != chip || old.engine != engine);
        let start = Instant::now();
        // Card and decoder are independent: the first prompt reads one while it builds the other.
        let (features, decoder) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| folder.read_features(chip, Crc::Skip));
            let decoder = self.decoders.decoder(pick);
            (reading.join(), decoder)
        });
        let decoder = decoder?;
        let features = features.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let prepared = Arc::new(decoder.prepare(&features)?);
        if let Some(key) = key {
            self.prepared.insert(key, Arc::clone(&prepared));
        }
        Ok((decoder, prepared, milliseconds(start)))
    }
}

/// The masks that a request wants.
pub(super) fn selected(decoded: &Decoded, family: Family, multimask: Multimask) -> Vec<SelectedMask> {
    match multimask {
        Multimask::Off => decoded.select(family, false),
        Multimask::All => decoded.select(family, true),
        Multimask::Best => vec![decoded.best()],
    }
}

pub(super) fn milliseconds(since: Instant) -> f64 {
    rounded(since.elapsed().as_secs_f64() * 1e3)
}

/// Three decimals of a millisecond are more than any clock on a board can tell.
fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1e3).round() / 1e3
}
