#!/usr/bin/env bash
# A good engineer would guess: a QoS 1 message that the client's publish() took while the line was down is sent when the line is
# back, whether or not the broker still has the session: the message is in the client.
#
# rumqttc 0.25.1 throws its unacknowledged and pending messages away on a CONNACK without a session (a broker that was
# restarted, or a client with clean session), without an error or an event: a message handed over once is never acknowledged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name probe --vcs none && cargo add --quiet rumqttc@=0.25.1 --no-default-features
cat > src/main.rs <<'EOF'
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use rumqttc::{Client, MqttOptions, QoS};

/// As much of a broker as takes one message, breaks the line before PUBACK, and answers the second connection with a
/// CONNACK that has a session or none. Returns the publishes of the second connection.
fn published_again(session_present: u8) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = MqttOptions::new("probe", "127.0.0.1", listener.local_addr().unwrap().port());
    options.set_clean_session(false);
    let (client, mut connection) = Client::new(options, 16);
    client.publish("t", QoS::AtLeastOnce, false, "one").unwrap();
    std::thread::spawn(move || for _ in connection.iter() {});
    for connection in 0..2 {
        let (mut link, _) = listener.accept().unwrap();
        link.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut publishes = 0;
        loop {
            let mut head = [0; 2];
            if link.read_exact(&mut head).is_err() {
                return publishes;
            }
            let mut body = vec![0; head[1].into()];
            link.read_exact(&mut body).unwrap();
            match (head[0] >> 4, connection) {
                (1, 0) => link.write_all(&[0x20, 2, 0, 0]).unwrap(),
                (1, _) => link.write_all(&[0x20, 2, session_present, 0]).unwrap(),
                (3, 0) => break,
                (3, _) => publishes += 1,
                _ => {}
            }
        }
    }
    unreachable!()
}

fn main() {
    let (with, without) = (published_again(1), published_again(0));
    println!("rumqttc 0.25.1, sent again with a session: {with}, without: {without}");
    assert_eq!((with, without), (1, 0));
}
EOF
cargo run --quiet
