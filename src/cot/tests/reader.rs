//! Takes events as ATAK's importer of drawn shapes does, and the servers that were tried.

use std::io::Read;
use std::sync::mpsc::{Receiver, channel};
use std::time::SystemTime;

/// An event, as far as it is looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    pub uid: String,
    pub kind: String,
    /// Of a deletion.
    pub deleted: Option<String>,
    pub vertices: usize,
    /// Seconds until it is stale.
    pub lasts: f64,
    pub bytes: usize,
}

fn attribute(xml: &str, element: &str, name: &str) -> String {
    let element =
        xml.split(&format!("<{element} ")).nth(1).unwrap_or_else(|| panic!("no {element} in {xml}"));
    let element = element.split('>').next().unwrap();
    let value =
        element.split(&format!("{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {element}"));
    value.split('"').next().unwrap().to_owned()
}

fn seconds(time: &str) -> f64 {
    assert!(time.ends_with('Z') && time.len() == 24, "{time}");
    let time = humantime::parse_rfc3339(time).unwrap();
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Takes an event as ATAK's importer of drawn shapes does, and the servers that were tried.
pub(super) fn heard(xml: &str) -> Heard {
    assert!(xml.is_ascii() && xml.starts_with("<event ") && xml.ends_with("</event>"), "{xml}");
    assert!(!xml.contains('\n') && xml.matches("<event ").count() == 1 && xml.len() <= 60_000);
    let of = |name| attribute(xml, "event", name);
    assert_eq!((of("version").as_str(), of("how").as_str()), ("2.0", "m-g"));
    assert_eq!(of("time"), of("start"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - seconds(&of("time"))).abs() < 60.0);
    for name in ["lat", "lon", "hae", "ce", "le"] {
        attribute(xml, "point", name).parse::<f64>().unwrap();
    }
    let vertices: Vec<&str> =
        xml.split("<link point=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let kind = of("type");
    let mut deleted = None;
    match kind.as_str() {
        "u-d-f" => {
            assert!(vertices.len() >= 4 && vertices.first() == vertices.last(), "closed exactly: {xml}");
            for vertex in &vertices {
                let (lat, lon) = vertex.split_once(',').unwrap();
                assert!(
                    lat.parse::<f64>().unwrap().abs() <= 90.0 && lon.parse::<f64>().unwrap().abs() <= 180.0
                );
            }
            assert_eq!(attribute(xml, "contact", "callsign"), of("uid"));
        }
        "t-x-d-d" => {
            assert_eq!(attribute(xml, "link", "relation"), "none");
            assert!(xml.contains("<__forcedelete/>"));
            deleted = Some(attribute(xml, "link", "uid"));
            assert_ne!(deleted, Some(of("uid")));
        }
        "a-f-G-U-C" => {
            assert_eq!(attribute(xml, "contact", "callsign"), "board-7");
            attribute(xml, "__group", "role");
            attribute(xml, "takv", "platform");
        }
        other => panic!("{other}"),
    }
    let lasts = seconds(&of("stale")) - seconds(&of("time"));
    Heard { uid: of("uid"), kind, deleted, vertices: vertices.len(), lasts, bytes: xml.len() }
}

/// Events of a stream, in order.
pub(super) fn read_on(mut stream: impl Read + Send + 'static) -> Receiver<Heard> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut text, mut chunk) = (String::new(), [0; 4096]);
        while let Ok(bytes) = stream.read(&mut chunk) {
            if bytes == 0 {
                return;
            }
            text.push_str(std::str::from_utf8(&chunk[..bytes]).unwrap());
            while let Some(end) = text.find("</event>") {
                let rest = text.split_off(end + "</event>".len());
                if sender.send(heard(&std::mem::replace(&mut text, rest))).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}
