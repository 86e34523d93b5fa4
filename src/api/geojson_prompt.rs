//! A prompt drawn on any map: GeoJSON (RFC 7946) of Points and at most one area, whose bounds are the box. Options stand in
//! the top-level member `geosam`. The member `crs` of GeoJSON 2008, which GDAL, QGIS and PostGIS write, counts.

use serde_json::{Map, Value};

use super::error::{Parsed, RequestError};
use super::limits::Limits;
use super::parse::request_from;
use super::prompt::{check_point_count, label_from};
use super::request::{CrsChoice, PromptItem, PromptSet, Request};
use super::values::{crs_from, given, numbers};
use crate::geo::Bounds;

pub(super) fn parse(
    mut object: Map<String, Value>,
    limits: &Limits,
    defaults: Option<&PromptItem>,
) -> Result<Request, RequestError> {
    let mut options = match object.remove("geosam") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(options)) => options,
        Some(_) => {
            return Err(RequestError::bad("geosam", "is not an object; it holds id, folder, output ..."));
        }
    };
    for key in ["points", "labels", "bbox", "prompts"] {
        if options.contains_key(key) {
            let problem = "stands beside a GeoJSON geometry; give the prompt once";
            return Err(RequestError::bad(format!("geosam.{key}"), problem));
        }
    }
    let objects = options.remove("objects").filter(|value| !value.is_null());
    match objects.as_ref().map(Value::as_str) {
        None | Some(Some("one")) => {}
        Some(Some("each")) => return super::each::parse(object, options, limits, defaults),
        _ => {
            let found = objects.unwrap_or_default();
            let problem = format!("is {found}; send \"each\" where each Feature is an object of its own");
            return Err(RequestError::bad("geosam.objects", problem));
        }
    }
    let asked = given(&options, "crs").map(|value| crs_from(value, "geosam.crs")).transpose()?;
    let mut request = request_from(options, limits, defaults)?;
    let mut drawn = Drawn { limits, crs: None, prompt: PromptSet::default(), area: None };
    let tree = Value::Object(object);
    let own = crs_member(&tree, "")?;
    match tree["type"].as_str() {
        Some("Feature") => drawn.add_feature(&tree, "Feature", own)?,
        Some("FeatureCollection") => {
            let features = tree["features"].as_array().ok_or_else(|| {
                RequestError::bad("features", "is not an array, as a FeatureCollection needs")
            })?;
            check_point_count(features.len(), "", limits)?;
            for (index, feature) in features.iter().enumerate() {
                drawn.add_feature(feature, &format!("features[{index}]"), own)?;
            }
        }
        Some("Point" | "MultiPoint" | "Polygon" | "MultiPolygon") => {
            drawn.add_geometry(&tree, "", None, own)?;
        }
        _ => {
            let problem = format!("is {}; send a Feature or a FeatureCollection", tree["type"]);
            return Err(RequestError::bad("type", problem));
        }
    }
    // Where nothing is drawn, the CRS of the file still stands.
    let written = drawn.crs.unwrap_or(own);
    if let (Some(written), Some(asked)) = (written, asked)
        && written != asked
    {
        let problem = format!(
            "\"geosam.crs\" is {asked}, the GeoJSON's own member \"crs\" {written}; give one of them"
        );
        return Err(RequestError::Contradiction(problem));
    }
    if let Some(written) = written {
        request.item.crs = written;
    }
    request.item.prompt = drawn.prompt(request.item.crs)?;
    let drawn =
        [("points", !request.item.prompt.points.is_empty()), ("bbox", request.item.prompt.bbox.is_some())];
    request.said.keys.extend(drawn.into_iter().filter(|(_, is)| *is).map(|(key, _)| key.to_owned()));
    Ok(request)
}

/// The member `crs` of a GeoJSON object; `null` says nothing.
fn crs_member(object: &Value, path: &str) -> Parsed<Option<CrsChoice>> {
    let key = if path.is_empty() { "crs".to_owned() } else { format!("{path}.crs") };
    let member = object.get("crs").filter(|value| !value.is_null());
    member.map(|value| crs_from(value, &key)).transpose()
}

/// What was found so far.
struct Drawn<'a> {
    limits: &'a Limits,
    /// The CRS that the geometries were written in; `Some(None)` where they say nothing.
    crs: Option<Option<CrsChoice>>,
    prompt: PromptSet,
    area: Option<(String, Vec<Vec<[f64; 2]>>)>,
}

impl Drawn<'_> {
    fn add_feature(&mut self, feature: &Value, path: &str, outer: Option<CrsChoice>) -> Parsed<()> {
        let crs = crs_member(feature, path)?.or(outer);
        let label = match &feature["properties"]["label"] {
            Value::Null => None,
            value => Some((value, format!("{path}.properties.label"))),
        };
        self.add_geometry(&feature["geometry"], &format!("{path}.geometry"), label, crs)
    }

    /// A label is only looked at where there is a point to have it.
    fn add_geometry(
        &mut self,
        geometry: &Value,
        path: &str,
        label: Option<(&Value, String)>,
        outer: Option<CrsChoice>,
    ) -> Parsed<()> {
        let key = |member: &str| if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") };
        let coordinates = &geometry["coordinates"];
        let parts = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
        let is_area = match geometry["type"].as_str() {
            Some("Point" | "MultiPoint") => false,
            Some("Polygon" | "MultiPolygon") => true,
            _ => {
                let found = &geometry["type"];
                let problem =
                    format!("is {found}; a prompt is made of Point and Polygon, or their Multi kinds");
                return Err(RequestError::bad(key("type"), problem));
            }
        };
        let crs = crs_member(geometry, path)?.or(outer);
        if let Some(before) = self.crs
            && before != crs
        {
            let name = |crs: Option<CrsChoice>| crs.unwrap_or(CrsChoice::WGS84);
            let problem = format!(
                "is {}, that of the objects before {}; a prompt has one CRS",
                name(crs),
                name(before)
            );
            return Err(RequestError::bad(key("crs"), problem));
        }
        self.crs = Some(crs);
        let key = key("coordinates");
        let list = match geometry["type"].as_str() {
            Some("Point" | "Polygon") => vec![coordinates.clone()],
            _ => parts(coordinates),
        };
        if is_area {
            if self.area.is_some() {
                let problem = "is a second Polygon; a prompt has at most one box. Send one object a request, or a \
                               batch of \"prompts\"";
                return Err(RequestError::bad(path, problem));
            }
            let exterior = |polygon: &Value| polygon.get(0).map(parts).unwrap_or_default();
            let ring = |polygon: &Value| {
                exterior(polygon).iter().map(|p| position(p, &key)).collect::<Parsed<Vec<_>>>()
            };
            let rings = list.iter().map(ring).collect::<Parsed<Vec<_>>>()?;
            self.area = Some((key, rings));
            return Ok(());
        }
        check_point_count(self.prompt.points.len() + list.len(), "", self.limits)?;
        let label = label.map_or(Ok(true), |(value, key)| label_from(value, &key))?;
        for point in &list {
            self.prompt.points.push(position(point, &key)?);
            self.prompt.foreground.push(label);
        }
        Ok(())
    }

    /// The prompt, its area as a box.
    fn prompt(self, crs: CrsChoice) -> Parsed<PromptSet> {
        let Self { mut prompt, area, .. } = self;
        if let Some((key, rings)) = area {
            let bounds = match crs.is_geographic() {
                Some(true) => Bounds::around_rings_in_degrees(&rings),
                _ => Bounds::around(rings.iter().flatten().map(|&[x, y]| (x, y))),
            };
            let bounds = bounds.filter(|b| b.min_x < b.max_x && b.min_y < b.max_y);
            prompt.bbox = Some(bounds.ok_or_else(|| RequestError::bad(&key, "encloses no area"))?);
        }
        Ok(prompt)
    }
}

/// A position; a third number (height) is allowed by RFC 7946 and ignored, a fourth (measure) is what GDAL may add.
fn position(value: &Value, key: &str) -> Result<[f64; 2], RequestError> {
    match value.as_array().map(Vec::as_slice) {
        Some([x, y, _height] | [x, y, _height, _]) => {
            numbers(&Value::Array(vec![x.clone(), y.clone()]), key, "[x, y]")
        }
        _ => numbers(value, key, "[x, y]"),
    }
}
