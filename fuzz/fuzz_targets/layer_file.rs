//! Any bytes as a layer file: opening, listing, paging, saving, taking back and exporting must neither panic nor lose
//! what was saved.
#![no_main]

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use geosam_edge::layers::export::{Format, Settings, export};
use geosam_edge::layers::{Filter, JournalEntry, LayerOp, Layers};
use libfuzzer_sys::fuzz_target;

const LINE: &str = r#"{"type":"Feature","id":"\u0000ours","geometry":null,"properties":{}}"#;

fuzz_target!(|bytes: &[u8]| {
    let Ok(state) = tempfile::tempdir() else { return };
    let path = state.path().join("layers/x.geojsonl");
    let layers = Layers::open(state.path()).expect("a directory of our own");
    fs::write(&path, bytes).expect("a directory of our own");

    let before = layers.list().expect("a readable directory")[0].features;
    let repaired = fs::read(&path).expect("a readable file");
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        // Written anew as UTF-16 by an editor, it is left alone.
        assert_eq!(repaired, bytes);
        return;
    }
    assert!(repaired.is_empty() || repaired.ends_with(b"\n"));
    let page = layers.fetch("x", 0, u64::MAX, usize::MAX).expect("a readable file");
    assert_eq!((page.total, page.lines.len() as u64), (before, before));

    let append = LayerOp::append("x", "\0ours", LINE.to_owned()).expect("a feature");
    let journal = [JournalEntry { seq: 1, op: append }];
    for _ in 0..2 {
        assert_eq!(layers.apply(&journal).done, [1]);
    }
    let after = layers.fetch("x", before, 1, usize::MAX).expect("a readable file");
    if after.lines.is_empty() {
        // The bytes had the id already.
        assert_eq!(after.total, before);
        return;
    }
    assert_eq!(after.lines, [LINE]);
    let whole = [Format::GeoJson, Format::GeoJsonLines, Format::Kml, Format::Kmz];
    for format in whole.into_iter().chain([Format::FlatGeobuf, Format::Plan, Format::Wpl, Format::Cot]) {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let settings = Settings { format, inclusion: true, now, filter: Filter::default() };
        let exported = export(state.path(), "x", &settings, &mut std::io::sink(), Path::new("sink"));
        // More columns than a table may have, and nothing that the format can hold, are the refusals.
        assert!(exported.is_ok() || !whole.contains(&format));
    }

    let remove = LayerOp::remove("x", "\0ours").expect("a name");
    assert_eq!(layers.apply(&[JournalEntry { seq: 2, op: remove }]).done, [2]);
    assert_eq!(fs::read(&path).expect("a readable file"), repaired);
    let again = Layers::open(state.path()).expect("a directory of our own");
    assert_eq!(again.list().expect("a readable directory")[0].features, before);
});
