//! What a request may hold, after parsing. Coordinates are still in the request's own CRS.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::everything::EverythingOptions;
use super::finish::Finish;
use super::output::output_from;
use crate::geo::{Bounds, Crs, GeoError};

/// The name a client gives a request; echoed as it came, as a string or a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A string id.
    Text(String),
    /// A number id, echoed as a number.
    Number(serde_json::Number),
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A CRS named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrsChoice {
    /// `"EPSG:n"`.
    Epsg(u32),
    /// `"source"`: the folder's own CRS, whatever it is.
    Source,
}

impl CrsChoice {
    /// Longitude and latitude on WGS84, the default everywhere.
    pub const WGS84: Self = Self::Epsg(4326);

    /// `source` in any case, a code in any of the spellings of [`Crs::code_in`], or a WKT or PROJJSON that leads to a
    /// code. Whether a bare code is supported is not asked here: a folder of the same code needs no support.
    ///
    /// # Errors
    /// [`GeoError::NotACrs`] for any other text, [`GeoError::UnknownCrs`] for a CRS without a code.
    pub fn parse(text: &str) -> Result<Self, GeoError> {
        if text.trim().eq_ignore_ascii_case("source") {
            return Ok(Self::Source);
        }
        if let Some(code) = Crs::code_in(text) {
            return Ok(Self::Epsg(code));
        }
        let crs = Crs::parse(text)?;
        crs.epsg().map(Self::Epsg).ok_or_else(|| GeoError::UnknownCrs {
            name: crs.name().to_owned(),
            problem: "it has no EPSG code".to_owned(),
        })
    }

    /// Whether coordinates are degrees of longitude and latitude; `None` where that cannot be told without the folder.
    pub fn is_geographic(self) -> Option<bool> {
        match self {
            Self::Source => None,
            Self::Epsg(code) => Crs::from_epsg(code).ok().map(|crs| crs.is_geographic()),
        }
    }
}

impl std::fmt::Display for CrsChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Epsg(code) => write!(f, "EPSG:{code}"),
            Self::Source => f.write_str("source"),
        }
    }
}

/// Points and at most one box, describing one object. At least one of both is present.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PromptSet {
    /// (x, y) of each point: longitude, latitude or easting, northing, in the request's CRS.
    pub points: Vec<[f64; 2]>,
    /// For each point: `true` foreground (label 1), `false` background (label 0).
    pub foreground: Vec<bool>,
    /// `[west, south, east, north]` of the box, in the request's CRS; in degrees it may go on beyond 180.
    pub bbox: Option<Bounds>,
}

impl PromptSet {
    /// Whether there is nothing to segment.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.bbox.is_none()
    }
}

/// How polygons are drawn from mask pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vectorization {
    /// Along the pixel edges, as GDAL's polygonize does.
    #[default]
    Pixel,
    /// Pixel edges simplified by the tolerance, topology kept.
    Simplified,
}

/// What to do with an answer over `max_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTooLarge {
    /// Coarsen until it fits, and report the tolerance used.
    #[default]
    Simplify,
    /// Answer `TOO_LARGE` at once.
    Error,
}

/// Which of SAM's masks of a prompt an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Multimask {
    /// The one that geosam takes: the single mask, see [`crate::decoder::Decoded::select`].
    #[default]
    Off,
    /// The three candidates.
    All,
    /// Of the three candidates the one with the highest predicted IoU, as segment-anything advises for a single click.
    Best,
}

/// The `output` member of a request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputOptions {
    /// CRS of the answer's coordinates.
    pub crs: CrsChoice,
    /// How polygons are drawn.
    pub vectorization: Vectorization,
    /// Tolerance of simplification in source pixels; geosam's own is 1.5.
    pub tolerance: f64,
    /// Only the polygon with most pixels.
    pub largest_only: bool,
    /// Polygons with a smaller geodesic area are left out.
    pub min_area_m2: f64,
    /// Holes filled, staircases smoothed, right angles.
    pub finish: Finish,
    /// Tell the perimeter of each outline, and how it lies.
    pub measures: bool,
    /// Return SAM's three candidate masks, or the best of them, instead of the single one.
    pub multimask: Multimask,
    /// Bound on the answer's bytes; `None` leaves the transport's default.
    pub max_bytes: Option<usize>,
    /// What to do with a larger answer.
    pub on_too_large: OnTooLarge,
}

impl OutputOptions {
    /// The tolerance that is asked for, where outlines are to be simplified at all.
    pub fn simplification(&self) -> Option<f64> {
        (self.vectorization == Vectorization::Simplified && self.tolerance > 0.0).then_some(self.tolerance)
    }

    /// The same, drawn with this tolerance, or along pixel edges.
    #[must_use]
    pub fn simplified_by(self, tolerance: Option<f64>) -> Self {
        match tolerance {
            Some(tolerance) => Self { vectorization: Vectorization::Simplified, tolerance, ..self },
            None => Self { vectorization: Vectorization::Pixel, ..self },
        }
    }
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            crs: CrsChoice::WGS84,
            vectorization: Vectorization::Pixel,
            tolerance: 1.5,
            largest_only: false,
            min_area_m2: 0.0,
            finish: Finish::default(),
            measures: false,
            multimask: Multimask::Off,
            max_bytes: None,
            on_too_large: OnTooLarge::Simplify,
        }
    }
}

/// One object to segment: a whole `segment` request, or one entry of its `prompts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptItem {
    /// The entry's own id, if it has one.
    pub id: Option<RequestId>,
    /// Folder to search; `None` searches every ready folder.
    pub folder: Option<String>,
    /// CRS of the prompt's coordinates.
    pub crs: CrsChoice,
    /// The prompt itself; empty for verbs that need none.
    pub prompt: PromptSet,
    /// What the answer should look like.
    pub output: OutputOptions,
    /// Follow the object into neighbouring chips, over so many at the most; `None` stays on one chip.
    #[serde(default)]
    pub stitch: Option<u16>,
    /// Start from the mask of an earlier answer: of the session, or of this very prompt.
    #[serde(default)]
    pub refine: bool,
    /// The object's own properties, which come back with its answer.
    #[serde(default)]
    pub properties: Option<Map<String, Value>>,
    /// Why it is no prompt: of many drawn objects it is refused by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Default for PromptItem {
    /// What a request asks for that says nothing.
    fn default() -> Self {
        let (prompt, output) = (PromptSet::default(), OutputOptions::default());
        let crs = CrsChoice::WGS84;
        Self {
            id: None,
            folder: None,
            crs,
            prompt,
            output,
            stitch: None,
            refine: false,
            properties: None,
            problem: None,
        }
    }
}

/// What a request says itself, as against what it inherits or leaves to defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Said {
    /// Its keys; of a GeoJSON prompt those of its member `geosam`, and `points` and `bbox` where they were drawn.
    pub keys: Vec<String>,
    /// The keys of its entries of `prompts`, each once.
    pub entry_keys: Vec<String>,
    /// Its own `output`, as it was written.
    pub output: Map<String, Value>,
}

impl Said {
    /// Whether it has the key.
    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|said| said == key)
    }

    /// The output that is asked for where `base` stands for what is not said.
    pub fn output_over(&self, base: OutputOptions) -> OutputOptions {
        // It was read before, so it is one.
        output_from(&Value::Object(self.output.clone()), base, "").unwrap_or(base)
    }
}

/// A request of any verb, checked for form: names are valid, numbers finite, counts within limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The request's own prompt and options; for a batch, what its entries inherit.
    pub item: PromptItem,
    /// The entries of a batch, in order; `None` for a single request.
    pub batch: Option<Vec<PromptItem>>,
    /// What it says itself.
    pub said: Said,
    /// The earlier answer of the client whose mask a `segment` starts from.
    #[serde(default)]
    pub mask_of: Option<RequestId>,
    /// Milliseconds after receipt when nobody waits for the answer any more.
    pub ttl_ms: Option<u64>,
    /// Of one client's waiting previews only the newest is run.
    pub preview: bool,
    /// Session of `add`, `undo`, `clear`, `save`, `unsave`.
    pub session: Option<String>,
    /// Layer of `save`, `unsave`, `update`, `delete`, `fetch`.
    pub layer: Option<String>,
    /// Properties to keep with a saved object, or, for `update`, to change; `null` takes one out.
    pub properties: Map<String, Value>,
    /// Request to take back, for `cancel`.
    pub request_id: Option<RequestId>,
    /// First object of a page, for `fetch`.
    pub offset: Option<u64>,
    /// Objects on a page, for `fetch`.
    pub limit: Option<u64>,
    /// Points and filters, for `everything`.
    #[serde(default)]
    pub everything: Option<EverythingOptions>,
    /// The one chip whose masks are asked for, for `everything`.
    #[serde(default)]
    pub chip: Option<String>,
    /// Saved objects, for `update`, `delete`, `fetch`; none where the request names none.
    pub ids: Vec<String>,
    /// Layer to move objects to, for `update`.
    pub to_layer: Option<String>,
    /// Who saved, for `fetch`.
    pub client: Option<String>,
    /// Saved at this time or later, for `fetch`.
    pub since: Option<SystemTime>,
    /// Saved before this time, for `fetch`.
    pub until: Option<SystemTime>,
}

impl Request {
    /// The id to answer with.
    pub fn id(&self) -> Option<&RequestId> {
        self.item.id.as_ref()
    }
}
