//! The way itself: locate, load, prepare, decode, vectorize.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ndarray::Axis;

use super::answer::{DrawnMask, Writer};
use super::decoders::{Pick, Picked};
use super::kept::Kept;
use super::refine::{LowResMask, MaskInput, best};
use super::swapped::locate_or_advise;
use super::{Decoders, EngineChoice, EngineError, Segmentation, ServedFolder};
use crate::accelerator::{Accelerator, SelfCheck};
use crate::api::{Feature, FeatureCollection, Multimask, PromptItem, Timing};
use crate::catalog::CatalogError;
use crate::decoder::{
    CpuEngine, Decoded, DecoderError, FramePrompt, Keep, MaskDecoder, PreparedCache, PreparedChip,
    SelectedMask,
};
use crate::family::Family;
use crate::mask::Mask;
use crate::models::ModelStore;

/// How an engine is built.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Directory of imported models.
    pub models: PathBuf,
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
pub(super) struct FileStamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// The file as it is now; nothing of one that is not there, which reading it will say.
    pub fn of(path: &Path) -> Option<Self> {
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

impl Engine {
    /// An engine over a directory of models.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(options: &EngineOptions) -> Result<Self, EngineError> {
        Ok(Self {
            decoders: Decoders::open(&options.models, options.engine.on_the_processor(), options.threads)?,
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

    /// Calls something before each decode, and now and then in what takes long after many: a request that does is still alive, and
    /// may be made to wait there. The first call counts.
    pub fn on_step(&self, step: impl Fn() + Send + Sync + 'static) {
        // Who comes second finds somebody who is told already.
        let _ = self.step.set(Box::new(step));
    }

    /// A moment at which a request may be made to wait.
    pub(super) fn breathe(&self) {
        if let Some(step) = self.step.get() {
            step();
        }
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

    /// Looks at the models directory again, takes the models that were seen on cards, and says whether any have changed.
    pub fn look_for_models(&self, on_cards: &[Arc<ModelStore>]) -> bool {
        let changed = self.decoders.look(on_cards);
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
        self.segment_from(folders, item, MaskInput::asked_by(item))
    }

    /// The same from a mask, whatever the item says of refining.
    ///
    /// # Errors
    /// As [`Engine::segment`]; a mask that does not fit, or a model that cannot start from one.
    pub fn segment_from(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
        input: MaskInput<'_>,
    ) -> Result<Segmentation, EngineError> {
        if let Some(max_chips) = item.stitch {
            return self.segment_whole(folders, item, input, max_chips.into());
        }
        let drawn = self.segment_on_one_chip(folders, item, input, |writer, masks| {
            Ok((writer.write(masks, &item.output)?, ()))
        });
        drawn.map(|(segmentation, ())| segmentation)
    }

    /// Segments one object, and draws what [`Segmentation::objects`] draws: the collection of the answer has no parts then, only the CRS,
    /// but where it is followed over several chips.
    ///
    /// # Errors
    /// As [`Engine::segment`].
    pub fn segment_objects(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
    ) -> Result<(Segmentation, Vec<Feature>), EngineError> {
        if item.stitch.is_some() {
            let segmentation = self.segment(folders, item)?;
            let objects = segmentation.objects(&item.output)?;
            return Ok((segmentation, objects));
        }
        self.segment_on_one_chip(folders, item, MaskInput::asked_by(item), |writer, masks| {
            let objects = writer.write_objects(masks, &item.output)?;
            Ok((FeatureCollection { bbox: None, crs: writer.crs().cloned(), features: Vec::new() }, objects))
        })
    }

    /// Segments on the chip of the prompt; `draw` makes what is answered of the masks.
    fn segment_on_one_chip<T>(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
        input: MaskInput<'_>,
        draw: impl FnOnce(&mut Writer<'_>, &[DrawnMask]) -> Result<(FeatureCollection, T), EngineError>,
    ) -> Result<(Segmentation, T), EngineError> {
        let mut located = locate_or_advise(folders, item)?;
        located.stay_with(input);
        // An output CRS that we refuse should not cost a decode.
        let known = self.ways.take(&located.folder, located.chip, item.output.crs);
        let mut writer = Writer::new(&located.folder, located.chip, item.output.crs, known)?;
        let chip = located.folder.chip(located.chip)?;
        let frame_prompt = located.frame_prompt(&chip, &item.prompt.foreground)?;
        let source = self.mask_source(&located.folder, located.chip)?;
        let (answer, refine) =
            self.decode_from(&located.folder, located.chip, frame_prompt, input, item.output.multimask)?;
        let (decoded, family, [load, decode]) = answer;

        let start = Instant::now();
        let selected = selected(&decoded, family, item.output.multimask);
        let upscaled = |index| {
            let logits = decoded.logits.index_axis(Axis(0), index);
            crate::mask::upscale(logits, chip.shape, chip.dst_shape, chip.shape)
        };
        let masks = selected.iter().map(|s| upscaled(s.index)).collect::<Result<Vec<_>, _>>()?;
        let drawn: Vec<DrawnMask> =
            selected.iter().zip(&masks).map(|(s, mask)| DrawnMask::new(s.score, mask)).collect();
        let (collection, more) = draw(&mut writer, &drawn)?;
        let chip_bbox = Some(writer.chip_bbox(chip.shape)?);
        self.ways.put(&located.folder, located.chip, item.output.crs, writer.into_ways());
        let vectorize = milliseconds(start);

        let indices: Vec<usize> = selected.iter().map(|s| s.index).collect();
        let first_mask = match masks.into_iter().next() {
            Some(mask) => mask,
            None => Mask::blank(chip.shape.0, chip.shape.1)?,
        };
        let segmentation = Segmentation {
            chip: located.chip,
            affine: chip.affine,
            stitch: None,
            refine,
            source: Some(source),
            begun: None,
            chip_bbox,
            masks: drawn,
            collection,
            timing: Timing { queue: 0.0, load, decode, vectorize },
            logits: decoded.logits.select(Axis(0), &indices),
            first_mask,
            prompt: located.prompt,
            folder: located.folder,
        };
        Ok((segmentation, more))
    }

    /// The mask alone that an item is answered with, to start another answer from; `None` where no chip covers the prompt.
    ///
    /// # Errors
    /// As [`Engine::segment_from`].
    pub fn low_res_mask(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
        input: MaskInput<'_>,
    ) -> Result<Option<LowResMask>, EngineError> {
        let mut located = match locate_or_advise(folders, item) {
            Err(EngineError::Catalog(CatalogError::NoChipCovers(_))) => return Ok(None),
            located => located?,
        };
        located.stay_with(input);
        let chip = located.folder.chip(located.chip)?;
        let prompt = located.frame_prompt(&chip, &item.prompt.foreground)?;
        let source = self.mask_source(&located.folder, located.chip)?;
        let multimask = item.output.multimask;
        let ((decoded, family, _), _) =
            self.decode_from(&located.folder, located.chip, prompt, input, multimask)?;
        Ok(Some(LowResMask::new(source, best(&decoded, family, multimask), family)))
    }

    /// Decodes with the accelerator, where it is ready, or on the processor. What the accelerator fails at, the processor
    /// does again: if it can, the accelerator is at fault and given up; if it cannot, the chip or the prompt is.
    pub(super) fn decode(
        &self,
        folder: &ServedFolder,
        chip: usize,
        prompt: &FramePrompt,
    ) -> Result<Answer, EngineError> {
        self.run(folder, chip, |decoder, prepared| decoder.decode(prepared, prompt))
    }

    /// Decodes many prompts on one chip; `None` where the scores say that none of the masks is of use. A sign of life comes
    /// after each few: as many as the decoder works on at a time.
    pub(super) fn decode_many(
        &self,
        folder: &ServedFolder,
        chip: usize,
        prompts: &[FramePrompt],
        keep: Keep,
    ) -> Result<Vec<Option<Decoded>>, EngineError> {
        let mut answers = Vec::with_capacity(prompts.len());
        let mut left = prompts;
        while !left.is_empty() {
            let (some, ..) = self.run(folder, chip, |decoder, prepared| {
                let some = left.len().min(decoder.at_once().max(1));
                decoder.decode_many(prepared, &left[..some], keep)
            })?;
            left = &left[some.len().max(1).min(left.len())..];
            answers.extend(some);
        }
        Ok(answers)
    }

    /// Has a decoder work on a chip; what comes of it, the family, and the milliseconds of loading and of the work.
    fn run<T>(
        &self,
        folder: &ServedFolder,
        chip: usize,
        work: impl Fn(&dyn MaskDecoder, &PreparedChip) -> Result<T, DecoderError>,
    ) -> Result<(T, Family, [f64; 2]), EngineError> {
        self.breathe();
        let start = Instant::now();
        let pick = self.decoders.pick(&folder.folder)?;
        let answer = self.run_on(&pick, folder, chip, &work);
        let error = match answer {
            Err(EngineError::Decoder(error)) if matches!(pick.engine, Picked::Accelerated(_)) => error,
            answer => return answer,
        };
        let processor = self.decoders.pick_processor(pick.model);
        let (decoded, family, [_, decode]) = self.run_on(&processor, folder, chip, &work)?;
        self.decoders.give_up(&processor.model, &error.to_string());
        self.prepared.retain(|key| key.engine.is_some());
        // All that was lost counts as loading.
        Ok((decoded, family, [rounded(start.elapsed().as_secs_f64() * 1e3 - decode), decode]))
    }

    fn run_on<T>(
        &self,
        pick: &Pick,
        folder: &ServedFolder,
        chip: usize,
        work: &impl Fn(&dyn MaskDecoder, &PreparedChip) -> Result<T, DecoderError>,
    ) -> Result<(T, Family, [f64; 2]), EngineError> {
        let attempt = || {
            let (decoder, prepared, load) = self.load(pick, folder, chip)?;
            let start = Instant::now();
            let done = work(&*decoder, &prepared)?;
            Ok((done, decoder.family(), [load, milliseconds(start)]))
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
            let read = || folder.read_features(chip);
            // Where no thread can be started, one after the other.
            let reading = std::thread::Builder::new().spawn_scoped(scope, read).ok();
            let decoder = self.decoders.decoder(pick);
            let features = reading.map_or_else(
                || folder.read_features(chip),
                |reading| reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
            (features, decoder)
        });
        let decoder = decoder?;
        let features = features?;
        let prepared = Arc::new(decoder.prepare_owned(features)?);
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
