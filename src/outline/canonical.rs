//! Polygons in one order, each ring from one vertex on: what is made of them cannot depend on how they came.

use crate::mask::PixelRings;

/// Polygons in the order of their vertices.
pub(super) struct Canonical {
    pub polygons: Vec<PixelRings>,
    /// Where each of them stood.
    places: Vec<usize>,
}

impl Canonical {
    pub fn of(polygons: &[&PixelRings]) -> Self {
        let mut sorted: Vec<(Vec<Vec<[i32; 2]>>, usize)> =
            polygons.iter().enumerate().map(|(place, rings)| (normal(rings), place)).collect();
        sorted.sort();
        let places = sorted.iter().map(|(_, place)| *place).collect();
        let polygons = sorted.into_iter().map(|(rings, _)| rings_of(rings)).collect();
        Self { polygons, places }
    }

    /// What was made of them, one each, in the order in which they came.
    pub fn as_they_came<T>(&self, items: Vec<T>) -> Vec<T> {
        let mut placed: Vec<(usize, T)> = self.places.iter().copied().zip(items).collect();
        placed.sort_by_key(|(place, _)| *place);
        placed.into_iter().map(|(_, item)| item).collect()
    }
}

/// A ring without the vertex that closes it.
pub(super) fn open(ring: &[[i32; 2]]) -> &[[i32; 2]] {
    match ring {
        [rest @ .., last] if rest.first() == Some(last) => rest,
        _ => ring,
    }
}

/// Closed rings as one polygon, from open ones.
pub(super) fn rings_of(rings: impl IntoIterator<Item = Vec<[i32; 2]>>) -> PixelRings {
    let mut polygon = PixelRings::with_capacity(0, 0);
    for mut ring in rings {
        ring.extend(ring.first().copied());
        polygon.push_ring(&ring);
    }
    polygon
}

/// The rings of a polygon, open: each from its smallest vertex on, the exterior the one way round and holes the other, holes in
/// the order of their vertices.
fn normal(polygon: &PixelRings) -> Vec<Vec<[i32; 2]>> {
    let mut rings: Vec<Vec<[i32; 2]>> = polygon
        .rings()
        .enumerate()
        .map(|(index, ring)| {
            let mut ring = open(ring).to_vec();
            if (doubled_area(&ring) < 0) != (index == 0) {
                ring.reverse();
            }
            let first =
                ring.iter().enumerate().min_by_key(|(_, vertex)| **vertex).map_or(0, |(place, _)| place);
            ring.rotate_left(first);
            ring
        })
        .collect();
    if let Some(holes) = rings.get_mut(1..) {
        holes.sort();
    }
    rings
}

/// Twice the signed area of an open ring, positive where it runs clockwise on the screen (y down).
pub(super) fn doubled_area(ring: &[[i32; 2]]) -> i64 {
    let cross =
        |a: [i32; 2], b: [i32; 2]| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1]);
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(&a, &b)| cross(a, b)).fold(0, i64::wrapping_add)
}
