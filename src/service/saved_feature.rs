//! The Feature that `save` appends to a layer: a mask as one geometry, with what is needed to know later how it came
//! about.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::api::PromptItem;
use crate::engine::{MaskObject, Segmentation};
use crate::free_name::free_name;

/// Properties that we write ourselves; a client's own may not take their place.
const OWN: &[&str] = &[
    "id",
    "client",
    "session",
    "layer",
    "folder",
    "chip_id",
    "model",
    "model_type",
    "model_sha256",
    "score",
    "area_m2",
    "pixels",
    "touches_chip_edge",
    "tolerance",
    "right_angles",
    "perimeter_m",
    "orientation_deg",
    "elongation",
    "prompt",
    "foreground",
    "background",
    "boxes",
    "software",
    "saved_at",
    "updated_at",
];

/// Where a saved object comes from.
pub(super) struct Origin<'a> {
    pub id: &'a str,
    pub client: &'a str,
    /// None where the prompt came with the `save`.
    pub session: Option<&'a str>,
    pub layer: &'a str,
    pub model_sha256: &'a str,
    pub saved_at: SystemTime,
}

impl Origin<'_> {
    /// Properties that every saved object has, however its mask came about.
    pub(super) fn properties(&self) -> Map<String, Value> {
        Map::from_iter([
            ("id".to_owned(), self.id.into()),
            ("client".to_owned(), self.client.into()),
            ("layer".to_owned(), self.layer.into()),
            ("model_sha256".to_owned(), self.model_sha256.into()),
            ("software".to_owned(), concat!("geosam-edge ", env!("CARGO_PKG_VERSION")).into()),
            ("saved_at".to_owned(), time_text(self.saved_at).into()),
        ])
    }
}

/// The client's property that is one of ours, if there is one.
pub(super) fn clash(properties: &Map<String, Value>) -> Option<&str> {
    properties.keys().map(String::as_str).find(|key| OWN.contains(key))
}

/// Gives what would take the place of our own another name, as GDAL does: `id_2`. Layers of other programs have fields of any name.
pub(super) fn beside_own(properties: Map<String, Value>) -> Map<String, Value> {
    let (clashing, mut kept): (Map<String, Value>, Map<String, Value>) =
        properties.into_iter().partition(|(name, _)| OWN.contains(&name.as_str()));
    for (name, value) in clashing {
        let is_free = |free: &str| !OWN.contains(&free) && !kept.contains_key(free);
        kept.insert(free_name(&name, '_', is_free), value);
    }
    kept
}

/// The Feature of an object that was segmented.
pub(super) fn feature(
    object: &MaskObject,
    segmentation: &Segmentation,
    item: &PromptItem,
    properties: &Map<String, Value>,
    origin: &Origin<'_>,
) -> Value {
    let prompt = &item.prompt;
    let foreground = prompt.foreground.iter().filter(|f| **f).count();
    let mut all = properties.clone();
    all.extend(origin.properties());
    let own = json!({
        "session": origin.session,
        "folder": segmentation.folder_name(),
        "chip_id": segmentation.chip_id(),
        "model": segmentation.checkpoint(),
        "model_type": segmentation.folder().folder.family(),
        "score": object.score,
        "area_m2": object.area_m2,
        "pixels": object.pixels,
        "touches_chip_edge": object.touches_chip_edge,
        "prompt": {
            "crs": item.crs.to_string(),
            "points": prompt.points,
            "labels": prompt.foreground.iter().map(|f| u8::from(*f)).collect::<Vec<_>>(),
            "bbox": prompt.bbox,
        },
        "foreground": foreground,
        "background": prompt.foreground.len() - foreground,
        "boxes": usize::from(prompt.bbox.is_some()),
    });
    if let Value::Object(own) = own {
        all.extend(own);
    }
    if let Some(tolerance) = object.tolerance {
        all.insert("tolerance".to_owned(), tolerance.into());
    }
    all.extend(object.report.properties());
    json!({"type": "Feature", "id": origin.id, "geometry": object.geometry, "properties": all})
}

/// The Feature as a line of a layer. "type" comes first: by it GDAL knows lines of Features; where it comes
/// last, GDAL takes the file for a single object and silently reads its first line alone.
pub(super) fn line(feature: &Value) -> String {
    let [id, geometry, properties] = ["id", "geometry", "properties"].map(|name| feature[name].to_string());
    format!(r#"{{"type":"Feature","id":{id},"geometry":{geometry},"properties":{properties}}}"#)
}

/// Any Feature as such a line, with all its members.
pub(super) fn line_of(feature: &Map<String, Value>) -> String {
    let id = feature.get("id").map(|id| format!(r#","id":{id}"#)).unwrap_or_default();
    let others = feature.iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "id"));
    let others: String =
        others.map(|(name, value)| format!(",{}:{value}", Value::from(name.as_str()))).collect();
    format!(r#"{{"type":"Feature"{id}{others}}}"#)
}

/// The last moment that RFC 3339 can say, in seconds since 1970.
const LAST: u64 = 253_402_300_799;

/// A time as RFC 3339 says it; one that it cannot say, as a board's clock without a battery may show, is the nearest that it can.
pub(super) fn time_text(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST);
    humantime::format_rfc3339_millis(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_no_date_says_are_told_as_the_nearest() {
        let day = Duration::from_secs(86_400);
        let told = |time| time_text(time);
        assert_eq!(told(SystemTime::UNIX_EPOCH - day), "1970-01-01T00:00:00.000Z");
        assert_eq!(told(SystemTime::UNIX_EPOCH + day * 4_000_000), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn a_line_begins_with_its_type_and_holds_the_whole_feature() {
        let feature = json!({"type": "Feature", "id": "a\"b", "geometry": {"type": "Polygon", "coordinates": []},
                             "properties": {"area_m2": 1.5}});
        let line = line(&feature);
        assert!(line.starts_with(r#"{"type":"Feature","id":"#), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), feature);
    }
}
