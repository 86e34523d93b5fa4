//! What a prompt is answered with: masks, what they were drawn from, and how they become a response or an object.

use std::sync::Arc;

use ndarray::{Array2, Array3, Axis};

use super::answer::{self, DrawnMask, MaskObject, Writer};
use super::fit::written_bytes;
use super::refine::{LowResMask, MaskSource};
use super::{EngineError, ServedFolder};
use crate::api::{
    Feature, FeatureCollection, OkStatus, Outcome, OutputOptions, RefineReport, RequestId, Response,
    StitchReport, Timing,
};
use crate::catalog::PromptGeometry;
use crate::geo::Affine;
use crate::mask::Mask;

/// One segmented object.
#[derive(Debug, Clone)]
pub struct Segmentation {
    pub(super) folder: Arc<ServedFolder>,
    pub(super) chip: usize,
    /// Pixels of the masks to the folder's CRS: the chip's own, or those of an object over several chips.
    pub(super) affine: Affine,
    pub(super) stitch: Option<StitchReport>,
    pub(super) refine: Option<RefineReport>,
    /// What the mask comes from; `None` of an object that no chip covers as it was asked for.
    pub(super) source: Option<MaskSource>,
    /// Of a stitched object: the logits that its first chip began with.
    pub(super) begun: Option<Array2<f32>>,
    pub(super) chip_bbox: Option<[f64; 4]>,
    pub(super) masks: Vec<DrawnMask>,
    pub(super) collection: FeatureCollection,
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
        (source, begun): (Option<MaskSource>, Option<Array2<f32>>),
        refine: Option<RefineReport>,
    ) -> Self {
        Self {
            folder,
            chip,
            affine,
            stitch: Some(report),
            refine,
            source,
            begun,
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
        Self { first_mask, logits: Array3::zeros((0, 0, 0)), source: None, begun: None, ..self }
    }

    /// The mask, to start another answer from: of three the one with the highest predicted IoU. `None` where nothing is left of
    /// it, or where no chip covers the prompt.
    pub fn low_res_mask(&self) -> Option<LowResMask> {
        let source = self.source.clone()?;
        let mut best = 0;
        for (index, mask) in self.masks.iter().enumerate() {
            if self.masks.get(best).is_none_or(|other| mask.score > other.score) {
                best = index;
            }
        }
        let logits = match &self.begun {
            Some(begun) => begun.view(),
            None if best < self.logits.dim().0 => self.logits.index_axis(Axis(0), best),
            None => return None,
        };
        Some(LowResMask::new(source, logits, self.folder.folder.family()))
    }

    fn take_collection(&mut self) -> FeatureCollection {
        std::mem::replace(&mut self.collection, no_polygons())
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
        let tolerance = self.tolerance();
        let result = self.take_collection();
        self.response(id, tolerance, result)
    }

    /// Bytes of the polygons as they stand in a response.
    pub fn polygon_bytes(&self) -> usize {
        written_bytes(&self.collection)
    }

    /// Bytes of all that stands around them there.
    pub fn bytes_around(&self, id: Option<RequestId>) -> usize {
        let without = written_bytes(&self.response(id, self.tolerance(), no_polygons()));
        without - written_bytes(&no_polygons())
    }

    fn response(&self, id: Option<RequestId>, tolerance: Option<f64>, result: FeatureCollection) -> Response {
        let chip_id = self.folder.chip(self.chip).map_or("", |chip| chip.id).to_owned();
        let outcome = Outcome::Mask {
            status: OkStatus::Ok,
            tolerance,
            masks: answer::reports(&self.masks, &chip_id),
            result,
            timing_ms: self.timing,
            chip_bbox: self.chip_bbox,
            stitch: self.stitch.clone(),
            refine: self.refine,
        };
        Response { id, properties: None, outcome }
    }
}

const fn no_polygons() -> FeatureCollection {
    FeatureCollection { bbox: None, crs: None, features: Vec::new() }
}
