//! `/mqtt`: a WebSocket of the page, and a connection to the broker, with bytes passed on in both directions. What they say
//! is between the page and the broker.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::reply::{Body, Reply};
use crate::bus::Stream;

/// Bytes that are read of the broker at a time: an answer in small frames would cost the browser much.
const CHUNK: usize = 64 << 10;
/// Most bytes of one message of the page: MQTT may be cut anywhere, and is.
const MOST_MESSAGE: usize = 4 << 20;
/// A page that says nothing for so long is gone: it pings every ten seconds.
const IDLE: Duration = Duration::from_secs(150);

/// What the headers of a WebSocket handshake ask for (RFC 6455).
pub(super) enum Handshake {
    /// MQTT, with the key to be answered.
    Mqtt(String),
    /// No WebSocket, or not one for MQTT: why.
    Refused(&'static str),
}

/// Reads a handshake.
pub(super) fn handshake(headers: &HeaderMap) -> Handshake {
    let has = |name, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") || !has(SEC_WEBSOCKET_VERSION, "13") {
        return Handshake::Refused("this is for WebSockets (version 13) with MQTT");
    }
    if !has(SEC_WEBSOCKET_PROTOCOL, "mqtt") {
        return Handshake::Refused("the WebSocket must ask for the subprotocol mqtt");
    }
    match headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()) {
        Some(key) if key.len() == 24 => Handshake::Mqtt(derive_accept_key(key.as_bytes())),
        _ => Handshake::Refused("the WebSocket has no key"),
    }
}

/// The answer to a handshake.
pub(super) fn accept(key: &str) -> Reply {
    let mut reply = Response::new(Body::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    // Without it browsers close at once.
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
    if let Ok(key) = HeaderValue::from_str(key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    reply
}

/// Passes bytes on until either end closes. `place` is given back then.
pub(super) async fn pass(upgrade: OnUpgrade, broker: Box<dyn Stream>, place: OwnedSemaphorePermit) {
    // A browser that has gone before its answer needs nothing.
    let Ok(upgraded) = upgrade.await else { return };
    relay(upgraded, broker).await;
    drop(place);
}

async fn relay(upgraded: Upgraded, broker: Box<dyn Stream>) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MOST_MESSAGE))
        .max_frame_size(Some(MOST_MESSAGE))
        .write_buffer_size(0)
        .max_write_buffer_size(4 * CHUNK);
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut to_page, mut from_page) = socket.split();
    let (mut from_broker, mut to_broker) = tokio::io::split(broker);
    let up = async {
        // An error is an end, as is silence.
        while let Ok(Some(Ok(message))) = tokio::time::timeout(IDLE, from_page.next()).await {
            match message {
                Message::Binary(bytes) => {
                    if to_broker.write_all(&bytes).await.is_err() || to_broker.flush().await.is_err() {
                        break;
                    }
                }
                // Pings are answered by the library.
                Message::Ping(_) | Message::Pong(_) => {}
                // MQTT is binary (MQTT 5.0, 6.0).
                Message::Text(_) | Message::Close(_) | Message::Frame(_) => break,
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count) = from_broker.read(&mut buffer).await {
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() || to_page.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.is_err()
            {
                break;
            }
        }
        // The page sees an end at once.
        let _ = to_page.close().await;
    };
    // Whichever ends first ends both: the broker then tells the last will, and the page connects anew.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
