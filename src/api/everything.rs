//! How everything in an area is looked for: a grid of points, and which of the masks that they give are objects.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Parsed, RequestError};
use super::values::{given, kind_of, known_keys, whole, wrong_type};

/// Points and filters of `everything`. Names and defaults are those of segment-anything's `SamAutomaticMaskGenerator`,
/// but for `nms_thresh`, which compares masks where `box_nms_thresh` compares their boxes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EverythingOptions {
    /// Points along a side of a chip; where chips overlap a place is asked on one of them.
    pub points_per_side: u16,
    /// Masks with a lower predicted IoU are left out.
    pub pred_iou_thresh: f32,
    /// Masks with a lower stability score are left out: the area at a cutoff raised by the offset, over that at one
    /// lowered by it.
    pub stability_score_thresh: f32,
    /// How far the cutoff of the logits is raised and lowered for the stability score.
    pub stability_score_offset: f32,
    /// Of two masks of a chip with a greater IoU the one with the lower score is a duplicate.
    pub nms_thresh: f32,
    /// Regions of an object with fewer pixels are left out.
    pub min_mask_region_area: u64,
}

impl Default for EverythingOptions {
    fn default() -> Self {
        Self {
            points_per_side: 32,
            pred_iou_thresh: 0.88,
            stability_score_thresh: 0.95,
            stability_score_offset: 1.0,
            nms_thresh: 0.7,
            min_mask_region_area: 0,
        }
    }
}

/// Points along a side at the most: every eighth pixel of a chip of 1024.
pub const MOST_POINTS_PER_SIDE: u16 = 128;

const KEYS: &[&str] = &[
    "points_per_side",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "nms_thresh",
    "min_mask_region_area",
];

pub(super) fn everything_from(value: &Value) -> Parsed<EverythingOptions> {
    let path = "everything.";
    let Value::Object(object) = value else {
        return Err(RequestError::bad("everything", format!("is {}; send an object", kind_of(value))));
    };
    known_keys(object, KEYS, path)?;
    let mut options = EverythingOptions::default();
    if let Some(value) = given(object, "points_per_side") {
        let most = u64::from(MOST_POINTS_PER_SIDE);
        let points = whole(value).filter(|n| (1..=most).contains(n)).and_then(|n| u16::try_from(n).ok());
        options.points_per_side = points
            .ok_or_else(|| wrong_type(path, "points_per_side", value, "a whole number from 1 to 128"))?;
    }
    for (key, slot, most) in [
        ("pred_iou_thresh", &mut options.pred_iou_thresh, 1.0),
        ("stability_score_thresh", &mut options.stability_score_thresh, 1.0),
        ("nms_thresh", &mut options.nms_thresh, 1.0),
        ("stability_score_offset", &mut options.stability_score_offset, 100.0),
    ] {
        if let Some(value) = given(object, key) {
            let number = value.as_f64().filter(|n| (0.0..=most).contains(n));
            let wanted = format!("a number from 0 to {most}");
            *slot = number.ok_or_else(|| wrong_type(path, key, value, &wanted))? as f32;
        }
    }
    if let Some(value) = given(object, "min_mask_region_area") {
        options.min_mask_region_area = whole(value)
            .ok_or_else(|| wrong_type(path, "min_mask_region_area", value, "a whole number of pixels"))?;
    }
    Ok(options)
}
