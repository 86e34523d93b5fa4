//! What a power cut or an editor leaves behind.

use proptest::prelude::*;

use super::*;

#[test]
fn a_torn_last_line_is_cut_off_told_and_kept_aside() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a")]);
    let whole = fixture.text();
    let torn = line("b");
    for cut in [1, 10, torn.len() - 1] {
        fs::write(fixture.path(), format!("{whole}{}", &torn[..cut])).unwrap();
        fixture.restart();
        assert_eq!(fixture.ids(), ["a"]);
        assert_eq!(fixture.text(), whole);
        let problems = fixture.layers.take_problems();
        let [LayerProblem::TornLine { layer, bytes, kept: Some(kept) }] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert_eq!((layer.as_str(), *bytes), ("ponds", cut as u64));
        assert_eq!(fs::read_to_string(kept).unwrap(), &torn[..cut]);
        assert_eq!(fixture.layers.list().unwrap().len(), 1, "what is kept aside is no layer");
    }
}

#[test]
fn a_torn_line_that_is_in_the_journal_is_saved_again_once() {
    for cut in 0..=line("b").len() + 1 {
        let mut fixture = Fixture::new();
        fixture.apply(vec![append("a")]);
        let journal = fixture.journal(vec![append("b"), append("c")]);
        let text = fixture.text() + &(line("b") + "\n")[..cut];
        fs::write(fixture.path(), text).unwrap();
        fixture.restart();
        assert_eq!(fixture.layers.apply(&journal).done, [2, 3]);
        assert_eq!(fixture.ids(), ["a", "b", "c"], "cut after {cut} bytes");
        assert_eq!(fixture.text(), format!("{}\n{}\n{}\n", line("a"), line("b"), line("c")));
    }
}

#[test]
fn zeros_after_a_power_cut_are_cut_off() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a")]);
    let mut bytes = fs::read(fixture.path()).unwrap();
    bytes.extend([0; 10_000]);
    fs::write(fixture.path(), bytes).unwrap();
    fixture.restart();
    fixture.apply(vec![append("b")]);
    assert_eq!(fixture.text(), format!("{}\n{}\n", line("a"), line("b")));
}

#[test]
fn lines_whose_blocks_a_power_cut_has_emptied_are_taken_out_told_and_saved_again_once() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a")]);
    let journal = fixture.journal(vec![append("b"), append("c")]);
    let whole = fixture.text();
    let (b, c) = (line("b") + "\n", line("c") + "\n");
    let zeros = |from: usize, to: usize| {
        let mut bytes = format!("{whole}{b}{c}").into_bytes();
        bytes[whole.len() + from..whole.len() + to].fill(0);
        bytes
    };
    // The begin of one, the end of one and the begin of the next with the newline between, something in the middle.
    for (from, to) in [(0, 20), (b.len() - 10, b.len() + 10), (b.len() + 5, b.len() + 9), (0, b.len() + 3)] {
        fs::write(fixture.path(), zeros(from, to)).unwrap();
        fixture.restart();
        assert_eq!(fixture.layers.apply(&journal).done, [2, 3]);
        let problems = fixture.layers.take_problems();
        assert!(matches!(&problems[..], [LayerProblem::HollowLines { lines: 1, .. }]), "{problems:?}");
        let mut ids = fixture.ids();
        ids.sort();
        assert_eq!(ids, ["a", "b", "c"], "{from} to {to}");
        assert!(!fixture.text().contains('\0') && fixture.text().starts_with(&whole));
        fs::write(fixture.path(), &whole).unwrap();
    }
}

#[test]
fn a_file_that_was_written_anew_as_utf_16_is_left_alone_and_told() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a"), append("b")]);
    let utf_16: Vec<u8> = fixture.text().encode_utf16().flat_map(u16::to_le_bytes).collect();
    for mark in [&[0xff, 0xfe][..], &[]] {
        let written = [mark, &utf_16].concat();
        fs::write(fixture.path(), &written).unwrap();
        fixture.restart();
        let journal = fixture.journal(vec![append("c")]);
        let made = fixture.layers.apply(&journal);
        let now = fs::read(fixture.path()).unwrap();
        assert!(now.starts_with(&written[..written.len() - 1]), "nothing is taken out");
        if mark.is_empty() {
            continue;
        }
        assert_eq!((made.done.len(), &now), (0, &written));
        // Once it is mended the object is saved.
        fs::write(fixture.path(), format!("{}\n{}\n", line("a"), line("b"))).unwrap();
        assert_eq!(fixture.layers.apply(&journal).done.len(), 1);
        assert_eq!(fixture.ids(), ["a", "b", "c"]);
    }
}

#[test]
fn a_whole_last_feature_without_newline_is_kept() {
    let mut fixture = Fixture::new();
    fs::write(fixture.path(), format!("{}\n{}", line("a"), line("b"))).unwrap();
    assert_eq!(fixture.ids(), ["a", "b"]);
    assert!(fixture.text().ends_with("}\n"));
    assert!(fixture.layers.take_problems().is_empty());
    fixture.apply(vec![append("c")]);
    assert_eq!(fixture.ids(), ["a", "b", "c"]);
}

#[test]
fn a_rewrite_that_was_cut_short_leaves_the_old_file_and_no_litter() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a"), append("b")]);
    let litter = fixture.dir.path().join("layers/.ponds.geojsonl.tmp-1234");
    fs::write(&litter, "half of it").unwrap();
    fixture.restart();
    assert!(!litter.exists());
    assert_eq!(fixture.ids(), ["a", "b"]);
}

#[test]
fn a_file_without_any_newline_is_not_lost() {
    let fixture = Fixture::new();
    let collection = r#"{"type":"FeatureCollection","features":[]}"#;
    fs::write(fixture.path(), collection).unwrap();
    assert!(fixture.ids().is_empty());
    let kept = fixture.path().with_extension("geojsonl.torn");
    assert_eq!(fs::read_to_string(kept).unwrap(), collection);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// As `fuzz/fuzz_targets/layer_file.rs`, for every run of the tests.
    #[test]
    fn any_bytes_as_a_layer_are_got_along_with(
        parts in proptest::collection::vec(prop_oneof![
            Just(b"{\"type\":\"Feature\",\"id\":\"theirs\"}".to_vec()),
            Just(b"{\"type\":\"Feature\"}\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\x1e".to_vec()),
            Just(b"\xef\xbb\xbf".to_vec()),
            Just(vec![0; 5000]),
            proptest::collection::vec(any::<u8>(), 0..40),
        ], 0..12),
    ) {
        let mut fixture = Fixture::new();
        fs::write(fixture.path(), parts.concat()).unwrap();
        let before = fixture.layers.list().unwrap()[0].features;
        let repaired = fs::read(fixture.path()).unwrap();
        prop_assert!(repaired.is_empty() || repaired.ends_with(b"\n"));
        let journal = fixture.apply(vec![append("ours")]);
        fixture.restart();
        fixture.layers.apply(&journal);
        let page = fixture.layers.fetch("ponds", before, 10, usize::MAX).unwrap();
        prop_assert_eq!(page.lines, [line("ours")]);
        fixture.apply(vec![remove("ours")]);
        prop_assert_eq!(fs::read(fixture.path()).unwrap(), repaired);
        prop_assert_eq!(fixture.layers.list().unwrap()[0].features, before);
    }
}
