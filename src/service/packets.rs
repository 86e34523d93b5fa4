//! What is known of the largest packet that the broker takes. MQTT 5 can announce it; MQTT 3.1.1 cannot, and brokers
//! have limits that they do not announce. Pure.

use super::undelivered::Cause;
use crate::bus::BrokerSession;

/// What is known. It is kept for this run of the program: a broker's setting may have been changed since.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Packets {
    /// As CONNACK says.
    announced: Option<usize>,
    /// The largest that it has taken.
    taken: usize,
    /// Found out: over this it does not take one.
    found: Option<usize>,
}

impl Packets {
    /// There is a connection.
    pub const fn connected(&mut self, session: &BrokerSession) {
        self.announced = session.max_packet_bytes;
    }

    /// The broker has taken a packet.
    pub fn taken(&mut self, bytes: usize) {
        self.taken = self.taken.max(bytes);
        // It has another limit than we thought.
        self.found = self.found.filter(|limit| bytes <= *limit);
    }

    /// The broker has refused a packet for its size.
    pub fn too_large(&mut self, bytes: usize) {
        if bytes > self.taken && self.found.is_none_or(|limit| bytes <= limit) {
            let limit = bytes.saturating_sub(1);
            tracing::warn!(
                bytes,
                "the broker does not take packets of this size, and does not say so beforehand; set \
                 broker.max_packet_bytes to what it takes"
            );
            self.found = Some(limit);
        }
    }

    /// A ping of this size has not arrived. That is believed more than an acknowledgement: a broker of MQTT 3.1.1 may acknowledge
    /// what it throws away.
    pub fn does_not_arrive(&mut self, bytes: usize) {
        self.taken = self.taken.min(bytes.saturating_sub(1));
        self.too_large(bytes);
    }

    /// What is known, for `info` and `health`.
    pub fn told(&self) -> Option<usize> {
        [self.announced, self.found].into_iter().flatten().min()
    }

    /// Why a packet of this size is not sent, as far as it is not the bus that knows.
    pub fn found_out(&self, bytes: usize) -> Option<Cause> {
        let limit = self.found.filter(|limit| bytes > *limit)?;
        Some(Cause::LargerThanRefused { bytes, refused: limit + 1 })
    }

    /// Whether none of this size has been taken so far.
    pub const fn is_unproven(&self, bytes: usize) -> bool {
        bytes > self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_is_given_up_when_it_proves_wrong() {
        let mut packets = Packets::default();
        packets.taken(1000);
        packets.too_large(900);
        assert_eq!(packets.found, None, "it has taken larger ones");
        packets.too_large(5000);
        packets.too_large(9000);
        assert_eq!(packets.found, Some(4999));
        assert_eq!(packets.found_out(4999), None);
        let cause = packets.found_out(6000).unwrap().to_string();
        assert_eq!(
            cause,
            "it has 6000 bytes; the broker does not say how many it takes, and has refused 5000"
        );
        packets.too_large(3000);
        assert_eq!(packets.found, Some(2999));
        packets.taken(4000);
        assert_eq!(packets.found, None);
    }

    #[test]
    fn a_ping_that_does_not_arrive_is_believed_more_than_an_acknowledgement() {
        let mut packets = Packets::default();
        packets.taken(27_000);
        packets.does_not_arrive(26_000);
        assert_eq!((packets.told(), packets.is_unproven(26_000)), (Some(25_999), true));
        // A smaller one still.
        packets.does_not_arrive(20_000);
        assert_eq!(packets.told(), Some(19_999));
    }
}
