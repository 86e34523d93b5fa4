//! Sessions by their behaviour.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ErrorCode;
use crate::api::OutputOptions;

fn item(points: &[([f64; 2], bool)], bbox: Option<[f64; 4]>) -> PromptItem {
    PromptItem {
        id: None,
        folder: None,
        crs: CrsChoice::WGS84,
        prompt: PromptSet {
            points: points.iter().map(|(at, _)| *at).collect(),
            foreground: points.iter().map(|(_, label)| *label).collect(),
            bbox: bbox.map(Bounds::from),
        },
        output: OutputOptions::default(),
        stitch: None,
        refine: false,
        properties: None,
        problem: None,
    }
}

fn in_folder(folder: &str, mut item: PromptItem) -> PromptItem {
    item.folder = Some(folder.to_owned());
    item
}

fn in_crs(code: u32, mut item: PromptItem) -> PromptItem {
    item.crs = CrsChoice::Epsg(code);
    item
}

const A: ([f64; 2], bool) = ([1.0, 2.0], true);
const B: ([f64; 2], bool) = ([3.0, 4.0], false);

#[test]
fn points_and_the_box_add_up() {
    let mut session = Session::new();
    session.add(&item(&[A], None), 10).unwrap();
    session.add(&item(&[B], Some([0.0, 0.0, 5.0, 5.0])), 10).unwrap();
    let set = session.prompt_set();
    assert_eq!(set.points, [A.0, B.0]);
    assert_eq!(set.foreground, [true, false]);
    assert_eq!(set.bbox, Some(Bounds::new(0.0, 0.0, 5.0, 5.0)));
    assert_eq!(session.counts(), PromptCounts { foreground: 1, background: 1, boxes: 1 });
}

#[test]
fn undo_takes_back_one_point_of_an_add_with_many() {
    let mut session = Session::new();
    session.add(&item(&[A, B], None), 10).unwrap();
    session.undo().unwrap();
    assert_eq!(session.prompt_set().points, [A.0]);
}

#[test]
fn undo_of_a_new_box_brings_back_the_old_one() {
    let mut session = Session::new();
    session.add(&item(&[], Some([0.0, 0.0, 5.0, 5.0])), 10).unwrap();
    session.add(&item(&[], Some([1.0, 1.0, 2.0, 2.0])), 10).unwrap();
    assert_eq!(session.prompt_set().bbox, Some(Bounds::new(1.0, 1.0, 2.0, 2.0)));
    assert_eq!(session.counts().boxes, 1);
    session.undo().unwrap();
    assert_eq!(session.prompt_set().bbox, Some(Bounds::new(0.0, 0.0, 5.0, 5.0)));
    session.undo().unwrap();
    assert!(session.is_empty());
    let refused = session.undo().unwrap_err();
    assert_eq!((&refused, refused.code()), (&SessionError::NothingToUndo, ErrorCode::NothingToSave));
}

#[test]
fn undo_after_box_and_points_in_one_add_takes_the_points_first() {
    let mut session = Session::new();
    session.add(&item(&[A], Some([0.0, 0.0, 5.0, 5.0])), 10).unwrap();
    session.undo().unwrap();
    assert_eq!(session.prompt_set(), item(&[], Some([0.0, 0.0, 5.0, 5.0])).prompt);
}

#[test]
fn another_crs_or_folder_is_refused_naming_both() {
    let mut session = Session::new();
    session.add(&in_folder("north", item(&[A], None)), 10).unwrap();
    let before = session.clone();
    let error = session.add(&in_folder("south", item(&[B], None)), 10).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadRequest);
    assert!(error.to_string().contains("north") && error.to_string().contains("south"), "{error}");
    let error = session.add(&in_crs(32618, item(&[B], None)), 10).unwrap_err();
    assert!(error.to_string().contains("EPSG:4326") && error.to_string().contains("EPSG:32618"), "{error}");
    assert_eq!(session, before);
    // Without a folder an add is for the session's.
    session.add(&item(&[B], None), 10).unwrap();
    assert_eq!(session.folder(), Some("north"));
}

#[test]
fn a_session_without_prompts_is_bound_to_nothing() {
    let mut session = Session::new();
    session.add(&in_folder("north", item(&[A], None)), 10).unwrap();
    session.undo().unwrap();
    session.add(&in_folder("south", in_crs(32618, item(&[B], None))), 10).unwrap();
    assert_eq!((session.folder(), session.crs()), (Some("south"), Some(CrsChoice::Epsg(32618))));
    session.clear();
    assert_eq!(session, Session::new());
    assert_eq!(session.to_save(), Err(SessionError::NothingToSave));
    assert_eq!(SessionError::NothingToSave.code(), ErrorCode::NothingToSave);
}

#[test]
fn an_add_that_makes_the_session_too_long_changes_nothing() {
    let mut session = Session::new();
    session.add(&item(&[A, B], None), 3).unwrap();
    let error = session.add(&item(&[A], Some([0.0, 0.0, 1.0, 1.0])), 3).unwrap_err();
    assert_eq!(error, SessionError::TooLong { steps: 4, limit: 3 });
    assert_eq!(session.prompt_set().points.len(), 2);
    assert_eq!(session.prompt_set().bbox, None);
    assert_eq!(session.add(&item(&[], None), 3), Err(SessionError::NoPrompt));
}

const LIMITS: SessionLimits = SessionLimits { sessions: 3, per_client: 2, idle_seconds: 10 };

fn key(client: &str, session: &str) -> SessionKey {
    SessionKey::new(client, session)
}

fn with_one_point() -> Session {
    let mut session = Session::new();
    session.add(&item(&[A], None), 10).unwrap();
    session
}

#[test]
fn beyond_the_bounds_the_session_unused_for_longest_ends() {
    let mut table = SessionTable::new(LIMITS);
    assert!(table.put(key("a", "1"), with_one_point(), 1).is_empty());
    assert!(table.put(key("b", "1"), with_one_point(), 2).is_empty());
    assert!(table.put(key("b", "2"), with_one_point(), 3).is_empty());
    // A client's share first: others are not touched by it.
    assert_eq!(table.put(key("b", "3"), with_one_point(), 4), [key("b", "1")]);
    // Beyond that the client that has most makes room.
    assert_eq!(table.put(key("c", "1"), with_one_point(), 5), [key("b", "2")]);
    assert_eq!(table.len(), 3);
    // Of equals use counts, not age.
    assert!(table.put(key("a", "1"), with_one_point(), 6).is_empty());
    assert_eq!(table.put(key("d", "1"), with_one_point(), 7), [key("b", "3")]);
    // What is empty goes first, whosever it is.
    assert!(table.put(key("c", "1"), Session::new(), 8).is_empty());
    assert_eq!(table.put(key("a", "2"), with_one_point(), 9), [key("c", "1")]);
}

#[test]
fn a_crowd_of_sessions_pushes_out_its_own() {
    let mut table = SessionTable::new(SessionLimits { sessions: 20, per_client: 8, ..LIMITS });
    table.put(key("quiet", "1"), with_one_point(), 0);
    for at in 1..100u64 {
        let ended = table.put(key(&format!("crowd{}", at % 3), &at.to_string()), with_one_point(), at);
        assert!(!ended.contains(&key("quiet", "1")), "at {at}");
    }
    assert_eq!(table.len(), 20);
}

#[test]
fn a_session_ends_by_age_and_is_then_unknown() {
    let mut table = SessionTable::new(LIMITS);
    table.put(key("a", "1"), with_one_point(), 1_000);
    assert!(table.get(&key("a", "1"), 11_000).is_ok());
    let error = table.get(&key("a", "1"), 11_001).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownSession);
    // Which of both it was is not known.
    let told = error.to_string();
    assert!(told.contains("no `add` has begun it") && told.contains("ended by age"), "{told}");
    assert!(table.expire(11_000).is_empty());
    assert_eq!(table.expire(11_001), [key("a", "1")]);
    assert!(table.is_empty());
}

#[test]
fn sessions_survive_being_stored_and_unreadable_ones_are_told() {
    let mut table = SessionTable::new(LIMITS);
    let mut session = with_one_point();
    session.add(&in_folder("north", item(&[B], Some([0.1, 0.2, 0.3, 0.4]))), 10).unwrap();
    table.put(key("a", "1"), session.clone(), 5);
    let mut stored = BTreeMap::new();
    stored.insert(key("a", "1").stored_name(), table.stored(&key("a", "1")).unwrap());
    stored.insert("b/1".to_owned(), b"{".to_vec());
    stored.insert("nobody".to_owned(), table.stored(&key("a", "1")).unwrap());
    let (restored, problems) = SessionTable::restore(LIMITS, &stored, 6);
    assert_eq!(restored.get(&key("a", "1"), 6).unwrap(), &session);
    assert_eq!(restored.len(), 1);
    assert_eq!(problems.len(), 2);
    assert!(problems[0].to_string().contains("\"b/1\""), "{}", problems[0]);
}

fn any_item() -> impl Strategy<Value = PromptItem> {
    let point = ((-180.0..180.0f64, -90.0..90.0f64), any::<bool>()).prop_map(|((x, y), l)| ([x, y], l));
    let bbox = proptest::option::of((-10.0..0.0f64, -10.0..0.0f64).prop_map(|(x, y)| [x, y, 1.0, 1.0]));
    (proptest::collection::vec(point, 0..5), bbox)
        .prop_map(|(points, bbox)| PromptItem { refine: points.len() % 2 == 1, ..item(&points, bbox) })
        .prop_filter("a prompt", |item| !item.prompt.is_empty())
}

proptest! {
    #[test]
    fn undoing_an_add_step_by_step_is_as_if_it_had_never_been(
        before in proptest::collection::vec(any_item(), 0..6),
        last in any_item(),
    ) {
        let mut session = Session::new();
        for item in &before {
            session.add(item, 1000).unwrap();
        }
        let expected = session.clone();
        session.add(&last, 1000).unwrap();
        for _ in 0..last.prompt.points.len() + usize::from(last.prompt.bbox.is_some()) {
            session.undo().unwrap();
        }
        prop_assert_eq!(session, expected);
    }

    #[test]
    fn a_session_reads_back_from_json_as_it_was(items in proptest::collection::vec(any_item(), 0..6)) {
        let mut session = Session::new();
        for item in &items {
            session.add(item, 1000).unwrap();
        }
        let json = serde_json::to_string(&session).unwrap();
        prop_assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session.clone());
        prop_assert_eq!(session.prompt_set().points.len(), session.prompt_set().foreground.len());
    }

    #[test]
    fn a_session_never_grows_beyond_its_limit(
        items in proptest::collection::vec(any_item(), 0..20), limit in 0..12usize,
    ) {
        let mut session = Session::new();
        for item in &items {
            let before = session.clone();
            if session.add(item, limit).is_err() {
                prop_assert_eq!(&session, &before);
            }
            let set = session.prompt_set();
            prop_assert!(set.points.len() + usize::from(set.bbox.is_some()) <= limit);
        }
    }
}

#[test]
fn how_a_mask_was_shown_is_remembered_as_long_as_there_are_prompts_and_stored_with_them() {
    let shown = Shown {
        output: OutputOptions { tolerance: 4.0, ..OutputOptions::default() },
        tolerance: Some(8.0),
        stitch: Some(16),
    };
    let mut session = Session::new();
    session.show(shown);
    assert_eq!(session.shown(), None, "there is nothing to show");
    session.add(&item(&[A], None), 10).unwrap();
    session.show(shown);
    let key = SessionKey::new("c", "s");
    let mut table = SessionTable::new(SessionLimits::default());
    table.put(key.clone(), session.clone(), 1);
    let stored = BTreeMap::from([(key.stored_name(), table.stored(&key).unwrap())]);
    let (table, problems) = SessionTable::restore(SessionLimits::default(), &stored, 1);
    assert_eq!((table.get(&key, 1).unwrap().shown(), problems), (Some(&shown), vec![]));
    session.undo().unwrap();
    assert_eq!(session.shown(), None);
    // As versions before this one stored it.
    let older = BTreeMap::from([(
        "c/s".to_owned(),
        br#"{"used_ms":1,"session":{"folder":null,"crs":null,"steps":[]}}"#.to_vec(),
    )]);
    assert!(SessionTable::restore(SessionLimits::default(), &older, 1).1.is_empty());
}

#[test]
fn sessions_without_prompts_make_room_before_those_with() {
    let limits = SessionLimits { sessions: 3, per_client: 2, idle_seconds: 10 };
    let mut table = SessionTable::new(limits);
    let mut full = Session::new();
    full.add(&item(&[A], None), 10).unwrap();
    table.put(SessionKey::new("c", "full"), full.clone(), 1);
    table.put(SessionKey::new("c", "saved"), Session::new(), 2);
    let ended = table.put(SessionKey::new("c", "new"), full, 3);
    assert_eq!(ended, [SessionKey::new("c", "saved")]);
}

fn refined(mut item: PromptItem) -> PromptItem {
    item.refine = true;
    item
}

#[test]
fn an_add_that_refines_starts_from_what_was_there_and_undo_goes_back_to_it() {
    let mut session = Session::new();
    session.add(&refined(item(&[A], None)), 10).unwrap();
    assert_eq!(session.refining().map(|r| r.from), Some(0), "there is no mask yet, which is to be told");
    let best = OutputOptions { multimask: Multimask::Best, ..OutputOptions::default() };
    session.show(Shown { output: best, tolerance: None, stitch: None });
    session.add(&refined(item(&[B, A], None)), 10).unwrap();
    assert_eq!(session.refining().map(|r| (r.from, r.multimask)), Some((1, Multimask::Best)));
    let first = session.before(1);
    assert_eq!((first.prompt_set().points, first.refining().map(|r| r.from)), (vec![A.0], Some(0)));
    session.undo().unwrap();
    assert_eq!(session.refining().map(|r| r.from), Some(1), "a part of an add starts where all of it did");
    let refined_twice = session.clone();
    session.add(&item(&[B], None), 10).unwrap();
    assert_eq!(session.refining(), None, "what comes behind it does not");
    assert_eq!(session.before(2).refining().map(|r| r.from), Some(1));
    session.undo().unwrap();
    assert_eq!(session, refined_twice);
    session.undo().unwrap();
    session.undo().unwrap();
    assert_eq!(session, Session::new());
}
