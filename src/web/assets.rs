//! The page's files, built from `web/` of the repository and embedded. Browsers that take gzip get them compressed, which
//! is done once, when they are first asked for.

use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;

/// A file of the page.
pub(super) struct Asset {
    /// Its name in the path.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    plain: &'static [u8],
    gzip: LazyLock<Bytes>,
    /// Changes with what it holds.
    pub etag: LazyLock<String>,
}

impl Asset {
    /// What it holds, compressed where that is taken.
    pub(super) fn body(&self, gzip: bool) -> Bytes {
        if gzip { self.gzip.clone() } else { Bytes::from_static(self.plain) }
    }
}

macro_rules! assets {
    ($($name:literal: $media_type:literal,)*) => {
        /// All files.
        pub(super) static ASSETS: [Asset; [$($name),*].len()] = [$({
            const PLAIN: &[u8] = include_bytes!(concat!("assets/", $name));
            Asset {
                name: $name,
                media_type: $media_type,
                plain: PLAIN,
                gzip: LazyLock::new(|| compress(PLAIN)),
                etag: LazyLock::new(|| format!("\"{:08x}-{}\"", crc32fast::hash(PLAIN), PLAIN.len())),
            }
        }),*];
    };
}

assets! {
    "index.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "licences.txt": "text/plain; charset=utf-8",
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 3), Compression::best());
    // Writing to memory cannot fail.
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}
