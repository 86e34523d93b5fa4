//! Who may see the page and the tiles: everybody, or who knows the password. What they may ask of the board is the broker's
//! to decide.
//!
//! The password comes by HTTP's basic authentication, under any user name. A browser does not always send that with a
//! WebSocket, so who has shown it gets a cookie too, which is good until the server ends.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderValue};

use super::error::WebError;
use crate::bus::Secret;

/// The name of the cookie.
const COOKIE_NAME: &str = "geosam-page";

/// What a request showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// It may pass.
    Enough,
    /// It may pass, and shall get this cookie.
    Password(HeaderValue),
    /// It showed nothing.
    Nothing,
    /// It showed something wrong.
    Wrong,
}

/// The lock, if there is one.
#[derive(Debug)]
pub(super) struct Access {
    password_file: Option<PathBuf>,
    token: String,
    tls: bool,
}

impl Access {
    /// Whoever knows what stands in the file may pass; everybody, where there is none.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn new(password_file: Option<&Path>, tls: bool) -> Result<Self, WebError> {
        if let Some(path) = password_file {
            Secret::read(path).map_err(|problem| WebError::Password { path: path.to_owned(), problem })?;
        }
        // From the standard library's hash keys, which the system seeds.
        let random = || RandomState::new().hash_one(Instant::now());
        let token = format!("{:016x}{:016x}", random(), random());
        Ok(Self { password_file: password_file.map(Path::to_owned), token, tls })
    }

    /// What a request shows by its headers. The file is read again each time: a new password needs no restart.
    pub(super) fn check(&self, headers: &HeaderMap) -> Shown {
        let Some(path) = &self.password_file else { return Shown::Enough };
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        if pairs.any(|(name, value)| name == COOKIE_NAME && is_same(value.as_bytes(), self.token.as_bytes()))
        {
            return Shown::Enough;
        }
        let Some(shown) = headers.get(AUTHORIZATION) else { return Shown::Nothing };
        let given = shown.to_str().ok().and_then(password_in);
        // A file that cannot be read now lets nobody in.
        let wanted = Secret::read(path).ok();
        match (given, wanted) {
            (Some(given), Some(wanted)) if is_same(&given, wanted.reveal().as_bytes()) => {
                let secure = if self.tls { "; Secure" } else { "" };
                let cookie =
                    format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Strict{secure}", self.token);
                HeaderValue::from_str(&cookie).map_or(Shown::Enough, Shown::Password)
            }
            _ => Shown::Wrong,
        }
    }
}

/// The password of basic authentication (RFC 7617).
fn password_in(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 8192 {
        return None;
    }
    let pair = data_encoding::BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Compares in a time that tells of the lengths only.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (x, y)| different | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn who_shows_the_password_gets_a_cookie_that_opens_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open: sesame\n").unwrap();
        let access = Access::new(Some(file.path()), false).unwrap();
        assert_eq!(access.check(&HeaderMap::new()), Shown::Nothing);
        let basic = |text: &str| {
            headers(AUTHORIZATION, &format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes())))
        };
        for wrong in ["anna:open", "anna", ":", "anna:open: sesame "] {
            assert_eq!(access.check(&basic(wrong)), Shown::Wrong, "{wrong}");
        }
        assert_eq!(access.check(&headers(AUTHORIZATION, "Basic !!")), Shown::Wrong);
        let Shown::Password(cookie) = access.check(&basic("anna:open: sesame")) else {
            panic!("it is right")
        };
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        assert_eq!(access.check(&headers(COOKIE, &format!("a=b; {pair}"))), Shown::Enough);
        assert_eq!(access.check(&headers(COOKIE, &pair[..pair.len() - 1])), Shown::Nothing);
        std::fs::write(file.path(), "another\n").unwrap();
        assert_eq!(access.check(&basic("anna:open: sesame")), Shown::Wrong);
        drop(file);
        assert_eq!(access.check(&basic("anna:another")), Shown::Wrong, "without its file nobody passes");
    }

    #[test]
    fn a_password_file_that_cannot_be_used_is_named() {
        let error = Access::new(Some(Path::new("/nowhere/password")), false).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/password: cannot be used as the page's password"), "{error}");
    }
}
