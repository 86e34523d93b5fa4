//! What receivers may show: the objects that were sent, and the parts that must be deleted. Pure but for its memory; the
//! file that it outlives a restart in is `ledger`'s.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::ledger::Entry;
use crate::layers::export::cot::Shapes;

/// Objects that are known at a time, and parts that may wait to be deleted. More are not sent, and told.
pub(super) const MOST: usize = 10_000;

/// An object that was sent.
#[derive(Debug, Clone, PartialEq)]
struct Announced {
    layer: String,
    /// Uid and box of each part.
    parts: Vec<(String, [f64; 4])>,
    /// Which change was its last.
    touched: u64,
}

/// How far a target is with a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Not,
    /// On a connection that still lasts.
    At(Instant),
    Done,
}

/// A part that is to be deleted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Owed {
    pub layer: String,
    pub bounds: [f64; 4],
    since: u64,
    told: Vec<Told>,
}

/// What became of an object that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// It was deleted after its line was read.
    Gone,
    /// Too many are known.
    Full,
}

/// Objects that were sent, and what is owed.
#[derive(Debug, Default)]
pub(super) struct Known {
    targets: usize,
    objects: HashMap<String, Announced>,
    owed: BTreeMap<String, Owed>,
    /// Objects that were deleted lately: whoever still reads an older file must not send them again.
    gone: HashSet<String>,
    gone_in_order: VecDeque<String>,
    touched: u64,
    /// What the ledger has not been told.
    entries: Vec<Entry>,
}

impl Known {
    pub fn new(targets: usize) -> Self {
        Self { targets, ..Self::default() }
    }

    /// Takes up what a ledger says, entry by entry.
    pub fn take_up(&mut self, entry: Entry) {
        self.touched += 1;
        match entry {
            Entry::Object { id, layer, parts } => {
                if self.objects.len() < MOST {
                    for (uid, _) in &parts {
                        self.owed.remove(uid);
                    }
                    self.objects.insert(id, Announced { layer, parts, touched: self.touched });
                }
            }
            Entry::Gone { id } => drop(self.objects.remove(&id)),
            Entry::Owed { uid, layer, bounds } => self.put_owed(uid, layer, bounds),
            Entry::Done { uid } => drop(self.owed.remove(&uid)),
        }
    }

    /// All that is known, as a ledger says it, in as few entries as can be.
    pub fn all(&self) -> Vec<Entry> {
        let objects = self.objects.iter().map(|(id, announced)| Entry::Object {
            id: id.clone(),
            layer: announced.layer.clone(),
            parts: announced.parts.clone(),
        });
        let owed = self.owed.iter().map(|(uid, owed)| Entry::Owed {
            uid: uid.clone(),
            layer: owed.layer.clone(),
            bounds: owed.bounds,
        });
        objects.chain(owed).collect()
    }

    /// How many entries that would be.
    pub fn len(&self) -> usize {
        self.objects.len() + self.owed.len()
    }

    /// What has changed since the last call, for the ledger.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// An object is about to be sent. `fresh`: it has just been saved or changed, and was not read from a file that may be
    /// older than its deletion.
    pub fn announce(&mut self, shapes: &Shapes, fresh: bool) -> Verdict {
        if fresh {
            self.gone.remove(&shapes.id);
        } else if self.gone.contains(&shapes.id) {
            return Verdict::Gone;
        }
        if self.objects.len() >= MOST && !self.objects.contains_key(&shapes.id) {
            return Verdict::Full;
        }
        self.touched += 1;
        let parts: Vec<_> = shapes.parts.iter().map(|part| (part.uid.clone(), part.bounds())).collect();
        let now = Announced { layer: shapes.layer.clone(), parts, touched: self.touched };
        for (uid, _) in &now.parts {
            if self.owed.remove(uid).is_some() {
                self.entries.push(Entry::Done { uid: uid.clone() });
            }
        }
        let before = self.objects.insert(shapes.id.clone(), now.clone());
        if before.as_ref().is_some_and(|before| before.layer == now.layer && before.parts == now.parts) {
            return Verdict::Send;
        }
        for (uid, bounds) in before.into_iter().flat_map(|before| before.parts) {
            if !now.parts.iter().any(|(now, _)| *now == uid) {
                self.owe(uid, now.layer.clone(), bounds);
            }
        }
        let Announced { layer, parts, .. } = now;
        self.entries.push(Entry::Object { id: shapes.id.clone(), layer, parts });
        Verdict::Send
    }

    /// Whether an object is to be shown.
    pub fn is_shown(&self, id: &str) -> bool {
        self.objects.contains_key(id)
    }

    /// An object is out of this layer. Where it is in another one by now nothing is gone.
    pub fn gone_from(&mut self, layer: &str, id: &str) {
        if self.objects.get(id).is_none_or(|announced| announced.layer == layer) {
            self.gone(id);
        }
    }

    fn gone(&mut self, id: &str) {
        if self.gone.insert(id.to_owned()) {
            self.gone_in_order.push_back(id.to_owned());
            if self.gone_in_order.len() > MOST {
                let oldest = self.gone_in_order.pop_front();
                oldest.map(|id| self.gone.remove(&id));
            }
        }
        let Some(Announced { layer, parts, .. }) = self.objects.remove(id) else { return };
        self.entries.push(Entry::Gone { id: id.to_owned() });
        for (uid, bounds) in parts {
            self.owe(uid, layer.clone(), bounds);
        }
    }

    fn owe(&mut self, uid: String, layer: String, bounds: [f64; 4]) {
        self.entries.push(Entry::Owed { uid: uid.clone(), layer: layer.clone(), bounds });
        self.put_owed(uid, layer, bounds);
    }

    fn put_owed(&mut self, uid: String, layer: String, bounds: [f64; 4]) {
        self.touched += 1;
        let told = vec![Told::Not; self.targets];
        self.owed.insert(uid, Owed { layer, bounds, since: self.touched, told });
        if self.owed.len() > MOST {
            // Its receivers will have to wait until it is stale.
            let oldest = self.owed.iter().min_by_key(|(_, owed)| owed.since).map(|(uid, _)| uid.clone());
            self.done(&oldest.unwrap_or_default());
        }
    }

    fn done(&mut self, uid: &str) {
        self.owed.remove(uid);
        self.entries.push(Entry::Done { uid: uid.to_owned() });
    }

    /// A deletion that a target has not been told.
    pub fn next_owed(&self, target: usize) -> Option<(String, Owed)> {
        let open = |owed: &&Owed| owed.told.get(target) == Some(&Told::Not);
        let found = self.owed.iter().find(|(_, owed)| open(owed));
        found.map(|(uid, owed)| (uid.clone(), owed.clone()))
    }

    /// A target was told a deletion.
    pub fn told(&mut self, target: usize, uid: &str, now: Instant) {
        if let Some(told) = self.owed.get_mut(uid).and_then(|owed| owed.told.get_mut(target)) {
            *told = Told::At(now);
        }
    }

    /// The connection to a target has ended: what was told on it a moment ago may not have arrived.
    pub fn connection_ended(&mut self, target: usize) {
        for told in self.owed.values_mut().filter_map(|owed| owed.told.get_mut(target)) {
            if matches!(told, Told::At(_)) {
                *told = Told::Not;
            }
        }
    }

    /// The connection to a target lasts: what was told on it before then has arrived.
    pub fn received(&mut self, target: usize, before: Instant) {
        let mut done = Vec::new();
        for (uid, owed) in &mut self.owed {
            let Some(told) = owed.told.get_mut(target) else { continue };
            if matches!(*told, Told::At(at) if at <= before) {
                *told = Told::Done;
                if owed.told.iter().all(|told| *told == Told::Done) {
                    done.push(uid.clone());
                }
            }
        }
        done.iter().for_each(|uid| self.done(uid));
    }

    /// What must be found in the layers' files, or is gone; with what it needs to know when that is found out.
    pub fn snapshot(&self) -> Look {
        Look {
            missing: self.objects.iter().map(|(id, announced)| (id.clone(), announced.touched)).collect(),
            gone: self.gone.clone(),
            back: Vec::new(),
        }
    }

    /// Takes what a look has not found for gone, and what it has found though it was gone for being there; but nothing that
    /// was changed since the look began.
    pub fn conclude(&mut self, look: Look) {
        for (id, touched) in look.missing {
            if self.objects.get(&id).is_some_and(|announced| announced.touched == touched) {
                self.gone(&id);
            }
        }
        for id in look.back {
            self.gone.remove(&id);
        }
    }
}

/// A look into the layers' files.
#[derive(Debug)]
pub(super) struct Look {
    missing: HashMap<String, u64>,
    gone: HashSet<String>,
    back: Vec<String>,
}

impl Look {
    /// An object is there.
    pub fn found(&mut self, id: &str) {
        self.missing.remove(id);
        if self.gone.remove(id) {
            self.back.push(id.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shapes(layer: &str, id: &str, parts: usize) -> Shapes {
        let polygons: Vec<String> =
            (0..parts).map(|k| format!("[[[{k},0],[{k}.5,0],[{k}.5,1],[{k},0]]]")).collect();
        let line = format!(
            r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"MultiPolygon","coordinates":[{}]}},"properties":{{}}}}"#,
            polygons.join(",")
        );
        Shapes::of_line(layer, &line).unwrap()
    }

    fn owed(known: &Known, target: usize) -> Option<String> {
        known.next_owed(target).map(|(uid, _)| uid)
    }

    #[test]
    fn what_is_gone_is_owed_to_every_target_until_its_connection_has_lasted() {
        let (mut known, now) = (Known::new(2), Instant::now());
        assert_eq!(known.announce(&shapes("a", "x", 1), true), Verdict::Send);
        known.gone_from("b", "x");
        assert!(known.is_shown("x"), "it is in another layer");
        known.gone_from("a", "x");
        assert_eq!((owed(&known, 0).as_deref(), owed(&known, 1).as_deref()), (Some("x"), Some("x")));
        known.told(0, "x", now);
        known.connection_ended(0);
        assert_eq!(owed(&known, 0).as_deref(), Some("x"));
        for target in [0, 1] {
            known.told(target, "x", now);
            assert_eq!(owed(&known, target), None);
            known.received(target, now + Duration::from_secs(1));
        }
        known.connection_ended(0);
        assert_eq!((owed(&known, 0), known.len()), (None, 0));
    }

    #[test]
    fn an_older_file_brings_nothing_back_and_a_new_save_does() {
        let mut known = Known::new(1);
        known.announce(&shapes("a", "x", 1), false);
        known.gone_from("a", "x");
        assert_eq!(known.announce(&shapes("a", "x", 1), false), Verdict::Gone);
        assert_eq!(known.announce(&shapes("a", "x", 1), true), Verdict::Send);
        assert_eq!(owed(&known, 0), None);
    }

    #[test]
    fn an_object_that_moves_or_loses_parts_owes_just_those() {
        let mut known = Known::new(1);
        known.announce(&shapes("a", "x", 3), true);
        known.announce(&shapes("b", "x", 2), true);
        known.gone_from("a", "x");
        assert!(known.is_shown("x"));
        assert_eq!(owed(&known, 0).as_deref(), Some("x-3"));
        known.announce(&shapes("b", "x", 1), true);
        let all: Vec<&str> = known.owed.keys().map(String::as_str).collect();
        assert_eq!(all, ["x-1", "x-2", "x-3"]);
    }

    #[test]
    fn a_look_takes_for_gone_what_it_has_not_found_and_nobody_has_touched_meanwhile() {
        let mut known = Known::new(1);
        for id in ["there", "lost", "changed"] {
            known.announce(&shapes("a", id, 1), true);
        }
        known.gone_from("a", "back");
        let mut look = known.snapshot();
        look.found("there");
        look.found("back");
        known.announce(&shapes("a", "changed", 1), true);
        known.conclude(look);
        assert_eq!(["there", "lost", "changed"].map(|id| known.is_shown(id)), [true, false, true]);
        assert_eq!(known.announce(&shapes("a", "back", 1), false), Verdict::Send);
    }

    #[test]
    fn what_is_known_is_bounded_and_so_is_what_is_owed() {
        let mut known = Known::new(1);
        for n in 0..MOST {
            known.announce(&shapes("a", &format!("o{n}"), 1), true);
        }
        assert_eq!(known.announce(&shapes("a", "more", 1), true), Verdict::Full);
        assert_eq!(known.announce(&shapes("a", "o7", 1), true), Verdict::Send);
        for n in 0..MOST {
            known.gone_from("a", &format!("o{n}"));
        }
        known.announce(&shapes("a", "more", 1), true);
        known.gone_from("a", "more");
        assert_eq!(known.len(), MOST);
    }

    #[test]
    fn a_ledger_takes_up_all_that_was_known() {
        let mut known = Known::new(1);
        known.announce(&shapes("a", "x", 3), true);
        known.announce(&shapes("a", "x", 1), true);
        known.announce(&shapes("a", "y", 1), true);
        known.gone_from("a", "y");
        for entries in [known.take_entries(), known.all()] {
            let mut again = Known::new(1);
            entries.into_iter().for_each(|entry| again.take_up(entry));
            assert!(again.is_shown("x") && !again.is_shown("y"));
            let owed: Vec<&String> = again.owed.keys().collect();
            assert_eq!(owed, known.owed.keys().collect::<Vec<_>>());
        }
    }
}
