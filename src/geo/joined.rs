//! Polygons of one object as one geometry, valid as a whole: none overlaps another, or shares an edge with it.

use i_overlay::core::fill_rule::FillRule;

use super::geometry::{Geometry, Ring};
use super::lattice::{LatticeRing, enclosed_by};
use super::output::{Projector, geometry_of};

/// West, south, east, north of an exterior.
type Extent = [i64; 4];

impl Projector {
    /// One geometry of several that this projector has written. Where rounding, or a cut, has let some overlap or touch along
    /// an edge, the area that they cover together is written in their place.
    pub fn joined(&self, geometries: Vec<Geometry>) -> Geometry {
        let mut polygons: Vec<Vec<Ring>> = Vec::new();
        for geometry in geometries {
            match geometry {
                Geometry::Polygon(rings) => polygons.push(rings),
                Geometry::MultiPolygon(parts) => polygons.extend(parts),
            }
        }
        let lattice =
            polygons.iter().map(|rings| rings.iter().map(|ring| self.on_lattice(ring)).collect()).collect();
        geometry_of(united(lattice).iter().map(|rings| self.write(rings)).collect())
    }

    /// A closed ring as it was written, open and on the lattice.
    fn on_lattice(&self, ring: &Ring) -> LatticeRing {
        let open = ring.len().saturating_sub(1);
        ring[..open].iter().map(|position| position.map(|v| (v * self.scale()).round() as i64)).collect()
    }
}

/// The same polygons, those that may touch each other as the area that they cover together. Exteriors come first.
pub(super) fn united(mut polygons: Vec<Vec<LatticeRing>>) -> Vec<Vec<LatticeRing>> {
    if polygons.len() < 2 {
        return polygons;
    }
    let extents: Vec<Extent> = polygons.iter().map(|rings| extent(rings)).collect();
    let mut apart = Vec::with_capacity(polygons.len());
    for group in groups(&extents) {
        if let [alone] = group[..] {
            apart.push(std::mem::take(&mut polygons[alone]));
            continue;
        }
        let rings: Vec<LatticeRing> =
            group.iter().flat_map(|&index| std::mem::take(&mut polygons[index])).collect();
        apart.extend(enclosed_by(&rings, None, FillRule::NonZero));
    }
    apart
}

fn extent(rings: &[LatticeRing]) -> Extent {
    let exterior = rings.first().map_or(&[][..], Vec::as_slice);
    exterior.iter().fold([i64::MAX, i64::MAX, i64::MIN, i64::MIN], |[w, s, e, n], &[x, y]| {
        [w.min(x), s.min(y), e.max(x), n.max(y)]
    })
}

/// Which polygons may touch each other, directly or by way of others, because their extents do. Groups come in the order of
/// their first members.
fn groups(extents: &[Extent]) -> Vec<Vec<usize>> {
    let mut group_of: Vec<usize> = (0..extents.len()).collect();
    fn root(group_of: &mut [usize], mut index: usize) -> usize {
        while group_of[index] != index {
            group_of[index] = group_of[group_of[index]];
            index = group_of[index];
        }
        index
    }
    // A sweep from west to east: only extents that are still open can touch.
    let mut by_west: Vec<usize> = (0..extents.len()).collect();
    by_west.sort_by_key(|&index| extents[index][0]);
    let mut open: Vec<usize> = Vec::new();
    for index in by_west {
        let [west, south, _, north] = extents[index];
        open.retain(|&other| extents[other][2] >= west);
        for &other in &open {
            if extents[other][1] <= north && south <= extents[other][3] {
                let (a, b) = (root(&mut group_of, index), root(&mut group_of, other));
                group_of[a.max(b)] = a.min(b);
            }
        }
        open.push(index);
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); extents.len()];
    for index in 0..extents.len() {
        let root = root(&mut group_of, index);
        groups[root].push(index);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Affine, geodesic_area};

    fn square(x: f64, y: f64, side: f64) -> Ring {
        vec![[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    }

    fn joined(polygons: Vec<Vec<Ring>>) -> Vec<Vec<Ring>> {
        let projector = Projector::untransformed(Affine::new([1.0, 0.0, 0.0, 0.0, -1.0, 0.0]), None);
        match projector.joined(polygons.into_iter().map(Geometry::Polygon).collect()) {
            Geometry::Polygon(rings) => vec![rings],
            Geometry::MultiPolygon(polygons) => polygons,
        }
    }

    #[test]
    fn polygons_apart_stay_as_they_are() {
        let polygons =
            vec![vec![square(0.0, 0.0, 1.0)], vec![square(5.0, 0.0, 1.0)], vec![square(0.0, 5.0, 1.0)]];
        assert_eq!(joined(polygons.clone()), polygons);
    }

    #[test]
    fn polygons_that_overlap_become_the_area_they_cover_together() {
        let polygons =
            vec![vec![square(0.0, 0.0, 2.0)], vec![square(1.0, 0.0, 2.0)], vec![square(10.0, 0.0, 1.0)]];
        let found = joined(polygons);
        assert_eq!(found.len(), 2);
        let area = |rings: &Vec<Ring>| geodesic_area(&Geometry::Polygon(rings.clone()));
        let whole = area(&vec![vec![[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [0.0, 2.0], [0.0, 0.0]]]);
        assert!((area(&found[0]) / whole - 1.0).abs() < 1e-3);
    }

    #[test]
    fn an_island_in_a_hole_and_a_touching_corner_are_kept() {
        let mut hole = square(2.0, 2.0, 6.0);
        hole.reverse();
        let ring_with_island = vec![
            vec![square(0.0, 0.0, 10.0), hole],
            vec![square(4.0, 4.0, 2.0)],
            vec![square(10.0, 10.0, 1.0)],
        ];
        let found = joined(ring_with_island);
        assert_eq!(found.iter().map(Vec::len).sum::<usize>(), 4, "{found:?}");
        assert_eq!(found.len(), 3);
    }
}
