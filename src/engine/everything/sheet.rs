//! What was found so far and may still go on: pieces of objects on chips, and which of them are one object. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::stitch::Window;
use super::same::is_same;
use crate::mask::{Mask, MaskRuns};

/// A chip's share of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub id: u64,
    /// The place of its chip in the plan.
    pub place: usize,
    pub window: Window,
    pub runs: MaskRuns,
    /// Predicted IoU.
    pub score: f32,
    pub stability: f32,
    /// The piece that it goes on from, where it was asked for because of that one.
    pub goes_on_from: Option<u64>,
}

/// Pieces and the objects that they make.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pieces: BTreeMap<u64, Piece>,
    by_place: BTreeMap<usize, Vec<u64>>,
    /// Pieces of each object, which is called by the least of its pieces.
    objects: BTreeMap<u64, Vec<u64>>,
    /// The object of each piece.
    object_of: BTreeMap<u64, u64>,
    next_id: u64,
    /// Places with new pieces, or with what is new of them.
    changed: BTreeSet<usize>,
}

impl Sheet {
    /// Takes in a piece, as an object of its own or as one that goes on from another; returns its id.
    pub fn add(&mut self, mut piece: Piece) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        piece.id = id;
        self.put(piece);
        id
    }

    fn put(&mut self, piece: Piece) {
        let (id, from) = (piece.id, piece.goes_on_from);
        self.changed.insert(piece.place);
        self.by_place.entry(piece.place).or_default().push(id);
        self.pieces.insert(id, piece);
        self.objects.insert(id, vec![id]);
        self.object_of.insert(id, id);
        if let Some(from) = from {
            self.unite(id, from);
        }
    }

    /// Takes pieces in as they were, before there are any.
    pub fn restore(&mut self, pieces: Vec<Piece>, next_id: u64) {
        let links: Vec<(u64, u64)> =
            pieces.iter().filter_map(|piece| Some((piece.id, piece.goes_on_from?))).collect();
        self.next_id = pieces.iter().map(|piece| piece.id + 1).max().unwrap_or(0).max(next_id);
        pieces.into_iter().for_each(|piece| self.put(piece));
        // The piece that one goes on from may have come after it.
        links.into_iter().for_each(|(piece, from)| self.unite(piece, from));
        self.changed.clear();
    }

    /// The id of the next piece.
    pub const fn next_id(&self) -> u64 {
        self.next_id
    }

    /// The places whose pieces have changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    /// A piece that was found by itself turns out to be what another goes on with.
    pub fn link(&mut self, piece: u64, from: u64) {
        if let Some(piece) = self.pieces.get_mut(&piece)
            && piece.goes_on_from.is_none()
        {
            piece.goes_on_from = Some(from);
            self.changed.insert(piece.place);
        }
        self.unite(piece, from);
    }

    /// Finds out which pieces of a chip are of the object of one piece.
    pub fn relate_piece(&mut self, piece: u64, other: usize) {
        for id in self.by_place.get(&other).cloned().unwrap_or_default() {
            if let (Some(a), Some(b)) = (self.pieces.get(&piece), self.pieces.get(&id))
                && a.place != b.place
                && self.object_of.get(&piece) != self.object_of.get(&id)
                && is_same(a, b)
            {
                self.unite(piece, id);
            }
        }
    }

    /// Makes one object of those of two pieces, where the mask over all of it would not be too large.
    pub fn unite(&mut self, a: u64, b: u64) {
        let (Some(&a), Some(&b)) = (self.object_of.get(&a), self.object_of.get(&b)) else { return };
        if a == b || !self.has_room(a, b) {
            return;
        }
        let (first, second) = (a.min(b), a.max(b));
        let moved = self.objects.remove(&second).unwrap_or_default();
        for piece in &moved {
            self.object_of.insert(*piece, first);
        }
        self.objects.entry(first).or_default().extend(moved);
    }

    fn has_room(&self, a: u64, b: u64) -> bool {
        let (mut from, mut to) = ((i64::MAX, i64::MAX), (i64::MIN, i64::MIN));
        for piece in self.object(a).chain(self.object(b)) {
            let Window { col, row, width, height, .. } = piece.window;
            from = (from.0.min(col), from.1.min(row));
            to = (to.0.max(col + width), to.1.max(row + height));
        }
        let (width, height) = (to.0.saturating_sub(from.0), to.1.saturating_sub(from.1));
        width.saturating_add(66).saturating_mul(height.saturating_add(2)) <= Mask::MAX_PIXELS as i64
    }

    /// The pieces of an object.
    pub fn object(&self, object: u64) -> impl Iterator<Item = &Piece> {
        self.objects.get(&object).into_iter().flatten().filter_map(|id| self.pieces.get(id))
    }

    /// The object of a piece.
    pub fn object_of(&self, piece: u64) -> u64 {
        self.object_of.get(&piece).copied().unwrap_or(piece)
    }

    /// The pieces of the chip in a place.
    pub fn at(&self, place: usize) -> Vec<&Piece> {
        let ids = self.by_place.get(&place).into_iter().flatten();
        ids.filter_map(|id| self.pieces.get(id)).collect()
    }

    /// The places that pieces are kept of.
    pub fn places(&self) -> BTreeSet<usize> {
        self.by_place.keys().copied().collect()
    }

    /// The objects that nothing can be added to any more: all of whose chips are `is_over`. In order.
    pub fn finished(&self, is_over: impl Fn(usize) -> bool) -> Vec<u64> {
        let of_object = |object: &u64| self.object(*object).all(|piece| is_over(piece.place));
        self.objects.keys().copied().filter(of_object).collect()
    }

    /// Takes out an object: its pieces, in order.
    pub fn take(&mut self, object: u64) -> Vec<Piece> {
        let ids = self.objects.remove(&object).unwrap_or_default();
        let mut pieces = Vec::with_capacity(ids.len());
        for id in ids {
            self.object_of.remove(&id);
            let Some(piece) = self.pieces.remove(&id) else { continue };
            if let Some(there) = self.by_place.get_mut(&piece.place) {
                there.retain(|other| *other != id);
                if there.is_empty() {
                    self.by_place.remove(&piece.place);
                }
            }
            pieces.push(piece);
        }
        pieces.sort_by_key(|piece| piece.id);
        pieces
    }

    /// Bytes of all masks that are kept.
    pub fn bytes(&self) -> usize {
        self.pieces.values().map(|piece| piece.runs.bytes()).sum()
    }
}
