//! Which exterior each hole lies in. Clipping on the lattice finds the right rings, but where many parts lie side by side
//! it may list a hole with the neighbour of the part that holds it.

use super::lattice::{Corner, LatticeRing, cross, doubled_area};

/// West, south, east, north.
type Extent = [i64; 4];

/// The same polygons, each hole listed with the smallest exterior around it. The first ring of each is its exterior; rings
/// touch at most in points. A hole in no exterior is left out.
pub(super) fn nested(polygons: Vec<Vec<LatticeRing>>) -> Vec<Vec<LatticeRing>> {
    if polygons.len() < 2 {
        return polygons;
    }
    let mut holes: Vec<(usize, LatticeRing)> = Vec::new();
    let mut found: Vec<Vec<LatticeRing>> = Vec::new();
    for (owner, mut rings) in polygons.into_iter().enumerate() {
        holes.extend(rings.drain(rings.len().min(1)..).map(|hole| (owner, hole)));
        found.push(rings);
    }
    let extents: Vec<Option<Extent>> =
        found.iter().map(|rings| rings.first().map(|ring| extent(ring))).collect();
    for (owner, hole) in holes {
        let around = extent(&hole);
        let mut candidates: Vec<usize> = (0..found.len())
            .filter(|&shell| extents[shell].is_some_and(|extent| holds(extent, around)))
            .collect();
        if candidates != [owner] {
            candidates.sort_by_cached_key(|&shell| doubled_area(&found[shell][0]).abs());
            candidates.retain(|&shell| is_inside(&hole, &found[shell][0]));
        }
        if let Some(&shell) = candidates.first() {
            found[shell].push(hole);
        }
    }
    found
}

fn extent(ring: &[Corner]) -> Extent {
    ring.iter().fold([i64::MAX, i64::MAX, i64::MIN, i64::MIN], |[w, s, e, n], &[x, y]| {
        [w.min(x), s.min(y), e.max(x), n.max(y)]
    })
}

fn holds(outer: Extent, inner: Extent) -> bool {
    outer[0] <= inner[0] && outer[1] <= inner[1] && inner[2] <= outer[2] && inner[3] <= outer[3]
}

/// Whether a ring lies inside another that it touches in points only: the middle of one of its edges tells.
fn is_inside(ring: &[Corner], shell: &[Corner]) -> bool {
    let doubled = |[x, y]: Corner| [2 * x, 2 * y];
    let middles = ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]);
    middles.into_iter().find_map(|middle| side_of(middle, shell, doubled)).unwrap_or(false)
}

/// Whether a place lies inside a ring, by its winding number; `None` on the ring.
fn side_of(place: Corner, ring: &[Corner], scaled: impl Fn(Corner) -> Corner) -> Option<bool> {
    let mut winding = 0;
    for (&a, &b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let (a, b) = (scaled(a), scaled(b));
        let side = cross(a, b, place);
        let within = |axis: usize| a[axis].min(b[axis]) <= place[axis] && place[axis] <= a[axis].max(b[axis]);
        if side == 0 && within(0) && within(1) {
            return None;
        }
        if a[1] <= place[1] && b[1] > place[1] && side > 0 {
            winding += 1;
        } else if a[1] > place[1] && b[1] <= place[1] && side < 0 {
            winding -= 1;
        }
    }
    Some(winding != 0)
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
    fn a_hole_that_touches_its_exterior_stays_and_one_outside_all_is_left_out() {
        let touching = vec![[0, 5], [3, 4], [3, 6]];
        let polygons =
            vec![vec![square(0, 0, 10), touching.clone()], vec![square(20, 0, 5), square(100, 100, 2)]];
        assert_eq!(nested(polygons), [vec![square(0, 0, 10), touching], vec![square(20, 0, 5)]]);
    }

    #[test]
    fn bounds_alone_do_not_hold_a_hole() {
        // The lower left half of a square, and a small square that holds the hole in its upper right one.
        let half = vec![[0, 0], [10, 0], [0, 10]];
        let polygons = vec![vec![half.clone(), square(8, 8, 1)], vec![square(7, 7, 3)]];
        assert_eq!(nested(polygons), [vec![half], vec![square(7, 7, 3), square(8, 8, 1)]]);
    }
}
