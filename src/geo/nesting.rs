//! Which rings are exteriors, and which exterior each hole lies in. Clipping on the lattice finds the right rings, but i_overlay
//! 4.5 tells them apart by how it came to them: where an outline touches itself in a point it calls every further lobe a hole of the
//! first, also one that lies outside, and where many parts lie side by side it may list a hole with a neighbour (mended in its version 7).

use super::lattice::{Corner, LatticeRing, cross, doubled_area};

/// The same polygons, by where their rings lie: a ring listed as a hole that an even number of others runs around is an exterior, and
/// one with an odd number around it is a hole of the smallest exterior among those. The first ring of each is its exterior; rings touch
/// at most in points.
pub(super) fn nested(polygons: Vec<Vec<LatticeRing>>) -> Vec<Vec<LatticeRing>> {
    if polygons.iter().all(|rings| rings.len() < 2) {
        return polygons;
    }
    let mut rings = Vec::with_capacity(polygons.iter().map(Vec::len).sum());
    // For each ring the one that it is listed with; an exterior with itself.
    let mut owners = Vec::with_capacity(rings.capacity());
    for polygon in polygons {
        let owner = rings.len();
        owners.extend(std::iter::repeat_n(owner, polygon.len()));
        rings.extend(polygon);
    }
    let places = Places::of(&rings);
    let around: Vec<Option<Vec<usize>>> =
        (0..rings.len()).map(|ring| if owners[ring] == ring { None } else { places.around(ring) }).collect();
    let is_exterior: Vec<bool> = (0..rings.len())
        .map(|ring| owners[ring] == ring || around[ring].as_ref().is_some_and(|around| around.len() % 2 == 0))
        .collect();
    let mut holes: Vec<Vec<usize>> = vec![Vec::new(); rings.len()];
    for ring in (0..rings.len()).filter(|&ring| !is_exterior[ring]) {
        let around = around[ring].iter().flatten().copied().filter(|&other| is_exterior[other]);
        // A ring that others cover all along has no place that tells: it stays where it is listed.
        let exterior = around.min_by_key(|&other| doubled_area(&rings[other]).abs());
        holes[exterior.unwrap_or(owners[ring])].push(ring);
    }
    let mut take = |ring: usize| std::mem::take(&mut rings[ring]);
    let exteriors = (0..is_exterior.len()).filter(|&ring| is_exterior[ring]);
    exteriors
        .map(|exterior| {
            std::iter::once(exterior).chain(std::mem::take(&mut holes[exterior])).map(&mut take).collect()
        })
        .collect()
}

/// Finds the rings around a place, by the edges beside it: those of the horizontal strip that it lies in.
struct Places<'r> {
    rings: &'r [LatticeRing],
    south: i64,
    /// Height of a strip.
    height: i64,
    /// In each the edges that touch it, by ring and first corner.
    strips: Vec<Vec<(usize, usize)>>,
}

impl<'r> Places<'r> {
    fn of(rings: &'r [LatticeRing]) -> Self {
        let ys = || rings.iter().flatten().map(|corner| corner[1]);
        let (south, north) =
            ys().fold((i64::MAX, i64::MIN), |(south, north), y| (south.min(y), north.max(y)));
        let extent = north.saturating_sub(south).max(1);
        let edges: usize = rings.iter().map(Vec::len).sum();
        let heights: i128 = edges_of(rings).map(|(_, _, a, b)| i128::from((b[1] - a[1]).abs())).sum();
        // As many strips as there are edges to fill them, and not so many that an edge lies in many.
        let by_height = i128::from(extent) * edges as i128 / heights.max(1);
        let count = (edges as i128 / 8).min(by_height).clamp(1, 4096) as i64;
        let height = extent / count + 1;
        let mut places = Self { rings, south, height, strips: vec![Vec::new(); count as usize + 1] };
        for (ring, index, a, b) in edges_of(rings) {
            for strip in places.strip(a[1].min(b[1]))..=places.strip(a[1].max(b[1])) {
                places.strips[strip].push((ring, index));
            }
        }
        places
    }

    fn strip(&self, y: i64) -> usize {
        ((y - self.south) / self.height) as usize
    }

    /// The rings around a ring, told by the middle of the first edge of it that lies on no other; `None` where each does.
    fn around(&self, ring: usize) -> Option<Vec<usize>> {
        let corners = self.rings[ring].iter().zip(self.rings[ring].iter().cycle().skip(1));
        let mut middles = corners.filter(|(a, b)| a != b).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]);
        middles.find_map(|middle| self.around_place(middle, ring))
    }

    /// The rings around a place in doubled coordinates, but one; `None` for a place on one of them.
    fn around_place(&self, place: Corner, but: usize) -> Option<Vec<usize>> {
        let mut crossed = Vec::new();
        for &(ring, index) in &self.strips[self.strip(place[1].div_euclid(2))] {
            if ring == but {
                continue;
            }
            let corners = &self.rings[ring];
            let [a, b] =
                [corners[index], corners[(index + 1) % corners.len()]].map(|corner| corner.map(|v| 2 * v));
            let side = cross(a, b, place);
            let within =
                |axis: usize| a[axis].min(b[axis]) <= place[axis] && place[axis] <= a[axis].max(b[axis]);
            if side == 0 && within(0) && within(1) {
                return None;
            }
            // Edges east of the place.
            let rises = b[1] > a[1];
            if (a[1] <= place[1]) != (b[1] <= place[1]) && (side > 0) == rises {
                crossed.push(ring);
            }
        }
        crossed.sort_unstable();
        let runs = crossed.chunk_by(|a, b| a == b);
        Some(runs.filter(|run| run.len() % 2 == 1).map(|run| run[0]).collect())
    }
}

/// All edges with their rings, numbers and corners.
fn edges_of(rings: &[LatticeRing]) -> impl Iterator<Item = (usize, usize, Corner, Corner)> {
    rings.iter().enumerate().flat_map(|(ring, corners)| {
        let ends = corners.iter().zip(corners.iter().cycle().skip(1)).enumerate();
        ends.map(move |(index, (&a, &b))| (ring, index, a, b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: i64, y: i64, side: i64) -> LatticeRing {
        vec![[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    }

    #[test]
    fn a_hole_goes_to_the_smallest_exterior_around_it() {
        let hole = square(4, 4, 2);
        let island = square(3, 3, 4);
        let moat = square(2, 2, 6);
        let polygons = vec![
            vec![square(0, 0, 10), hole.clone()],
            vec![square(20, 0, 5), moat.clone()],
            vec![island.clone()],
        ];
        let found = nested(polygons);
        assert_eq!(found, [vec![square(0, 0, 10), moat], vec![square(20, 0, 5)], vec![island, hole]]);
    }

    #[test]
    fn a_hole_that_touches_its_exterior_stays_and_one_outside_all_is_an_exterior() {
        let touching = vec![[0, 5], [3, 4], [3, 6]];
        let polygons =
            vec![vec![square(0, 0, 10), touching.clone()], vec![square(20, 0, 5), square(100, 100, 2)]];
        let expected = [vec![square(0, 0, 10), touching], vec![square(20, 0, 5)], vec![square(100, 100, 2)]];
        assert_eq!(nested(polygons), expected);
    }

    #[test]
    fn a_lone_polygon_is_looked_at_too_and_a_lobe_in_anothers_hole_is_an_exterior() {
        let lobes = |x, y| vec![square(x, y, 2), square(x + 2, y + 2, 2)];
        assert_eq!(
            nested(vec![lobes(0, 0)]),
            lobes(0, 0).into_iter().map(|ring| vec![ring]).collect::<Vec<_>>()
        );
        let around = vec![square(-5, -5, 20), square(-4, -4, 18)];
        let found = nested(vec![around.clone(), lobes(0, 0)]);
        assert_eq!(found, [around, vec![square(0, 0, 2)], vec![square(2, 2, 2)]]);
    }

    #[test]
    fn bounds_alone_do_not_hold_a_hole() {
        // The lower left half of a square, and a small square that holds the hole in its upper right one.
        let half = vec![[0, 0], [10, 0], [0, 10]];
        let polygons = vec![vec![half.clone(), square(8, 8, 1)], vec![square(7, 7, 3)]];
        assert_eq!(nested(polygons), [vec![half], vec![square(7, 7, 3), square(8, 8, 1)]]);
    }
}
