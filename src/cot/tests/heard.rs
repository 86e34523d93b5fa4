//! What is taken of a stream, however it is cut and whatever else is in it.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::super::heard::{EventReader, Marker, StreamFault, markers_in};

/// A marker as ATAK sends it.
fn event(uid: &str) -> String {
    format!(
        "<event version=\"2.0\" uid=\"{uid}\" type=\"a-h-G\" how=\"h-g-i-g-o\" time=\"2026-11-30T11:00:00.000Z\" \
         start=\"2026-11-30T11:00:00.000Z\" stale=\"2026-11-30T12:00:00.000Z\"><point lat=\"47.65\" lon=\"9.17\" hae=\"0.0\" \
         ce=\"9999999.0\" le=\"9999999.0\"/><detail><contact callsign=\"Pond\"/><remarks>deep</remarks></detail></event>"
    )
}

fn found(stream: impl AsRef<[u8]>) -> (Vec<Marker>, Option<StreamFault>) {
    let (mut reader, mut found) = (EventReader::new(), Vec::new());
    reader.take(stream.as_ref(), &mut found);
    (found, reader.take_fault())
}

fn uids(stream: impl AsRef<[u8]>) -> Vec<String> {
    let (found, fault) = found(stream);
    assert_eq!(fault, None);
    found.into_iter().map(|marker| marker.uid).collect()
}

/// A stream as it may be, and the markers in it.
fn stream() -> (String, Vec<String>) {
    let declared = format!("<?xml version='1.0' encoding='UTF-8'?>\n{}\n", event("declared"));
    let commented = format!("<!-- <event> -- -> -->{}", event("commented"));
    let cdata = event("cdata").replace("deep", "<![CDATA[</event> ]] ]> <event uid='no'>]]>");
    let other_quotes = event("quotes").replace("\"a-h-G\"", "'b-m-p-s-m'").replace("\"Pond\"", "'a > \"b\"'");
    let own = event("presence").replace("<remarks>", "<takv os='34'/><remarks>");
    let streams = [declared, commented, own, cdata, other_quotes, "<t/>".into(), event("last")];
    (streams.concat(), ["declared", "commented", "cdata", "quotes", "last"].map(str::to_owned).into())
}

#[test]
fn a_marker_is_taken_with_what_and_where_it_is() {
    let text = "<event stale='2026-11-30T12:00:00Z' how='h-e' type='b-m-p-s-m' version='2.0' uid='a&amp;&#252;'\n>\
                <detail><usericon/><group><contact callsign='no'/></group><contact endpoint='x' \
                callsign='&#x6c60; &quot;7&quot;'/></detail><point le='1' lon=' -9.5' lat='-47.25' ce='2' hae='3'></point></event >";
    let (found, fault) = found(text);
    assert_eq!((found.len(), fault), (1, None));
    let marker = &found[0];
    assert_eq!((marker.uid.as_str(), marker.kind.as_str()), ("a&\u{fc}", "b-m-p-s-m"));
    assert_eq!(marker.callsign.as_deref(), Some("\u{6c60} \"7\""));
    assert_eq!(marker.position, [-9.5, -47.25]);
}

#[test]
fn markers_are_taken_out_of_a_stream_of_anything() {
    let (stream, markers) = stream();
    assert_eq!(uids(&stream), markers);
    let within = format!("<events>{}{}</events>{}", event("a"), event("b"), event("c"));
    assert_eq!(uids(within), ["a", "b", "c"]);
}

#[test]
fn only_markers_that_a_person_has_set_are_taken() {
    assert_eq!(uids(event("a")), ["a"]);
    for (text, other) in [
        ("h-g-i-g-o", "m-g"),
        ("a-h-G", "u-d-f"),
        ("a-h-G", "b-m-p-w"),
        ("<remarks>", "<takv/><remarks>"),
        ("<contact callsign=\"Pond\"/>", "<takv platform=\"ATAK-CIV\"><x/></takv>"),
        ("lat=\"47.65\"", "lat=\"NaN\""),
        ("lat=\"47.65\"", "lat=\"90.1\""),
        ("lon=\"9.17\"", "lon=\"inf\""),
        ("lon=\"9.17\"", "lon=\"1e999\""),
        ("lon=\"9.17\"", "lon=\"181\""),
        ("lon=\"9.17\"", "lon=\"\""),
        ("lon=\"9.17\" ", ""),
        ("<point", "<position"),
        ("stale=\"2026-11-30T12:00:00.000Z\"", ""),
        ("stale=\"2026", "stale=\"soon, 2026"),
        ("uid=\"a\"", "uid=\"\""),
        ("uid=\"a\"", &format!("uid=\"{}\"", "a".repeat(257))),
    ] {
        assert!(event("a").contains(text));
        let changed = event("a").replace(text, other);
        assert_eq!(uids(&changed), [""; 0], "{changed}");
    }
    // What stands deeper is something else's.
    let nested = event("a").replace("<remarks>", "<chat><takv/></chat><point lat='1' lon='1'/><remarks>");
    let (found, _) = found(nested);
    assert_eq!(found[0].position, [9.17, 47.65]);
}

#[test]
fn a_marker_is_stale_when_its_event_says_so_wherever_its_clock_is() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_040_000);
    for stale in ["12:00:00.000Z", "12:00:00", "14:30:00+02:30", "14:30:00.5+02:30", "05:00:00.000-07:00"] {
        let (found, _) = found(event("a").replace("12:00:00.000Z", stale));
        let second = Duration::from_secs(1);
        assert!(found[0].is_shown_at(noon - second) && !found[0].is_shown_at(noon + second), "{stale}");
    }
}

#[test]
fn what_cannot_be_read_costs_its_event_alone() {
    let good = event("good");
    let large = |bytes: usize| event("large").replace("deep", &"x".repeat(bytes));
    let many = event("many").replace("deep", &"<x a='1'/>".repeat(30_000));
    let attribute = event("long").replace("Pond", &"x".repeat(20_000));
    for (bad, fault) in [
        ("<!DOCTYPE event [<!ENTITY a 'b'>]>".to_owned(), StreamFault::DocumentType),
        (event("a").replace("Pond", "&pond;"), StreamFault::Malformed),
        (event("a").replace("<remarks>", "<contact a='1' a='2'/>"), StreamFault::Malformed),
        (event("a").replace("<remarks>", "<a><b></a>").replace("</remarks>", ""), StreamFault::Malformed),
        (event("a").replace("how=\"h", "how=\"<h"), StreamFault::Malformed),
        ("<event uid='a".to_owned(), StreamFault::Malformed),
        (large(300_000), StreamFault::TooLarge),
        (many, StreamFault::TooLarge),
        (attribute, StreamFault::TooLarge),
        (format!("<!-- {}", "x".repeat(300_000)), StreamFault::TooLarge),
        (format!("<![CDATA[ {}", "x".repeat(300_000)), StreamFault::TooLarge),
    ] {
        let (found, got) = found(format!("{bad}{good}"));
        let uids: Vec<&str> = found.iter().map(|marker| marker.uid.as_str()).collect();
        assert_eq!((uids, got), (vec!["good"], Some(fault)), "{}", &bad[..bad.len().min(400)]);
    }
    let mut binary = event("a").into_bytes();
    binary[20] = 0xff;
    binary.extend(good.as_bytes());
    let (found, _) = found(binary);
    assert_eq!(found.len(), 1);
    assert_eq!(uids(format!("{}{good}", large(200_000))), ["large", "good"]);
    // Bytes were lost on the way: what is left of an event goes on in the next.
    assert_eq!(uids(format!("{}{good}", event("a").split("deep").next().unwrap())), ["good"]);
    assert_eq!(uids("x".repeat(1_000_000) + &good), ["good"]);
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(pieces in prop::collection::vec(1_usize..400, 1..40)) {
        let (stream, markers) = stream();
        let (mut reader, mut found, mut rest) = (EventReader::new(), Vec::new(), stream.as_bytes());
        for piece in pieces.iter().cycle() {
            let (piece, after) = rest.split_at((*piece).min(rest.len()));
            reader.take(piece, &mut found);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let uids: Vec<String> = found.into_iter().map(|marker| marker.uid).collect();
        prop_assert_eq!(uids, markers);
        prop_assert_eq!(reader.take_fault(), None);
    }

    #[test]
    fn any_bytes_between_markers_are_read_or_passed_over_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        text in "[<>!?/\\-\\[\\]'\"&; =aevnt]{0,300}",
    ) {
        for noise in [bytes, text.into_bytes()] {
            let stream = [event("a").into_bytes(), noise, event("b").into_bytes()].concat();
            let (whole, held) = markers_in(&stream, usize::MAX);
            prop_assert_eq!(&whole, &markers_in(&stream, 1).0);
            prop_assert_eq!(whole[0].0.as_str(), "a");
            prop_assert!(held <= 17_000);
        }
    }
}
