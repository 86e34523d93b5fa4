//! The spatial index: which chips may answer a prompt, in microseconds among a million. Exact footprints
//! are in `footprint`.
//!
//! An R-tree of `rstar` over the footprints' bounds, loaded in bulk. For a million chips it takes
//! 76 MB, 92 MB while it is made, and a third of a second; a search takes a microsecond or two.

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, Envelope, ParentNode, RTree, RTreeObject, SelectionFunction};

use crate::geo::Bounds;

/// Bounds of a chip, and its position in the table.
type Leaf = GeomWithData<Rectangle<[f64; 2]>, u32>;

/// How many chips are compared to find the nearest one. Footprints that are no boxes may be farther than
/// their bounds, and equally near chips are many only where a raster was encoded again and again.
const NEAREST: usize = 256;
/// The tree's squared distances and the squares of ours round differently: only what is farther by more than that is
/// farther. Otherwise of two chips at one place the second could win.
const ROUNDING: f64 = 1.0 + 1e-12;

/// An R-tree over bounds, by their position.
#[derive(Debug)]
pub(super) struct SpatialIndex {
    tree: RTree<Leaf>,
}

impl SpatialIndex {
    /// Indexes bounds, whose numbers must be so small that their squares are numbers.
    pub(super) fn new(all: &[Bounds]) -> Self {
        let leaves = (0..).zip(all).map(|(chip, b)| {
            let rectangle = Rectangle::from_corners([b.min_x, b.min_y], [b.max_x, b.max_y]);
            Leaf::new(rectangle, chip)
        });
        Self { tree: RTree::bulk_load(leaves.collect()) }
    }

    /// Chips whose bounds cover others, in no order; touching is covering.
    pub(super) fn covering(&self, bounds: &Bounds) -> impl Iterator<Item = usize> + '_ {
        self.tree.locate_with_selection_function(Covering(envelope(bounds))).map(position)
    }

    /// Chips whose bounds share a point with others, in no order.
    pub(super) fn meeting(&self, bounds: &Bounds) -> impl Iterator<Item = usize> + '_ {
        self.tree.locate_in_envelope_intersecting(envelope(bounds)).map(position)
    }

    /// The chip nearest to (x, y), and its distance. `distance` tells a chip's distance, which is at
    /// least that of its bounds, and what decides among equals: the smaller wins, then the first chip.
    pub(super) fn nearest(
        &self,
        (x, y): (f64, f64),
        distance: impl Fn(usize) -> (f64, f64),
    ) -> Option<(usize, f64)> {
        let mut best: Option<(f64, f64, usize)> = None;
        for (leaf, least2) in self.tree.nearest_neighbor_iter_with_distance_2([x, y]).take(NEAREST) {
            if best.is_some_and(|(nearest, ..)| least2 > nearest * nearest * ROUNDING) {
                break;
            }
            let chip = position(leaf);
            let (away, tie) = distance(chip);
            let is_before = best.is_none_or(|(nearest, other_tie, other)| {
                away.total_cmp(&nearest).then(tie.total_cmp(&other_tie)).then(chip.cmp(&other)).is_lt()
            });
            if is_before {
                best = Some((away, tie, chip));
            }
        }
        best.map(|(nearest, _, chip)| (chip, nearest))
    }

    /// Bounds around all; of an empty index they hold nothing.
    pub(super) fn extent(&self) -> Bounds {
        let around = self.tree.root().envelope();
        let ([min_x, min_y], [max_x, max_y]) = (around.lower(), around.upper());
        Bounds { min_x, min_y, max_x, max_y }
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        // Nodes lie in vectors of their parent, one after another.
        let node = size_of::<rstar::RTreeNode<Leaf>>();
        node * (self.tree.size() + parents(self.tree.root()))
    }
}

fn parents(node: &ParentNode<Leaf>) -> usize {
    let below = node.children().iter().map(|child| match child {
        rstar::RTreeNode::Leaf(_) => 0,
        rstar::RTreeNode::Parent(parent) => parents(parent),
    });
    1 + below.sum::<usize>()
}

fn position(leaf: &Leaf) -> usize {
    leaf.data as usize
}

fn envelope(b: &Bounds) -> AABB<[f64; 2]> {
    AABB::from_corners([b.min_x, b.min_y], [b.max_x, b.max_y])
}

/// Selects what contains an envelope.
struct Covering(AABB<[f64; 2]>);

impl SelectionFunction<Leaf> for Covering {
    fn should_unpack_parent(&self, around: &AABB<[f64; 2]>) -> bool {
        around.contains_envelope(&self.0)
    }

    fn should_unpack_leaf(&self, leaf: &Leaf) -> bool {
        leaf.envelope().contains_envelope(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_index_has_nothing() {
        let index = SpatialIndex::new(&[]);
        assert_eq!(index.covering(&Bounds::new(0.0, 0.0, 0.0, 0.0)).count(), 0);
        assert_eq!(index.nearest((0.0, 0.0), |_| (0.0, 0.0)), None);
    }

    #[test]
    fn of_chips_equally_near_the_first_wins_whatever_is_rounded() {
        for (dx, dy) in (0..40).flat_map(|dx| (0..40).map(move |dy| (f64::from(dx) + 0.1, f64::from(dy)))) {
            let mut all = [(dx, dy), (dy, dx)]
                .map(|(x, y)| [(x, y), (-x - 9.0, y), (x, -y - 9.0), (-x - 9.0, -y - 9.0)])
                .concat();
            for _ in 0..all.len() {
                all.rotate_left(1);
                let bounds: Vec<Bounds> =
                    all.iter().map(|&(x, y)| Bounds::new(x, y, x + 9.0, y + 9.0)).collect();
                let distance = |chip: usize| (bounds[chip].distance_to(0.0, 0.0), 0.0);
                let first = (0..bounds.len()).min_by(|&a, &b| distance(a).0.total_cmp(&distance(b).0));
                let nearest = SpatialIndex::new(&bounds).nearest((0.0, 0.0), distance);
                assert_eq!(nearest.map(|(chip, _)| chip), first, "{bounds:?}");
            }
        }
    }

    fn some_bounds() -> impl Strategy<Value = Vec<Bounds>> {
        let side = prop_oneof![Just(0.0), Just(10.0), 0.0..50.0];
        let one = (-100_i32..100, -100_i32..100, side.clone(), side).prop_map(|(x, y, w, h)| {
            let (x, y) = (f64::from(x), f64::from(y));
            Bounds::new(x, y, x + w, y + h)
        });
        prop::collection::vec(one, 1..600)
    }

    proptest! {
        #[test]
        fn searches_find_what_a_scan_finds(all in some_bounds(), x in -120_i32..120, y in -120_i32..120, w in 0..9) {
            let index = SpatialIndex::new(&all);
            let (x, y) = (f64::from(x), f64::from(y));
            let wanted = Bounds::new(x, y, x + f64::from(w), y + 1.0);
            let scan = |holds: &dyn Fn(&Bounds) -> bool| {
                (0..all.len()).filter(|&i| holds(&all[i])).collect::<Vec<_>>()
            };
            let sorted = |mut found: Vec<usize>| {
                found.sort_unstable();
                found
            };
            prop_assert_eq!(sorted(index.covering(&wanted).collect()), scan(&|b| b.covers(&wanted)));
            prop_assert_eq!(sorted(index.meeting(&wanted).collect()), scan(&|b| b.intersects(&wanted)));

            let distance = |chip: usize| (all[chip].distance_to(x, y), 0.0);
            let nearest = (0..all.len()).min_by(|&a, &b| distance(a).0.total_cmp(&distance(b).0)).unwrap();
            let (found, away) = index.nearest((x, y), distance).unwrap();
            prop_assert_eq!(away, distance(nearest).0);
            prop_assert!(found == nearest || all.len() > NEAREST);
        }
    }
}
