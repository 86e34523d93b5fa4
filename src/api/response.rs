//! What a request is answered with.

use serde::Serialize;
use serde_json::{Map, Value};

use super::request::RequestId;
use crate::ErrorCode;
use crate::geo::Geometry;

/// An answer: the request's id and either a result or an error.
#[derive(Debug, Clone, Serialize)]
pub struct Response {
    /// The request's id; `null` where it had none.
    pub id: Option<RequestId>,
    /// The properties of the object that was asked for, as they came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and mostly the large one")]
pub enum Outcome {
    /// One segmented object.
    Mask {
        /// Always `ok`.
        status: OkStatus,
        /// The polygons.
        result: FeatureCollection,
        /// One entry a mask, also where it is empty.
        masks: Vec<MaskReport>,
        /// Where the time went.
        timing_ms: Timing,
        /// Bounds of the chip that answered, `[west, south, east, north]` in the output CRS; absent of an object that was
        /// followed.
        #[serde(skip_serializing_if = "Option::is_none")]
        chip_bbox: Option<[f64; 4]>,
        /// Tolerance of simplification in source pixels, where the outlines were simplified.
        #[serde(skip_serializing_if = "Option::is_none")]
        tolerance: Option<f64>,
        /// How far the object was followed, where the request asked for it.
        #[serde(flatten)]
        stitch: Option<StitchReport>,
        /// Whether it started from an earlier mask, where the request asked for it.
        #[serde(flatten)]
        refine: Option<RefineReport>,
    },
    /// A batch, in the order of its prompts.
    Batch {
        /// Always `ok`; each entry has its own status.
        status: OkStatus,
        /// One response a prompt.
        results: Vec<Response>,
    },
    /// The answer of a verb that returns something else.
    Reply {
        /// Always `ok`.
        status: OkStatus,
        /// The verb's own members.
        #[serde(flatten)]
        members: Map<String, Value>,
    },
    /// A refusal or a failure.
    Error {
        /// Always `error`.
        status: ErrorStatus,
        /// What went wrong.
        error: ApiError,
    },
}

/// The word `ok`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub enum OkStatus {
    /// The word.
    #[default]
    #[serde(rename = "ok")]
    Ok,
}

/// The word `error`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub enum ErrorStatus {
    /// The word.
    #[default]
    #[serde(rename = "error")]
    Error,
}

impl Response {
    /// A failure.
    pub fn error(id: Option<RequestId>, code: ErrorCode, message: impl Into<String>) -> Self {
        let error = ApiError { code, message: message.into(), retryable: code.retryable() };
        Self { id, properties: None, outcome: Outcome::Error { status: ErrorStatus::Error, error } }
    }

    /// The answer of a session without prompts: no mask.
    pub fn empty_mask(id: Option<RequestId>) -> Self {
        let result = FeatureCollection { bbox: None, crs: None, features: Vec::new() };
        let (masks, timing_ms) = (Vec::new(), Timing::default());
        let (status, tolerance, chip_bbox, stitch, refine) = (OkStatus::Ok, None, None, None, None);
        Self {
            id,
            properties: None,
            outcome: Outcome::Mask { status, result, masks, timing_ms, chip_bbox, tolerance, stitch, refine },
        }
    }

    /// The answer to a batch.
    pub const fn batch(id: Option<RequestId>, results: Vec<Self>) -> Self {
        Self { id, properties: None, outcome: Outcome::Batch { status: OkStatus::Ok, results } }
    }

    /// The answer of a verb with members of its own.
    pub const fn reply(id: Option<RequestId>, members: Map<String, Value>) -> Self {
        Self { id, properties: None, outcome: Outcome::Reply { status: OkStatus::Ok, members } }
    }

    /// Whether the request as a whole succeeded.
    pub const fn is_ok(&self) -> bool {
        !matches!(self.outcome, Outcome::Error { .. })
    }
}

/// The `error` member of a response.
#[derive(Debug, Clone, Serialize)]
pub struct ApiError {
    /// Stable code.
    pub code: ErrorCode,
    /// What happened and what to do about it.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

/// A GeoJSON FeatureCollection (RFC 7946).
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type")]
pub struct FeatureCollection {
    /// `[west, south, east, north]` of all features, in the output CRS; absent without features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bbox: Option<[f64; 4]>,
    /// Named CRS of GeoJSON 2008, only where the output is not WGS84.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crs: Option<LegacyCrs>,
    /// The features.
    pub features: Vec<Feature>,
}

/// The `crs` member of GeoJSON 2008, which QGIS and GDAL read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Value")]
pub struct LegacyCrs {
    /// The CRS's name, for example `urn:ogc:def:crs:EPSG::32618`.
    pub name: String,
}

impl From<LegacyCrs> for Value {
    fn from(crs: LegacyCrs) -> Self {
        serde_json::json!({"type": "name", "properties": {"name": crs.name}})
    }
}

/// One polygon of a mask.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type")]
pub struct Feature {
    /// A Polygon, or a MultiPolygon where the antimeridian splits it.
    pub geometry: Geometry,
    /// What is known of it.
    pub properties: MaskProperties,
}

/// The properties of a polygon.
#[derive(Debug, Clone, Serialize)]
pub struct MaskProperties {
    /// Which mask of the answer it belongs to.
    pub mask: usize,
    /// The model's own estimate of its IoU; may lie outside 0..1.
    pub score: f32,
    /// Chip it was decoded on.
    pub chip_id: String,
    /// Folder of the chip.
    pub folder: String,
    /// File name of the checkpoint.
    pub model: String,
    /// Family of the checkpoint.
    pub model_type: crate::Family,
    /// Geodesic area on the WGS84 ellipsoid; absent where the CRS cannot be taken to WGS84.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_m2: Option<f64>,
    /// Mask pixels inside it.
    pub pixels: u64,
    /// Whether it touches the edge of the chip, so that the object may go on beyond.
    pub touches_chip_edge: bool,
    /// Tolerance of simplification in source pixels, where it was simplified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// What else is told of it, where the request asks for it.
    #[serde(flatten)]
    pub report: OutlineReport,
}

/// What is told of an outline that a request asks to have right angles, or to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct OutlineReport {
    /// Whether it has right angles; absent where they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right_angles: Option<RightAngles>,
    /// Length of all its rings in metres on the WGS84 ellipsoid, holes included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perimeter_m: Option<f64>,
    /// Bearing of the long side of the smallest rectangle around it, in degrees clockwise from true north, 0 to 180.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation_deg: Option<f64>,
    /// That rectangle's long side over its short one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elongation: Option<f64>,
}

impl OutlineReport {
    /// The properties that it has.
    pub fn properties(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(properties)) => properties,
            _ => Map::new(),
        }
    }
}

/// Whether an outline has the right angles that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RightAngles {
    /// It has.
    Kept,
    /// They do not fit the mask: it is drawn as the rest of the request says.
    NotFitting,
}

/// The summary of one mask.
#[derive(Debug, Clone, Serialize)]
pub struct MaskReport {
    /// Position in the answer.
    pub index: usize,
    /// The model's own estimate of its IoU.
    pub score: f32,
    /// Mask pixels.
    pub pixels: u64,
    /// Chip it was decoded on.
    pub chip_id: String,
    /// The sides of the chip that cut it, where it is on one chip: beyond them it may go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cut_at: Vec<ChipSide>,
}

/// A side of a chip, as its rows and columns run: the top is the first row, north where the raster is not rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChipSide {
    /// The first row.
    Top,
    /// The last column.
    Right,
    /// The last row.
    Bottom,
    /// The first column.
    Left,
}

/// How far an object was followed over chips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StitchReport {
    /// The chips that took part, in the order in which they were asked.
    pub chips: Vec<String>,
    /// Whether the object ends within them.
    pub complete: bool,
    /// Why it may go on; absent of a complete one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete_because: Vec<Incomplete>,
}

/// Why an object may go on where it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Incomplete {
    /// No chip lies beyond: the raster, or what was encoded of it, ends there.
    RasterEdge,
    /// The request's bound on chips is reached, or the object is too large for one mask.
    MaxChips,
    /// The chip beyond answers with another object.
    Disagreement,
    /// The chips beyond were not asked: the area that everything was looked for in ends there.
    Area,
}

/// Whether an answer started from an earlier mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RefineReport {
    /// Whether it did.
    pub refined: bool,
    /// Why not; absent where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_refined_because: Option<NotRefined>,
}

impl RefineReport {
    /// It did.
    pub const DONE: Self = Self { refined: true, not_refined_because: None };

    /// It did not.
    pub const fn not(because: NotRefined) -> Self {
        Self { refined: false, not_refined_because: Some(because) }
    }
}

/// Why an answer did not start from an earlier mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRefined {
    /// There is none yet: the session's first prompts, or prompts before that no chip covered.
    NoMask,
    /// The prompts are answered on another chip now.
    OtherChip,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Waiting for a decoder.
    pub queue: f64,
    /// Reading and preparing the chip; 0 where it was in the cache.
    pub load: f64,
    /// Prompt to low-resolution logits.
    pub decode: f64,
    /// Logits to polygons.
    pub vectorize: f64,
}
