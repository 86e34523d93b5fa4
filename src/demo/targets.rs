//! What the demo points at: objects of the committed scene, whose outlines are known, or simply places on a
//! chip where nothing is known.

use std::path::Path;

use serde_json::Value;

use super::DemoError;
use super::place::Place;
use crate::geo::Bounds;

/// Places of a burst of previews.
const STEPS: u32 = 6;

/// Something to point at, in the coordinates of requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    /// For example `a pond`.
    pub name: String,
    pub at: [f64; 2],
    pub bounds: [f64; 4],
}

/// All that is asked about.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    pub point: Target,
    pub boxed: Target,
    /// Where a pointer goes, and what lies at its end.
    pub path: Vec<[f64; 2]>,
    pub path_end: String,
    /// Two objects on one chip.
    pub pair: [Target; 2],
    /// Something larger than a chip, where that is known.
    pub long: Target,
}

impl Targets {
    /// Objects from `truth.geojson` beside the folder, or else places on its middle chip.
    ///
    /// # Errors
    /// The CRS's formulas do not reach the folder.
    pub fn find(place: &Place) -> Result<Self, DemoError> {
        let beside = place.served.folder.root().join("../truth.geojson");
        let objects = if place.crs.is_none() { objects(&beside) } else { Vec::new() };
        Self::of_objects(&objects, place).map_or_else(|| Self::of_places(place), Ok)
    }

    fn of_objects(objects: &[Target], place: &Place) -> Option<Self> {
        let of = |kind: &'static str| objects.iter().filter(move |object| object.name.ends_with(kind));
        let point = of("pond").find(|pond| place.covers(&[pond.at], Some(pond.bounds)))?;
        let wood = of("wood").min_by(|a, b| distance(a, point).total_cmp(&distance(b, point)))?;
        let buildings = of("building").filter(|building| place.covers(&[], Some(building.bounds)));
        let size = |target: &Target| Bounds::from(target.bounds).size().0;
        let boxed = buildings.max_by(|a, b| size(a).total_cmp(&size(b)))?;
        // Both whole on one chip, and the smaller one as large as can be.
        let pairs = of("pond").flat_map(|a| of("pond").map(move |b| [a, b]));
        let pairs = pairs.filter(|[a, b]| {
            let both = Bounds::from(a.bounds).union(&b.bounds.into());
            !std::ptr::eq(*a, *b) && place.covers(&[a.at, b.at], Some(both.into()))
        });
        let smaller = |[a, b]: &[&Target; 2]| size(a).min(size(b));
        let pair = pairs.max_by(|a, b| smaller(a).total_cmp(&smaller(b)))?;
        Some(Self {
            point: point.clone(),
            boxed: boxed.clone(),
            path: path(point.at, wood.at),
            path_end: wood.name.clone(),
            pair: pair.map(Clone::clone),
            long: of("road").next().unwrap_or(wood).clone(),
        })
    }

    fn of_places(place: &Place) -> Result<Self, DemoError> {
        let at = |name: &str, across, down| -> Result<Target, DemoError> {
            let (from, to) = (place.at(across - 0.15, down + 0.15)?, place.at(across + 0.15, down - 0.15)?);
            let corners = [from, to].map(|[x, y]| (x, y));
            let at = place.at(across, down)?;
            let bounds = Bounds::around(corners).map_or([at[0], at[1], at[0], at[1]], Into::into);
            Ok(Target { name: name.to_owned(), at, bounds })
        };
        Ok(Self {
            point: at("the middle of a chip", 0.5, 0.5)?,
            boxed: at("the middle of a chip", 0.45, 0.5)?,
            path: path(place.at(0.3, 0.4)?, place.at(0.8, 0.4)?),
            path_end: "another place".to_owned(),
            pair: [at("a place", 0.45, 0.5)?, at("another place", 0.7, 0.3)?],
            long: at("the middle of a chip", 0.5, 0.5)?,
        })
    }
}

fn path(from: [f64; 2], to: [f64; 2]) -> Vec<[f64; 2]> {
    let at = |step| {
        let share = f64::from(step) / f64::from(STEPS - 1);
        [0, 1].map(|axis: usize| {
            let degrees = from[axis] + (to[axis] - from[axis]) * share;
            (degrees * 1e7).round() / 1e7
        })
    };
    (0..STEPS).map(at).collect()
}

fn distance(a: &Target, b: &Target) -> f64 {
    (a.at[0] - b.at[0]).hypot(a.at[1] - b.at[1])
}

/// The objects of a truth file; none where it is not there, or is not one.
fn objects(path: &Path) -> Vec<Target> {
    let text = std::fs::read(path).unwrap_or_default();
    let truth: Value = serde_json::from_slice(&text).unwrap_or_default();
    let features = truth["features"].as_array().map_or(&[][..], Vec::as_slice);
    features.iter().filter_map(object).collect()
}

fn object(feature: &Value) -> Option<Target> {
    let properties = &feature["properties"];
    let at = serde_json::from_value(properties["inside"].clone()).ok()?;
    let positions = super::paint::rings(&feature["geometry"]).into_iter().flatten().map(|[x, y]| (x, y));
    let bounds = Bounds::around(positions)?.into();
    Some(Target { name: format!("a {}", properties["kind"].as_str()?), at, bounds })
}
