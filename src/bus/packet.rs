//! The bytes that come from the broker, looked through packet by packet before the library reads them (MQTT 3.1.1 and 5,
//! 2.1). Almost all pass as they are. What the library cannot deal with is mended here:
//! - A PUBLISH over our limit loses its payload as it comes, without being kept; a mark in its place tells how many bytes
//!   it had. So a request of any size can be refused by name, and costs neither memory nor the connection.
//! - PUBACK 0x95 (packet too large), which MQTT 5 does not have and mosquitto sends, becomes 0x99, which nobody sends us.
//! - CONNACK is read beside it for what the library throws away: the reason string, the server's reference, and a
//!   refusal in the form of another version.
//!
//! Pure: no sockets.

/// Bytes of a packet's header that are kept while a PUBLISH over the limit is cut; properties beyond are left out.
const KEPT: usize = 128 << 10;
/// The largest packet that is no PUBLISH.
const LARGEST_OTHER: usize = 1 << 20;
/// Reason code of a PUBACK that the library cannot read.
const PACKET_TOO_LARGE: u8 = 0x95;
/// What it becomes: PayloadFormatInvalid, for which we give no cause.
pub(super) const STAND_IN: u8 = 0x99;

/// Why the bytes cannot be from a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoMqtt(pub String);

/// What CONNACK says beside what the library reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ConnAck {
    pub code: u8,
    /// It has the form of MQTT 3.1.1: two bytes.
    pub short: bool,
    pub reason: Option<String>,
    pub server: Option<String>,
}

/// The mark in place of a payload: 16 bytes that the sender of a message cannot know, and the number of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(pub [u8; 16]);

impl Mark {
    fn of(self, bytes: usize) -> [u8; 24] {
        let mut mark = [0; 24];
        mark[..16].copy_from_slice(&self.0);
        mark[16..].copy_from_slice(&(bytes as u64).to_be_bytes());
        mark
    }

    /// How many bytes a payload had, if it has been cut.
    pub fn cut_from(self, payload: &[u8]) -> Option<usize> {
        let (mark, bytes) = payload.split_first_chunk::<16>()?;
        let bytes: [u8; 8] = bytes.try_into().ok()?;
        (*mark == self.0).then(|| usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX))
    }
}

enum State {
    /// In the fixed header; what has come of it.
    Header(Vec<u8>),
    /// So many bytes of the packet pass as they are.
    Pass(usize),
    /// A small packet is looked at whole.
    Whole { packet: Vec<u8>, left: usize },
    /// A PUBLISH over the limit; `head` is its variable header as far as it has come, `left` what has not come.
    Cut { first: u8, head: Vec<u8>, left: usize },
    /// The rest of it is thrown away.
    Skip(usize),
}

/// Looks through one connection's bytes.
pub(super) struct Incoming {
    state: State,
    v5: bool,
    limit: usize,
    mark: Mark,
    connack: Option<ConnAck>,
}

impl Incoming {
    /// For a connection on which packets over `limit` bytes of payload lose it.
    pub fn new(v5: bool, limit: usize, mark: Mark) -> Self {
        Self { state: State::Header(Vec::new()), v5, limit, mark, connack: None }
    }

    /// CONNACK, once it has come.
    pub const fn connack(&self) -> Option<&ConnAck> {
        self.connack.as_ref()
    }

    /// Bytes that are still to come of the packet that is coming.
    pub const fn to_come(&self) -> usize {
        match &self.state {
            State::Header(_) => 0,
            State::Pass(left) | State::Skip(left) => *left,
            State::Whole { left, .. } | State::Cut { left, .. } => *left,
        }
    }

    /// Takes bytes in, and puts what the library shall read into `out`.
    ///
    /// # Errors
    /// What comes is no MQTT.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NoMqtt> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Header(header) => {
                    header.push(bytes[0]);
                    bytes = &bytes[1..];
                    if let Some(length) = remaining(&header[1..])? {
                        let header = std::mem::take(header);
                        self.begin(&header, length, out)?;
                    }
                }
                State::Pass(left) => {
                    let taken = (*left).min(bytes.len());
                    out.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Header(Vec::new());
                    }
                }
                State::Whole { packet, left } => {
                    let taken = (*left).min(bytes.len());
                    packet.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    *left -= taken;
                    if *left == 0 {
                        let packet = std::mem::take(packet);
                        self.whole(packet, out);
                        self.state = State::Header(Vec::new());
                    }
                }
                State::Cut { first, head, left } => {
                    // The header is short beside what is thrown away: byte by byte will do.
                    head.push(bytes[0]);
                    bytes = &bytes[1..];
                    *left -= 1;
                    if let Some(kept) = variable_header(*first, head, self.v5)
                        .or_else(|| (*left == 0).then(|| std::mem::take(head)))
                    {
                        let payload = *left;
                        cut(*first, &kept, self.mark.of(payload), out);
                        self.state =
                            if payload == 0 { State::Header(Vec::new()) } else { State::Skip(payload) };
                    }
                }
                State::Skip(left) => {
                    let taken = (*left).min(bytes.len());
                    bytes = &bytes[taken..];
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Header(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }

    /// A packet begins: its fixed header has come.
    fn begin(&mut self, header: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), NoMqtt> {
        let first = header[0];
        let kind = first >> 4;
        if kind != 3 && length > LARGEST_OTHER {
            return Err(NoMqtt(format!(
                "a packet of type {kind} with {length} bytes came; this is no MQTT broker"
            )));
        }
        self.state = match kind {
            3 if length > self.limit => State::Cut { first, head: Vec::new(), left: length },
            2 | 4 if length > 0 => State::Whole { packet: header.to_vec(), left: length },
            _ => {
                out.extend_from_slice(header);
                if length == 0 { State::Header(Vec::new()) } else { State::Pass(length) }
            }
        };
        Ok(())
    }

    /// CONNACK or PUBACK has come.
    fn whole(&mut self, mut packet: Vec<u8>, out: &mut Vec<u8>) {
        let start = packet.iter().skip(1).position(|byte| byte & 0x80 == 0).map_or(packet.len(), |at| at + 2);
        match (packet[0] >> 4, packet.get(start..)) {
            (2, Some(body)) if self.connack.is_none() => self.connack = Some(read_connack(body)),
            (4, Some([_, _, PACKET_TOO_LARGE, ..])) if self.v5 => packet[start + 2] = STAND_IN,
            _ => {}
        }
        out.extend_from_slice(&packet);
    }
}

/// The remaining length, once all its bytes have come.
fn remaining(bytes: &[u8]) -> Result<Option<usize>, NoMqtt> {
    match varint(bytes) {
        Some((length, _)) => Ok(Some(length)),
        None if bytes.len() < 4 => Ok(None),
        None => Err(NoMqtt("a length of more than four bytes came; this is no MQTT broker".to_owned())),
    }
}

/// A variable byte integer and its bytes (MQTT 5, 1.5.5); `None` where it does not end within the bytes, or four.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// The variable header of a PUBLISH (MQTT 5, 3.3.2), if it is whole: topic, packet id, properties. Properties that are
/// too many to be kept are left out.
fn variable_header(first: u8, head: &[u8], v5: bool) -> Option<Vec<u8>> {
    let topic = usize::from(u16::from_be_bytes([*head.first()?, *head.get(1)?]));
    let fixed = 2 + topic + if first & 0b0110 == 0 { 0 } else { 2 };
    if !v5 {
        return (head.len() == fixed).then(|| head.to_vec());
    }
    let (properties, length) = varint(head.get(fixed..)?)?;
    let whole = fixed + length + properties;
    if whole > KEPT {
        // Its payload is thrown away with the rest; the mark then counts them too.
        let mut without = head[..fixed].to_vec();
        without.push(0);
        return Some(without);
    }
    (head.len() == whole).then(|| head.to_vec())
}

/// A PUBLISH with a mark in place of its payload.
fn cut(first: u8, variable_header: &[u8], mark: [u8; 24], out: &mut Vec<u8>) {
    out.push(first);
    let mut length = variable_header.len() + mark.len();
    loop {
        let byte = (length & 0x7F) as u8;
        length >>= 7;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(variable_header);
    out.extend_from_slice(&mark);
}

/// Reads what follows CONNACK's fixed header.
fn read_connack(body: &[u8]) -> ConnAck {
    let code = body.get(1).copied().unwrap_or_default();
    let mut connack = ConnAck { code, short: body.len() == 2, ..ConnAck::default() };
    let Some((length, bytes)) = body.get(2..).and_then(varint) else { return connack };
    let mut left = body.get(2 + bytes..).unwrap_or_default();
    left = &left[..length.min(left.len())];
    let text = |bytes: &[u8]| -> Option<(String, usize)> {
        let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
        let text = String::from_utf8_lossy(bytes.get(2..2 + length)?).chars().take(200).collect();
        Some((text, 2 + length))
    };
    while let Some((id, rest)) = left.split_first() {
        // Bytes of each property's value (MQTT 5, 2.2.2.2).
        let bytes = match id {
            0x11 | 0x27 => Some(4),
            0x13 | 0x21 | 0x22 => Some(2),
            0x24 | 0x25 | 0x28..=0x2A => Some(1),
            0x26 => text(rest).and_then(|(_, name)| Some(name + text(rest.get(name..)?)?.1)),
            _ => text(rest).map(|(text, bytes)| {
                match id {
                    0x1F => connack.reason = Some(text),
                    0x1C => connack.server = Some(text),
                    _ => {}
                }
                bytes
            }),
        };
        let Some(next) = bytes.and_then(|bytes| rest.get(bytes..)) else { break };
        left = next;
    }
    connack
}

/// What the library would read of a connection's bytes when they come in these pieces, or why they are no MQTT.
///
/// # Errors
/// As [`Incoming::feed`] says.
#[cfg(any(test, feature = "fuzzing"))]
pub fn looked_through<'a>(
    v5: bool,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, String> {
    let mut incoming = Incoming::new(v5, limit, Mark([0xA5; 16]));
    let mut out = Vec::new();
    for piece in pieces {
        incoming.feed(piece, &mut out).map_err(|NoMqtt(why)| why)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: Mark = Mark(*b"0123456789abcdef");

    /// What comes out when the bytes come in pieces of this size.
    fn through(incoming: &mut Incoming, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            incoming.feed(piece, &mut out).unwrap();
        }
        out
    }

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![first];
        let mut length = body.len();
        loop {
            let byte = (length & 0x7F) as u8;
            length >>= 7;
            packet.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        packet
    }

    fn publish(qos: u8, topic: &str, properties: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        if qos > 0 {
            body.extend_from_slice(&[0, 9]);
        }
        if let Some(properties) = properties {
            body.push(properties.len() as u8);
            body.extend_from_slice(properties);
        }
        body.extend_from_slice(payload);
        packet(0x30 | qos << 1, &body)
    }

    proptest! {
        #[test]
        fn what_is_within_the_limit_passes_as_it_is_and_the_rest_without_its_payload(
            sizes in proptest::collection::vec((0_usize..3000, 0_u8..2), 1..8),
            v5: bool,
            piece in 1_usize..700,
        ) {
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            let properties: Option<&[u8]> = v5.then_some(&[0x08, 0, 1, b'r']);
            for (bytes, qos) in sizes {
                let whole = publish(qos, "a/b", properties, &vec![7; bytes]);
                // Two bytes of fixed header for the lengths that are cut.
                let over = whole.len() > 1000 + 3;
                expected.extend(if over { publish(qos, "a/b", properties, &MARK.of(bytes)) } else { whole.clone() });
                sent.extend(whole);
                sent.extend([0xD0, 0]);
                expected.extend([0xD0, 0]);
            }
            let mut incoming = Incoming::new(v5, 1000, MARK);
            prop_assert_eq!(through(&mut incoming, &sent, piece), expected);
        }

        #[test]
        fn whatever_comes_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), v5: bool, piece in 1_usize..9) {
            let mut incoming = Incoming::new(v5, 50, MARK);
            let mut out = Vec::new();
            for piece in bytes.chunks(piece) {
                if incoming.feed(piece, &mut out).is_err() {
                    break;
                }
            }
            prop_assert!(out.len() <= bytes.len() + 64 * bytes.len());
        }
    }

    #[test]
    fn a_payload_that_was_cut_tells_its_bytes_and_no_other_does() {
        assert_eq!(MARK.cut_from(&MARK.of(70 << 20)), Some(70 << 20));
        for other in [&b""[..], b"0123456789abcdef", b"0123456789abcdef12345678x", &[0; 24]] {
            assert_eq!(MARK.cut_from(other), None);
        }
    }

    #[test]
    fn a_publish_with_more_properties_than_are_kept_loses_them() {
        let mut body = vec![0, 1, b'a', 0, 9];
        let properties = 200_000_usize;
        body.extend([
            (properties & 0x7F) as u8 | 0x80,
            (properties >> 7 & 0x7F) as u8 | 0x80,
            (properties >> 14) as u8,
        ]);
        body.extend(vec![0x26; properties]);
        body.extend(vec![7; 300_000]);
        let mut incoming = Incoming::new(true, 1000, MARK);
        let out = through(&mut incoming, &packet(0x32, &body), 4096);
        assert_eq!(out[..8], [0x32, 30, 0, 1, b'a', 0, 9, 0]);
        assert_eq!(MARK.cut_from(&out[8..]), Some(500_000));
    }

    #[test]
    fn connack_tells_reason_server_and_form() {
        let mut incoming = Incoming::new(true, 1000, MARK);
        let body =
            b"\x00\x8a\x20\x21\x00\x05\x26\x00\x01a\x00\x01b\x1f\x00\x05later\x1c\x00\x0bother:18830\x25\x00";
        let sent = packet(0x20, body);
        assert_eq!(through(&mut incoming, &sent, 3), sent);
        let connack = incoming.connack().unwrap();
        assert_eq!((connack.code, connack.short), (0x8A, false));
        assert_eq!(
            (connack.reason.as_deref(), connack.server.as_deref()),
            (Some("later"), Some("other:18830"))
        );

        let mut incoming = Incoming::new(true, 1000, MARK);
        through(&mut incoming, &[0x20, 2, 0, 1], 1);
        assert_eq!(incoming.connack(), Some(&ConnAck { code: 1, short: true, ..ConnAck::default() }));
    }

    #[test]
    fn a_puback_of_mosquitto_is_made_readable() {
        let mut incoming = Incoming::new(true, 1000, MARK);
        assert_eq!(
            through(&mut incoming, &[0x40, 3, 0, 9, 0x95, 0x40, 2, 0, 8], 2),
            [0x40, 3, 0, 9, 0x99, 0x40, 2, 0, 8]
        );
    }

    #[test]
    fn what_is_no_mqtt_is_told() {
        let mut out = Vec::new();
        let mut incoming = Incoming::new(true, 1000, MARK);
        assert!(incoming.feed(b"HTTP/1.1 400 Bad Request", &mut out).is_err() || out.is_empty());
        let mut incoming = Incoming::new(true, 1000, MARK);
        assert!(incoming.feed(&[0x20, 0xFF, 0xFF, 0xFF, 0xFF], &mut out).is_err());
    }
}
