//! Answers, each with the headers that keep a page to itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

pub(super) type Reply = Response<Body>;

/// Bytes handed to the socket at a time.
const PIECE: usize = 64 << 10;

/// What is sent, and the turn that is over when it has been.
#[derive(Debug, Default)]
pub(super) struct Body {
    rest: Bytes,
    #[cfg_attr(not(feature = "gpkg"), expect(dead_code, reason = "only GeoPackages take turns"))]
    turn: Option<OwnedSemaphorePermit>,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// What the page may load: its own files, and nothing from elsewhere. Pictures of the map are its own, or made by it.
const POLICY: &str = "default-src 'self'; connect-src 'self'; img-src 'self' data: blob:; style-src 'self'; \
                      script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An answer with a body.
pub(super) fn reply(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Body { rest: body.into(), turn: None });
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// An answer whose turn is over when it has been sent.
#[cfg(feature = "gpkg")]
pub(super) fn holding(media_type: &'static str, body: impl Into<Bytes>, turn: OwnedSemaphorePermit) -> Reply {
    let mut reply = reply(StatusCode::OK, media_type, body);
    reply.body_mut().turn = Some(turn);
    reply
}

/// JSON.
pub(super) fn json(body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, "application/json", body)
}

/// A refusal, in words.
pub(super) fn refuse(status: StatusCode, why: &str) -> Reply {
    reply(status, "text/plain; charset=utf-8", format!("{why}\n"))
}

/// Asks for the password.
pub(super) fn ask_password(why: &str) -> Reply {
    let mut reply = refuse(StatusCode::UNAUTHORIZED, why);
    let challenge = HeaderValue::from_static("Basic realm=\"geosam-edge\", charset=\"UTF-8\"");
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}
