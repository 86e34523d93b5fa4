//! Small holes filled, with what lies in them.

use std::borrow::Cow;

use super::canonical::open;
use crate::mask::{PixelBounds, PixelPolygon, PixelRings};

/// The polygons of one mask without their small holes, and without the polygons that lie in these: their pixels count for the
/// one around them. `is_small` is asked for each hole, a closed ring in pixels.
///
/// # Errors
/// What `is_small` fails with.
pub fn filled<E>(
    polygons: &[PixelPolygon],
    mut is_small: impl FnMut(&[[i32; 2]]) -> Result<bool, E>,
) -> Result<Cow<'_, [PixelPolygon]>, E> {
    // The polygon of each small hole, its bounds and the hole.
    let mut small: Vec<(usize, PixelBounds, &[[i32; 2]])> = Vec::new();
    let mut kept: Vec<PixelRings> = Vec::with_capacity(polygons.len());
    for (index, polygon) in polygons.iter().enumerate() {
        let mut rings = PixelRings::with_capacity(polygon.rings.vertex_count(), 0);
        rings.push_ring(polygon.rings.exterior());
        for hole in polygon.rings.holes() {
            if is_small(hole)? {
                small.push((index, PixelBounds::of(hole), hole));
            } else {
                rings.push_ring(hole);
            }
        }
        kept.push(rings);
    }
    if small.is_empty() {
        return Ok(Cow::Borrowed(polygons));
    }
    // For each polygon those in whose small holes it lies.
    let owners_around = |polygon: &PixelPolygon| -> Vec<usize> {
        let holes = small.iter().filter(|(_, bounds, hole)| {
            holds(bounds, &polygon.bounds) && lies_in(polygon.rings.exterior(), hole)
        });
        holes.map(|(owner, _, _)| *owner).collect()
    };
    let around: Vec<Vec<usize>> = polygons.iter().map(owners_around).collect();
    let mut pixels: Vec<u64> = polygons.iter().map(|polygon| polygon.pixels).collect();
    for (polygon, owners) in polygons.iter().zip(&around) {
        // The outermost of them stays.
        if let Some(&owner) = owners.iter().find(|&&owner| around[owner].is_empty()) {
            pixels[owner] += polygon.pixels;
        }
    }
    let all = polygons.iter().zip(kept).zip(pixels).zip(&around);
    let left = all.filter(|(_, around)| around.is_empty()).map(|(((polygon, rings), pixels), _)| {
        let PixelPolygon { bounds, touches_edge, .. } = *polygon;
        PixelPolygon { rings, pixels, bounds, touches_edge }
    });
    Ok(left.collect())
}

fn holds(outer: &PixelBounds, inner: &PixelBounds) -> bool {
    outer.min_x <= inner.min_x
        && outer.min_y <= inner.min_y
        && inner.max_x <= outer.max_x
        && inner.max_y <= outer.max_y
}

/// Whether a ring lies in a hole that it touches in corners only: the middle of its first edge tells.
fn lies_in(ring: &[[i32; 2]], hole: &[[i32; 2]]) -> bool {
    let [first, second, ..] = ring else { return false };
    let [x, y] = [0, 1].map(|axis| i64::from(first[axis]) + i64::from(second[axis]));
    let hole = open(hole);
    let edges = hole.iter().zip(hole.iter().cycle().skip(1));
    // Edges on pixel corners run along rows and columns: those along columns are passed on the way to the right.
    let passed = edges.filter(|(a, b)| {
        let [from, to] = [a[1].min(b[1]), a[1].max(b[1])].map(|v| 2 * i64::from(v));
        a[0] == b[0] && 2 * i64::from(a[0]) > x && from <= y && y < to
    });
    passed.count() % 2 == 1
}
