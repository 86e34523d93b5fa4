//! Plans and pieces over synthetic worlds, without any decoder; and surveys of the demo's folder with its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::Step;
use super::found::join;
use super::plan::Plan;
use super::sheet::{Piece, Sheet};
use crate::api::{EverythingOptions, PromptItem};
use crate::catalog::Folder;
use crate::catalog::testing::{ManifestBuilder, Row};
use crate::engine::stitch::Window;
use crate::engine::{Engine, EngineChoice, EngineOptions, ServedFolder};
use crate::geo::{Affine, Bounds};
use crate::mask::{Mask, MaskRuns};

const SIDE: usize = 64;

/// A folder of chips of 64 x 64 pixels of a metre, so many each way, that far apart.
fn folder(stride: usize, across: usize, down: usize) -> (tempfile::TempDir, Folder) {
    let card = tempfile::tempdir().unwrap();
    let places = (0..down).flat_map(|row| (0..across).map(move |col| (col, row)));
    let rows = places.enumerate().map(|(index, (col, row))| {
        let (x, y) = ((col * stride) as f64, -((row * stride) as f64));
        Row::on_grid(index, Affine::new([1.0, 0.0, 1000.0 + x, 0.0, -1.0, 5000.0 + y]), (SIDE, SIDE))
    });
    ManifestBuilder::new(rows.collect()).write(card.path());
    let folder = Folder::discover(card.path()).unwrap().into_folders().unwrap().remove(0);
    (card, folder)
}

fn all_points(folder: &Folder, plan: &Plan, per_side: u16) -> Vec<(usize, f64, f64)> {
    let points = |place: usize| {
        let affine = folder.chip(plan.window(place).unwrap().chip).unwrap().affine;
        let world = move |(x, y)| {
            let (x, y) = affine.apply(x, y);
            (place, x, y)
        };
        plan.points(folder, place, per_side).into_iter().map(world)
    };
    (0..plan.len()).flat_map(points).collect()
}

#[test]
fn each_place_is_asked_once_however_chips_overlap() {
    for (stride, per_side) in [(64, 8), (32, 8), (48, 8)] {
        let (_card, folder) = folder(stride, 3, 2);
        let plan = Plan::of(&folder, None);
        let points = all_points(&folder, &plan, per_side);
        // The lattice of 8 pixels over all that the chips cover.
        let expected = (2 * stride + SIDE) / 8 * ((stride + SIDE) / 8);
        assert_eq!(points.len(), expected, "stride {stride}");
        let distinct: BTreeSet<_> = points.iter().map(|p| (p.1.to_bits(), p.2.to_bits())).collect();
        assert_eq!(distinct.len(), expected, "stride {stride}");
    }
}

#[test]
fn only_what_lies_in_the_area_is_asked_and_chips_that_do_not_meet_it_are_not() {
    let (_card, folder) = folder(64, 3, 2);
    let area = Bounds::new(1010.0, 4980.0, 1080.0, 4995.0);
    let plan = Plan::of(&folder, Some(area));
    assert_eq!(plan.len(), 2);
    let points = all_points(&folder, &plan, 8);
    assert!(!points.is_empty() && points.iter().all(|p| area.covers_point(p.1, p.2)), "{points:?}");
}

#[test]
fn a_box_between_the_points_of_the_grid_has_none() {
    let (_card, folder) = folder(64, 3, 2);
    // With 4 points a side the first ones lie at 8, 24, ... pixels.
    for (area, per_side, has) in [
        (Bounds::new(1010.0, 4980.0, 1020.0, 4990.0), 4, false),
        (Bounds::new(1010.0, 4980.0, 1020.0, 4990.0), 16, true),
        (Bounds::new(1005.0, 4980.0, 1009.0, 4999.0), 4, true),
    ] {
        let plan = Plan::of(&folder, Some(area));
        assert_eq!(plan.has_a_point(&folder, per_side), has, "{area:?}, {per_side}");
        assert_eq!(plan.spacing(per_side), Some((64.0 / f64::from(per_side), 64.0 / f64::from(per_side))));
    }
}

#[test]
fn chips_on_no_common_grid_are_asked_each_by_itself() {
    let card = tempfile::tempdir().unwrap();
    let row = |index: usize, x: f64| {
        Row::on_grid(index, Affine::new([1.0, 0.0, x, 0.0, -1.0, 5000.0]), (SIDE, SIDE))
    };
    ManifestBuilder::new(vec![row(0, 1000.0), row(1, 1030.5)]).write(card.path());
    let folder = Folder::discover(card.path()).unwrap().into_folders().unwrap().remove(0);
    let plan = Plan::of(&folder, None);
    assert_eq!((plan.len(), plan.neighbours(&folder, 0)), (2, Vec::new()));
    assert_eq!(all_points(&folder, &plan, 4).len(), 32);
}

/// A picture of rectangles: first and last column, first and last row, the last excluded.
fn picture(width: usize, height: usize, rectangles: &[[usize; 4]]) -> Mask {
    let mut mask = Mask::blank(height, width).unwrap();
    for &[left, right, top, bottom] in rectangles {
        (top..bottom).for_each(|row| mask.set_run(row, left..right));
    }
    mask
}

/// What a chip sees of a picture, as a piece.
fn seen(picture: &Mask, place: usize, col: i64, row: i64) -> Option<Piece> {
    let window = Window { chip: place, col, row, width: SIDE as i64, height: SIDE as i64 };
    let mut mask = Mask::blank(SIDE, SIDE).unwrap();
    MaskRuns::of(picture).draw_at(&mut mask, (-col, -row));
    let runs = MaskRuns::of(&mask);
    (runs.pixels() > 0).then_some(Piece {
        id: 0,
        place,
        window,
        runs,
        score: 0.9,
        stability: 0.99,
        goes_on_from: None,
    })
}

fn relate(sheet: &mut Sheet, place: usize, other: usize) {
    let ids: Vec<u64> = sheet.at(place).iter().map(|piece| piece.id).collect();
    ids.into_iter().for_each(|id| sheet.relate_piece(id, other));
}

/// Everything of some pictures, one object each, on chips that far apart.
fn found(pictures: &[Mask], stride: i64) -> Vec<Mask> {
    let (width, height) = (pictures[0].width() as i64, pictures[0].height() as i64);
    let starts = |length: i64| (0..).map(move |i| i * stride).take_while(move |s| s + SIDE as i64 <= length);
    let windows = starts(height).flat_map(|row| starts(width).map(move |col| (col, row)));
    let mut sheet = Sheet::default();
    for (place, (col, row)) in windows.enumerate() {
        for piece in pictures.iter().filter_map(|picture| seen(picture, place, col, row)) {
            sheet.add(piece);
        }
        (0..place).for_each(|before| relate(&mut sheet, place, before));
    }
    let objects: Vec<Vec<Piece>> =
        sheet.finished(|_| true).into_iter().map(|object| sheet.take(object)).collect();
    let whole = |pieces: Vec<Piece>| {
        let (mask, origin) = join(&pieces).unwrap();
        let mut whole = Mask::blank(height as usize, width as usize).unwrap();
        MaskRuns::of(&mask).draw_at(&mut whole, origin);
        whole
    };
    objects.into_iter().map(whole).collect()
}

#[test]
fn pieces_of_one_object_are_put_together_over_seams_and_overlaps_and_others_stay_apart() {
    let pictures = [
        picture(256, 192, &[[20, 230, 30, 50]]),
        // Down, across and up again.
        picture(256, 192, &[[30, 40, 60, 150], [30, 200, 140, 150], [190, 200, 60, 150]]),
        picture(256, 192, &[[60, 90, 70, 100]]),
        picture(256, 192, &[[128, 140, 70, 82]]),
    ];
    for stride in [64, 32, 48] {
        let mut found = found(&pictures, stride);
        assert_eq!(found.len(), pictures.len(), "stride {stride}");
        for picture in &pictures {
            let at = found.iter().position(|mask| mask == picture);
            found.remove(at.unwrap_or_else(|| panic!("stride {stride}: one is not whole")));
        }
    }
}

#[test]
fn a_tree_in_a_wood_that_another_chip_sees_whole_stays_its_own() {
    let wood = picture(128, 64, &[[10, 120, 5, 60]]);
    let tree = picture(128, 64, &[[40, 56, 20, 36]]);
    assert_eq!(found(&[wood.clone(), tree.clone()], 32), [wood, tree]);
}

#[test]
fn an_object_is_given_out_when_no_chip_is_left_that_could_add_to_it() {
    let long = picture(192, 64, &[[10, 190, 10, 20]]);
    let short = picture(192, 64, &[[10, 20, 40, 50]]);
    let mut sheet = Sheet::default();
    for place in 0..3 {
        for piece in [&long, &short].into_iter().filter_map(|p| seen(p, place, place as i64 * 64, 0)) {
            sheet.add(piece);
        }
        if place > 0 {
            relate(&mut sheet, place, place - 1);
        }
        // A chip is over when the one beside it is done.
        let finished = sheet.finished(|other| other < place || place == 2);
        let expected = [0, 1, 1][place];
        assert_eq!(finished.len(), expected, "after chip {place}");
        for object in finished {
            assert!(!sheet.take(object).is_empty());
        }
    }
    assert_eq!(sheet.bytes(), 0);
}

#[test]
fn where_chips_disagree_at_a_seam_the_one_farther_from_its_edge_is_believed() {
    let window = |place: usize, col: i64| Window { chip: place, col, row: 0, width: 64, height: 64 };
    let piece = |place: usize, col: i64, from: usize, to: usize| {
        let mut mask = Mask::blank(SIDE, SIDE).unwrap();
        (10..30).for_each(|row| mask.set_run(row, from..to));
        let (runs, window) = (MaskRuns::of(&mask), window(place, col));
        Piece { id: place as u64, place, window, runs, score: 0.9, stability: 0.99, goes_on_from: None }
    };
    // The first sees nothing beyond column 56, the second begins at 32 and sees all from there.
    let (mask, (col, _)) = join(&[piece(0, 0, 10, 56), piece(1, 32, 0, 60)]).unwrap();
    let row: Vec<i64> = mask.set_columns(5).map(|c| c as i64 + col).collect();
    assert_eq!(row, (10..92).collect::<Vec<_>>());
}

/// The demo's folder and its decoder.
fn demo() -> (Engine, [Arc<ServedFolder>; 1]) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let folder = Folder::discover(&demo.join("features")).unwrap().into_folders().unwrap().remove(0);
    let folders = [Arc::new(ServedFolder::new("features".to_owned(), folder))];
    let options = EngineOptions {
        models: demo.join("models"),
        engine: EngineChoice::Fused,
        threads: 2,
        cache_bytes: 64 << 20,
    };
    (Engine::open(&options).unwrap(), folders)
}

#[test]
fn a_survey_that_is_read_again_goes_on_as_if_it_had_not_ended() {
    let (engine, folders) = demo();
    let everything = EverythingOptions { points_per_side: 8, ..EverythingOptions::default() };
    let begin = || engine.survey(&folders, &PromptItem::default(), everything).unwrap();
    // As many objects at once as there are, or so many.
    let run = |cut: Option<usize>| {
        let begin = || {
            let mut survey = begin();
            survey.most_given.0 = cut.unwrap_or(survey.most_given.0);
            survey
        };
        let (mut survey, mut rows, mut found) = (begin(), BTreeMap::new(), Vec::new());
        loop {
            match engine.advance(&mut survey, &|| cut.is_some()).unwrap() {
                Step::Done => return found,
                Step::Paused => assert!(cut.is_some()),
                Step::Chip(objects) => {
                    assert!(cut.is_none_or(|most| objects.len() <= most));
                    found.extend(objects.iter().map(|o| serde_json::to_string(&o.object.geometry).unwrap()));
                    for (row, state) in survey.changed_rows() {
                        match state {
                            Some(state) => drop(rows.insert(row, state)),
                            None => drop(rows.remove(&row)),
                        }
                    }
                    if cut.is_some() {
                        let kept: Vec<(u64, Vec<u8>)> = rows.clone().into_iter().collect();
                        survey = begin();
                        assert!(survey.resume(&kept).unwrap());
                        // What is damaged is not taken for anything.
                        let mut damaged = kept;
                        damaged[0].1.truncate(5);
                        assert!(!begin().resume(&damaged).unwrap());
                    }
                }
            }
        }
    };
    let mut whole = run(None);
    whole.sort();
    assert!(whole.len() > 30, "{} objects", whole.len());
    let mut cut = run(Some(3));
    cut.sort();
    assert_eq!(whole, cut);
}

#[test]
fn others_may_have_the_decoder_behind_each_comparison_and_each_object_whatever_passes_the_filters() {
    use std::cell::Cell;

    let (engine, folders) = demo();
    // Nothing is filtered, and nothing is a duplicate.
    let everything = EverythingOptions {
        points_per_side: 12,
        pred_iou_thresh: 0.0,
        stability_score_thresh: 0.0,
        nms_thresh: 1.0,
        ..EverythingOptions::default()
    };
    let (asked, mut found, mut chips) = (Cell::new(0), 0, 0);
    let pause = || {
        asked.set(asked.get() + 1);
        true
    };
    // Of one chip: behind every eight points, and behind each mask.
    let mut survey = engine.survey(&folders, &PromptItem::default(), everything).unwrap();
    let mut gave_way = 0;
    let masks = loop {
        if let Some(masks) = engine.ask_chip(&mut survey, &pause).unwrap() {
            break masks.len();
        }
        gave_way += 1;
    };
    assert!(masks > 100 && gave_way >= masks, "gave way {gave_way} times for {masks} masks");
    asked.set(0);
    let mut survey = engine.survey(&folders, &PromptItem::default(), everything).unwrap();
    while chips < 2 {
        match engine.advance(&mut survey, &pause).unwrap() {
            Step::Done => panic!("there are more chips"),
            Step::Paused => {}
            Step::Chip(objects) => {
                found += objects.len();
                chips = survey.progress().0;
            }
        }
    }
    // Each mask is compared, each new piece with those beside it; then the objects that are done are drawn.
    let masks =
        survey.sheet.places().iter().map(|place| survey.sheet.at(*place).len()).sum::<usize>() + found;
    assert!(masks > 200, "{masks}");
    assert!(asked.get() > masks, "asked {} times for {masks} masks", asked.get());
}
