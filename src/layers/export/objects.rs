//! Saved objects as named outlines, for formats that know nothing but those: parts, rings without a closing vertex,
//! and how many of a layer could be written.

use geo::InteriorPoint as _;
use geojson::{Feature, GeometryValue, Position};

use super::{ExportError, Exported, Failure, Source, id_text};

/// Longitude and latitude in degrees, as in GeoJSON.
pub(super) type LonLat = [f64; 2];

/// A saved object's polygons.
pub(super) struct Object {
    /// Its id; of one without, the layer and its number.
    pub name: String,
    /// At least one.
    pub areas: Vec<Area>,
}

impl Object {
    /// The name of a part: the object's own where there is but one.
    pub fn part_name(&self, index: usize) -> String {
        part_name(&self.name, index, self.areas.len())
    }
}

/// One outline with its holes; rings are not closed, of three or more vertices of which no two neighbours are the same.
#[derive(Debug)]
pub(super) struct Area {
    pub outer: Vec<LonLat>,
    pub holes: Vec<Vec<LonLat>>,
}

impl Area {
    fn of(rings: &[Vec<Position>]) -> Option<Self> {
        let (outer, holes) = rings.split_first()?;
        Some(Self {
            outer: open_ring(outer)?,
            holes: holes.iter().filter_map(|hole| open_ring(hole)).collect(),
        })
    }

    /// A position inside, off the holes; a vertex where there is no inside.
    pub fn inside(&self) -> LonLat {
        let ring = |ring: &Vec<LonLat>| geo::LineString::from_iter(ring.iter().map(|[x, y]| (*x, *y)));
        let polygon = geo::Polygon::new(ring(&self.outer), self.holes.iter().map(ring).collect());
        match polygon.interior_point() {
            Some(point) if point.x().is_finite() && point.y().is_finite() => [point.x(), point.y()],
            _ => self.outer[0],
        }
    }
}

/// The name of a part of an object, from its number and how many there are.
pub(super) fn part_name(object: &str, index: usize, of: usize) -> String {
    if of == 1 { object.to_owned() } else { format!("{object}-{}", index + 1) }
}

/// An object's name: its id, else the layer and its number among those that are written.
pub(super) fn name(feature: &Feature, layer: &str, number: u64) -> String {
    match feature.id.as_ref().map(id_text).filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => format!("{layer}-{number}"),
    }
}

/// A geometry without its collections: points, lines and polygons.
pub(super) enum Piece<'a> {
    Point(&'a Position),
    Line(&'a [Position]),
    Polygon(&'a [Vec<Position>]),
}

pub(super) fn pieces(geometry: &GeometryValue) -> Vec<Piece<'_>> {
    match geometry {
        GeometryValue::Point { coordinates } => vec![Piece::Point(coordinates)],
        GeometryValue::MultiPoint { coordinates } => coordinates.iter().map(Piece::Point).collect(),
        GeometryValue::LineString { coordinates } => vec![Piece::Line(coordinates)],
        GeometryValue::MultiLineString { coordinates } => {
            coordinates.iter().map(|line| Piece::Line(line)).collect()
        }
        GeometryValue::Polygon { coordinates } => vec![Piece::Polygon(coordinates)],
        GeometryValue::MultiPolygon { coordinates } => {
            coordinates.iter().map(|rings| Piece::Polygon(rings)).collect()
        }
        // As deep as the JSON was, which serde_json bounds.
        GeometryValue::GeometryCollection { geometries } => {
            geometries.iter().flat_map(|geometry| pieces(&geometry.value)).collect()
        }
    }
}

/// A ring without its closing vertex and repeated ones; `None` if fewer than three are left, or one is nowhere on Earth.
fn open_ring(positions: &[Position]) -> Option<Vec<LonLat>> {
    let mut ring: Vec<LonLat> = Vec::with_capacity(positions.len());
    for position in positions {
        let [x, y, ..] = position.as_slice() else { return None };
        if !(x.abs() <= 180.0 && y.abs() <= 90.0) {
            return None;
        }
        // Without negative zeros, which some readers do not know.
        let vertex = [x + 0.0, y + 0.0];
        if ring.last() != Some(&vertex) {
            ring.push(vertex);
        }
    }
    while ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    (ring.len() >= 3).then_some(ring)
}

/// Turns a ring so that it runs clockwise on a map with north above, by its signed area.
pub(super) fn clockwise(ring: &[LonLat]) -> Vec<LonLat> {
    let next = ring.iter().skip(1).chain(ring.first());
    let [x, y] = ring[0];
    // About the first vertex: the products stay small, and so their errors.
    let doubled: f64 =
        ring.iter().zip(next).map(|(a, b)| (a[0] - x) * (b[1] - y) - (b[0] - x) * (a[1] - y)).sum();
    let mut ring = ring.to_vec();
    if doubled > 0.0 {
        ring[1..].reverse();
    }
    ring
}

/// The polygons of a feature.
pub(super) fn areas(feature: &Feature) -> Vec<Area> {
    let pieces = feature.geometry.as_ref().map_or_else(Vec::new, |geometry| pieces(&geometry.value));
    let area = |piece: &Piece<'_>| match piece {
        Piece::Polygon(rings) => Area::of(rings),
        _ => None,
    };
    pieces.iter().filter_map(area).collect()
}

/// Hands over each object that has a polygon. Others are counted as left out, and so is a layer without one.
pub(super) fn each_object(
    source: &mut Source,
    format: &'static str,
    mut take: impl FnMut(&Object, &Feature) -> Result<(), Failure>,
) -> Result<Exported, Failure> {
    let layer = source.layer.clone();
    let mut exported = Exported::default();
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        let areas = areas(&feature);
        if areas.is_empty() {
            exported.skipped += 1;
            continue;
        }
        exported.features += 1;
        let object = Object { name: name(&feature, &layer, exported.features), areas };
        take(&object, &feature)?;
    }
    features.count(&mut exported);
    if exported.features == 0 {
        return Err(ExportError::Empty { layer, format, skipped: exported.skipped }.into());
    }
    Ok(exported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_lose_their_closing_and_repeated_vertices_and_bad_ones_are_none() {
        let ring = |text: &str| open_ring(&serde_json::from_str::<Vec<Position>>(text).unwrap());
        assert_eq!(
            ring("[[0,0],[2,0],[2,0,7],[2,2],[-0.0,0],[0,0]]").unwrap(),
            [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]
        );
        for bad in ["[]", "[[0,0],[1,1],[0,0]]", "[[0,0],[181,0],[2,2],[0,0]]", "[[0,0],[2,91],[2,2],[0,0]]"]
        {
            assert_eq!(ring(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_ring_is_turned_clockwise_and_keeps_its_first_vertex() {
        let ring = [[9.0, 47.0], [9.1, 47.0], [9.1, 47.1]];
        let turned = clockwise(&ring);
        assert_eq!(turned, [[9.0, 47.0], [9.1, 47.1], [9.1, 47.0]]);
        assert_eq!(clockwise(&turned), turned);
    }

    #[test]
    fn a_point_inside_is_off_the_holes() {
        let area = Area {
            outer: vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]],
            holes: vec![vec![[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]]],
        };
        let [x, y] = area.inside();
        assert!((0.0..4.0).contains(&x) && (0.0..4.0).contains(&y), "{x} {y}");
        assert!(!((1.0..3.0).contains(&x) && (1.0..3.0).contains(&y)), "{x} {y}");
    }
}
