//! What a target sends: Cursor on Target events one after the other, as bytes of a stranger that are cut anywhere. Of these
//! only markers that a person has set are taken, and nothing is kept of the rest. Pure.
//!
//! A stream has no root; between events there may be declarations, comments and text. quick-xml finds the end of a tag and
//! reads it; here is which tags belong to an event. What cannot be read costs its event: reading goes on at the next start
//! of one. At most a tag is held, and what is wanted of the event that it belongs to.

use std::time::SystemTime;

use quick_xml::events::{BytesStart, Event};
use quick_xml::parser::{ElementParser, Parser as _};
use quick_xml::{Reader, XmlVersion};

use crate::rfc3339;

/// Bytes of an event. TAK's own have a few thousand.
const MOST_EVENT: usize = 256 << 10;
/// Bytes of a tag.
const MOST_TAG: usize = 16 << 10;
/// Bytes of a uid and of a type; what has more is none of TAK's.
const MOST_NAME: usize = 256;
/// Characters of a callsign that are kept.
const MOST_CALLSIGN: usize = 100;

/// What begins an event, before a blank.
const EVENT: &[u8] = b"<event";

/// Why a part of a stream is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamFault {
    #[error("what it sends is no well-formed XML")]
    Malformed,
    #[error("it declares a document type, which no event needs")]
    DocumentType,
    #[error("it sends an event of more than {} KiB, or a tag of more than {} KiB", MOST_EVENT >> 10, MOST_TAG >> 10)]
    TooLarge,
}

/// A marker that a person has set on the map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Marker {
    /// By which TAK knows it, however it is moved or renamed.
    pub uid: String,
    /// What people read at it.
    pub callsign: Option<String>,
    /// Its type, as CoT has them: `a-h-G`, `b-m-p-s-m`.
    pub kind: String,
    /// Longitude and latitude in degrees, WGS 84.
    pub position: [f64; 2],
    /// When it is no longer to be shown.
    stale: SystemTime,
}

impl Marker {
    /// Whether it is still to be shown.
    pub fn is_shown_at(&self, now: SystemTime) -> bool {
        now < self.stale
    }
}

/// Where in a stream the next byte is.
#[derive(Debug)]
enum Place {
    /// Between tags.
    Text,
    /// In what began with `<`, all of which is held.
    Tag(ElementParser),
    /// In a comment, in CDATA or in an instruction: until so many of this byte, and `>`.
    Passed { mark: u8, times: u8, seen: u8 },
    /// Behind something that could not be read; so many bytes of what begins an event have come.
    Lost(usize),
}

/// The event that is being read.
#[derive(Debug, Default)]
struct Draft {
    /// Elements that are open, the event itself among them.
    depth: usize,
    in_detail: bool,
    /// Set by a person, of a type that markers have.
    is_marker: bool,
    uid: String,
    kind: String,
    stale: Option<SystemTime>,
    position: Option<[f64; 2]>,
    callsign: Option<String>,
}

/// Reads a stream of events.
#[derive(Debug)]
pub(super) struct EventReader {
    place: Place,
    held: Vec<u8>,
    draft: Option<Draft>,
    /// Bytes since there was last neither an event nor something else open.
    open_bytes: usize,
    fault: Option<StreamFault>,
}

impl EventReader {
    pub const fn new() -> Self {
        Self { place: Place::Text, held: Vec::new(), draft: None, open_bytes: 0, fault: None }
    }

    /// Takes what comes next; markers whose events end in it are added to `found`.
    pub fn take(&mut self, bytes: &[u8], found: &mut Vec<Marker>) {
        for &byte in bytes {
            if let Err(fault) = self.byte(byte, found) {
                self.fault = Some(fault);
                self.draft = None;
                self.held.clear();
                self.open_bytes = 0;
                self.place = Place::Lost(usize::from(byte == b'<'));
            }
        }
    }

    /// Why something was passed over since the last call.
    pub fn take_fault(&mut self) -> Option<StreamFault> {
        self.fault.take()
    }

    fn byte(&mut self, byte: u8, found: &mut Vec<Marker>) -> Result<(), StreamFault> {
        let is_open = self.draft.is_some() || !matches!(self.place, Place::Text | Place::Lost(_));
        self.open_bytes = if is_open { self.open_bytes + 1 } else { 0 };
        if self.open_bytes > MOST_EVENT {
            return Err(StreamFault::TooLarge);
        }
        match &mut self.place {
            Place::Text if byte == b'<' => {
                self.held.clear();
                self.held.push(byte);
                self.place = Place::Tag(ElementParser::Outside);
            }
            Place::Text => {}
            Place::Passed { mark, times, seen } => match byte {
                _ if byte == *mark => *seen = (*seen + 1).min(*times),
                b'>' if seen == times => self.place = Place::Text,
                _ => *seen = 0,
            },
            Place::Lost(seen) if *seen == EVENT.len() && byte.is_ascii_whitespace() => {
                self.held.clear();
                self.held.extend_from_slice(EVENT);
                self.held.push(byte);
                self.place = Place::Tag(ElementParser::Outside);
            }
            Place::Lost(seen) => {
                let fits = EVENT.get(*seen) == Some(&byte);
                *seen = if fits { *seen + 1 } else { usize::from(byte == b'<') };
            }
            // No tag has one inside, not even in a value: its end is missing.
            Place::Tag(_) if byte == b'<' => return Err(StreamFault::Malformed),
            Place::Tag(parser) => {
                self.held.push(byte);
                if self.held.len() > MOST_TAG {
                    return Err(StreamFault::TooLarge);
                }
                match self.held.as_slice() {
                    [_, b'?'] => self.place = Place::Passed { mark: b'?', times: 1, seen: 0 },
                    [_, b'!', ..] => self.declaration()?,
                    _ if parser.feed(&[byte]).is_some() => {
                        self.place = Place::Text;
                        found.extend(self.tag()?);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What began with `<!`, as far as it has come.
    fn declaration(&mut self) -> Result<(), StreamFault> {
        const COMMENT: &[u8] = b"<!--";
        const CDATA: &[u8] = b"<![CDATA[";
        match self.held.as_slice() {
            COMMENT => self.place = Place::Passed { mark: b'-', times: 2, seen: 0 },
            CDATA => self.place = Place::Passed { mark: b']', times: 2, seen: 0 },
            held if COMMENT.starts_with(held) || CDATA.starts_with(held) => {}
            // Entities could be declared in it that stand for more than a memory holds.
            _ => return Err(StreamFault::DocumentType),
        }
        Ok(())
    }

    /// A tag is complete.
    fn tag(&mut self) -> Result<Option<Marker>, StreamFault> {
        let mut reader = Reader::from_reader(self.held.as_slice());
        reader.config_mut().allow_unmatched_ends = true;
        match reader.read_event() {
            Ok(Event::Start(tag)) if tag.name().as_ref() == "event" => {
                // One that was not complete is forgotten: events do not stand in events.
                self.draft = Some(Draft::begin(&tag)?);
                self.open_bytes = self.held.len();
            }
            Ok(Event::Start(tag)) => {
                if let Some(draft) = &mut self.draft {
                    draft.element(&tag)?;
                    draft.in_detail |= draft.depth == 1 && tag.name().as_ref() == "detail";
                    draft.depth += 1;
                }
            }
            Ok(Event::Empty(tag)) => {
                if let Some(draft) = &mut self.draft {
                    draft.element(&tag)?;
                }
            }
            Ok(Event::End(tag)) => {
                let Some(draft) = &mut self.draft else { return Ok(None) };
                if (draft.depth == 1) != (tag.name().as_ref() == "event") {
                    return Err(StreamFault::Malformed);
                }
                draft.depth -= 1;
                draft.in_detail &= draft.depth > 1;
                if draft.depth == 0 {
                    return Ok(self.draft.take().and_then(Draft::marker));
                }
            }
            _ => return Err(StreamFault::Malformed),
        }
        Ok(None)
    }
}

impl Draft {
    fn begin(tag: &BytesStart<'_>) -> Result<Self, StreamFault> {
        let mut draft = Self { depth: 1, ..Self::default() };
        let (mut is_set_by_a_person, mut has_place) = (false, false);
        each_attribute(tag, |name, value| match name {
            "uid" => value.clone_into(&mut draft.uid),
            "type" => {
                has_place = value == "b-m-p-s-m" || value.starts_with("a-");
                value.clone_into(&mut draft.kind);
            }
            "how" => is_set_by_a_person = value.starts_with("h-"),
            "stale" => draft.stale = rfc3339::time(value),
            _ => {}
        })?;
        let fits = |name: &str| (1..=MOST_NAME).contains(&name.len());
        draft.is_marker = is_set_by_a_person && has_place && fits(&draft.uid) && fits(&draft.kind);
        Ok(if draft.is_marker { draft } else { Self { depth: 1, ..Self::default() } })
    }

    /// An element of the event.
    fn element(&mut self, tag: &BytesStart<'_>) -> Result<(), StreamFault> {
        if !self.is_marker {
            return Ok(());
        }
        match (self.depth, tag.name().as_ref()) {
            (1, "point") => {
                let (mut lon, mut lat) = (None, None);
                each_attribute(tag, |name, value| match name {
                    "lon" => lon = degrees(value, 180.0),
                    "lat" => lat = degrees(value, 90.0),
                    _ => {}
                })?;
                self.position = lon.zip(lat).map(|(lon, lat)| [lon, lat]);
            }
            // A device's own presence, which goes where its bearer goes.
            (2, "takv") if self.in_detail => self.is_marker = false,
            (2, "contact") if self.in_detail => each_attribute(tag, |name, value| {
                if name == "callsign" {
                    self.callsign = Some(value.chars().take(MOST_CALLSIGN).collect());
                }
            })?,
            _ => {}
        }
        Ok(())
    }

    fn marker(self) -> Option<Marker> {
        if !self.is_marker {
            return None;
        }
        let Self { uid, kind, callsign, .. } = self;
        Some(Marker { uid, callsign, kind, position: self.position?, stale: self.stale? })
    }
}

/// Looks at a tag's attributes, references in them resolved.
fn each_attribute(tag: &BytesStart<'_>, mut look: impl FnMut(&str, &str)) -> Result<(), StreamFault> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| StreamFault::Malformed)?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        look(attribute.key.as_ref(), &value.map_err(|_| StreamFault::Malformed)?);
    }
    Ok(())
}

fn degrees(text: &str, most: f64) -> Option<f64> {
    let degrees: f64 = text.trim().parse().ok()?;
    (degrees.is_finite() && degrees.abs() <= most).then_some(degrees)
}

/// Markers of a stream that comes in pieces of so many bytes, as (uid, longitude, latitude); and how many bytes are held
/// at the most.
#[cfg(any(test, feature = "fuzzing"))]
#[must_use]
pub fn markers_in(stream: &[u8], piece: usize) -> (Vec<(String, f64, f64)>, usize) {
    let (mut reader, mut found, mut most) = (EventReader::new(), Vec::new(), 0);
    for piece in stream.chunks(piece.max(1)) {
        reader.take(piece, &mut found);
        most = most.max(reader.held.len());
    }
    let told = |marker: Marker| (marker.uid, marker.position[0], marker.position[1]);
    (found.into_iter().map(told).collect(), most)
}
