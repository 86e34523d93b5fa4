//! Listing and paging.

use proptest::prelude::*;

use super::*;

#[test]
fn pages_cover_a_layer_without_gap_or_overlap() {
    let mut fixture = Fixture::new();
    fixture.apply(appends(0..500));
    for limit in [1, 7, 63, 64, 65, 499, 500, 501] {
        let (mut ids, mut offset) = (Vec::new(), Some(0));
        while let Some(from) = offset {
            let page = fixture.layers.fetch("ponds", from, limit, usize::MAX).unwrap();
            assert_eq!((page.offset, page.total), (from, 500));
            assert!(page.lines.len() as u64 <= limit);
            ids.extend(page.lines);
            offset = page.next;
        }
        assert_eq!(ids, (0..500).map(|n| line(&n.to_string())).collect::<Vec<_>>());
    }
}

#[test]
fn a_page_stays_below_its_bytes() {
    let mut fixture = Fixture::new();
    fixture.apply(appends(0..10));
    let each = line("0").len();
    let page = fixture.layers.fetch("ponds", 2, 100, 3 * (each + 1)).unwrap();
    assert_eq!((page.lines.len(), page.next), (3, Some(5)));
    let error = fixture.layers.fetch("ponds", 2, 100, each - 1).unwrap_err();
    assert_eq!(error.code(), crate::ErrorCode::TooLarge);
    assert!(error.to_string().contains("object 2 of layer ponds"), "{error}");
}

#[test]
fn a_page_beyond_the_end_is_empty() {
    let mut fixture = Fixture::new();
    fixture.apply(appends(0..3));
    for (offset, limit) in [(3, 10), (u64::MAX, u64::MAX)] {
        let page = fixture.layers.fetch("ponds", offset, limit, usize::MAX).unwrap();
        assert!(page.lines.is_empty());
        assert_eq!((page.total, page.next), (3, None));
    }
    // One of no objects ends where it begins.
    for offset in 0..3 {
        let page = fixture.layers.fetch("ponds", offset, 0, usize::MAX).unwrap();
        assert_eq!((page.lines.len(), page.total, page.next), (0, 3, Some(offset)));
    }
}

#[test]
fn an_unknown_layer_is_told_and_not_made() {
    let fixture = Fixture::new();
    let error = fixture.layers.fetch("nowhere", 0, 1, 100).unwrap_err();
    assert_eq!(error.code(), crate::ErrorCode::UnknownLayer);
    assert!(!fixture.layers.exists("nowhere").unwrap());
    assert_eq!(fixture.layers.fetch("../x", 0, 1, 100).unwrap_err().code(), crate::ErrorCode::BadRequest);
    assert!(fixture.layers.list().unwrap().is_empty());
}

#[test]
fn layers_are_listed_with_features_and_bytes() {
    let mut fixture = Fixture::new();
    fixture.apply(appends(0..3));
    fixture.apply(vec![LayerOp::append("a.b", "1", line("1")).unwrap()]);
    fs::write(fixture.dir.path().join("layers/notes.txt"), "not a layer").unwrap();
    fs::write(fixture.dir.path().join("layers/bad name.geojsonl"), "not ours").unwrap();
    let summary = |name: &str, features, bytes: usize| LayerSummary {
        name: name.to_owned(),
        features,
        bytes: bytes as u64,
        problem: None,
    };
    let each = line("1").len() + 1;
    assert_eq!(fixture.layers.list().unwrap(), [summary("a.b", 1, each), summary("ponds", 3, 3 * each)]);
}

#[test]
fn bad_and_blank_lines_are_skipped_reported_and_kept() {
    let mut fixture = Fixture::new();
    let text = format!("\u{feff}{}\r\n\nnonsense\n\u{1e}{}\n[1,2]\n", line("a"), line("b"));
    fs::write(fixture.path(), &text).unwrap();
    assert_eq!(fixture.ids(), ["a", "b"]);
    let problems = fixture.layers.take_problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].to_string().contains("2 lines") && problems[0].to_string().contains("line 3"),
        "{}",
        problems[0]
    );
    assert!(fixture.layers.take_problems().is_empty(), "told once");
    fixture.apply(vec![append("c"), remove("a")]);
    assert_eq!(fixture.ids(), ["b", "c"]);
    assert!(fixture.text().contains("nonsense\n") && fixture.text().contains("[1,2]\n"));
}

#[test]
fn a_file_changed_by_somebody_else_is_read_anew() {
    let mut fixture = Fixture::new();
    fixture.apply(appends(0..3));
    fs::write(fixture.path(), format!("{}\n", line("other"))).unwrap();
    assert_eq!(fixture.ids(), ["other"]);
    // An editor that leaves out the last newline.
    fs::write(fixture.path(), format!("{}\n{}", line("x"), line("y"))).unwrap();
    fixture.apply(vec![append("z")]);
    assert_eq!(fixture.ids(), ["x", "y", "z"]);
    fs::remove_file(fixture.path()).unwrap();
    fixture.apply(vec![append("new")]);
    assert_eq!(fixture.ids(), ["new"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The index that changes keep in step says the same as reading the file anew, and both the same as a list.
    #[test]
    fn any_changes_leave_the_file_as_a_list_would_be(
        steps in proptest::collection::vec((any::<bool>(), 0..200usize), 1..60),
        bulk in 0..200usize,
    ) {
        let mut fixture = Fixture::new();
        let mut expected: Vec<String> = (1000..1000 + bulk).map(|n| n.to_string()).collect();
        fixture.apply(appends(1000..1000 + bulk));
        for (number, (is_append, pick)) in steps.into_iter().enumerate() {
            if is_append || expected.is_empty() {
                expected.push(number.to_string());
                fixture.apply(vec![append(&number.to_string())]);
            } else {
                // Mostly the last one, as `unsave` does.
                let at = if pick % 3 == 0 { pick % expected.len() } else { expected.len() - 1 };
                let id = expected.remove(at);
                fixture.apply(vec![remove(&id)]);
            }
        }
        if !expected.is_empty() || fixture.path().exists() {
            prop_assert_eq!(&fixture.ids(), &expected);
            let offset = expected.len() as u64 / 2;
            let page = |fixture: &Fixture| fixture.layers.fetch("ponds", offset, 5, usize::MAX).unwrap();
            let kept = page(&fixture);
            let list = fixture.layers.list().unwrap();
            fixture.restart();
            prop_assert_eq!(page(&fixture), kept);
            prop_assert_eq!(fixture.layers.list().unwrap(), list);
        }
    }
}
