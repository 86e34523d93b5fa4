//! Saved objects as a GeoPackage. The page sends the features that the broker's users and access list let it fetch, and has them
//! back as a file. No layer of the board is read here, so this is no second way to them.
//!
//! One at a time, by way of two files in a directory of its own below the state directory, which is emptied afterwards and at
//! the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(feature = "gpkg")]
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
#[cfg(feature = "gpkg")]
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::reply::{Reply, refuse};

/// Most bytes of features, and of the GeoPackage.
const MOST_BYTES: usize = 32 << 20;
/// How long the features may take to come.
#[cfg(feature = "gpkg")]
const PATIENCE: Duration = Duration::from_secs(120);
/// Pieces of features on their way to the card.
#[cfg(feature = "gpkg")]
const MOST_PIECES: usize = 8;
/// The directory below the state directory.
const DIRECTORY: &str = "page";

/// Where GeoPackages are made.
pub(super) struct GeoPackages {
    directory: Option<PathBuf>,
    #[cfg_attr(
        not(feature = "gpkg"),
        expect(dead_code, reason = "no GeoPackage is made without the feature")
    )]
    turn: Arc<Semaphore>,
}

impl GeoPackages {
    /// Removes what an earlier run has left.
    pub(super) fn new(state: Option<&Path>) -> Self {
        let directory = state.filter(|_| cfg!(feature = "gpkg")).map(|state| state.join(DIRECTORY));
        if let Some(directory) = &directory {
            // Where there is none, this fails, and that is well.
            let _ = std::fs::remove_dir_all(directory);
        }
        Self { directory, turn: Arc::new(Semaphore::new(1)) }
    }

    /// How many bytes of features are taken; `None` where no GeoPackages are made.
    pub(super) fn most_bytes(&self) -> Option<usize> {
        self.directory.as_ref().map(|_| MOST_BYTES)
    }

    /// Features, one a line, made into a GeoPackage with a table called `layer`.
    pub(super) async fn make(&self, layer: String, features: Incoming) -> Reply {
        #[cfg(feature = "gpkg")]
        if let Some(directory) = self.directory.clone() {
            let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() else {
                let why = "another GeoPackage is being made; ask again in a moment";
                return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
            };
            return make(directory, layer, features, turn).await;
        }
        #[cfg(not(feature = "gpkg"))]
        let _ = (layer, features);
        refuse(StatusCode::NOT_FOUND, "this board makes no GeoPackages")
    }
}

#[cfg(feature = "gpkg")]
async fn make(directory: PathBuf, layer: String, features: Incoming, turn: OwnedSemaphorePermit) -> Reply {
    use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{layer}.gpkg\""));
    let (pieces, coming) = tokio::sync::mpsc::channel(MOST_PIECES);
    // The thread has the turn: it is not over when nobody waits for the answer any more.
    let work = tokio::task::spawn_blocking(move || {
        let made = work::GeoPackage::make(&directory, &layer, coming);
        (made, turn)
    });
    let sent = tokio::time::timeout(PATIENCE, work::send(features, pieces)).await;
    let Ok((made, turn)) = work.await else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "it could not be done");
    };
    match (sent, made) {
        (Ok(Err(work::Sent::TooMuch)), _) => {
            let why = format!(
                "more than {} MB of objects; geosam-edge export on the board has no such bound",
                MOST_BYTES >> 20
            );
            refuse(StatusCode::PAYLOAD_TOO_LARGE, &why)
        }
        (_, Ok(bytes)) => {
            let mut reply = super::reply::holding("application/geopackage+sqlite3", bytes, turn);
            if let Ok(disposition) = disposition {
                reply.headers_mut().insert(CONTENT_DISPOSITION, disposition);
            }
            reply
        }
        (Ok(Err(work::Sent::Broken)) | Err(_), _) => {
            refuse(StatusCode::REQUEST_TIMEOUT, "the objects did not come whole, or too slowly")
        }
        (Ok(Ok(()) | Err(work::Sent::NotTaken)), Err(problem)) => {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem)
        }
    }
}

#[cfg(feature = "gpkg")]
mod work {
    //! From a body to a file and back.

    use std::fs::{self, File};
    use std::io::{self, Write as _};
    use std::path::{Path, PathBuf};

    use http_body_util::BodyExt as _;
    use hyper::body::{Body as _, Bytes, Incoming};
    use tokio::sync::mpsc::{Receiver, Sender};

    use super::MOST_BYTES;
    use crate::layers::export::{ExportError, export_gpkg_lines};

    /// Why not all was sent.
    pub(super) enum Sent {
        TooMuch,
        /// The connection ended.
        Broken,
        /// Whoever takes the pieces has ended, and says why.
        NotTaken,
    }

    /// A piece of a body; `None` is its end, without which it is not whole.
    type Piece = Option<Bytes>;

    pub(super) async fn send(mut body: Incoming, pieces: Sender<Piece>) -> Result<(), Sent> {
        if body.size_hint().lower() > MOST_BYTES as u64 {
            return Err(Sent::TooMuch);
        }
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Sent::Broken)?.into_data() else { continue };
            bytes += data.len();
            if bytes > MOST_BYTES {
                return Err(Sent::TooMuch);
            }
            pieces.send(Some(data)).await.map_err(|_| Sent::NotTaken)?;
        }
        pieces.send(None).await.map_err(|_| Sent::NotTaken)
    }

    /// The directory, which goes with what is in it.
    pub(super) struct GeoPackage(PathBuf);

    impl GeoPackage {
        /// # Errors
        /// In words for who has sent the objects.
        pub(super) fn make(
            directory: &Path,
            layer: &str,
            coming: Receiver<Piece>,
        ) -> Result<Vec<u8>, String> {
            let on_card = |error: io::Error| {
                tracing::warn!(%error, "a GeoPackage for the map page");
                format!("the board cannot write it: {error}")
            };
            let place = Self::begin(directory).map_err(on_card)?;
            let (lines, out) = (directory.join("objects.geojsonl"), directory.join("objects.gpkg"));
            if !receive(&lines, coming).map_err(on_card)? {
                return Err("the objects did not come whole".to_owned());
            }
            File::create(&out).map_err(on_card)?;
            export_gpkg_lines(&lines, layer, &out, MOST_BYTES as u64).map_err(|error| match error {
                // Where it lies on the board is nobody's business.
                ExportError::Database { problem, .. } => {
                    format!("it cannot be written in {} MB on this board: {problem}", MOST_BYTES >> 20)
                }
                ExportError::Layer(error) => {
                    tracing::warn!(%error, "a GeoPackage for the map page");
                    "the board cannot read what was sent".to_owned()
                }
                other => other.to_string(),
            })?;
            let bytes = fs::read(&out).map_err(on_card);
            drop(place);
            bytes
        }

        fn begin(directory: &Path) -> io::Result<Self> {
            // Of a run that could not remove it.
            let _ = fs::remove_dir_all(directory);
            fs::create_dir_all(directory)?;
            Ok(Self(directory.to_owned()))
        }
    }

    impl Drop for GeoPackage {
        fn drop(&mut self) {
            if let Err(error) = fs::remove_dir_all(&self.0) {
                tracing::warn!(%error, "what the map page had on the card cannot be removed");
            }
        }
    }

    /// Writes what comes; `false` if its end did not.
    fn receive(path: &Path, mut coming: Receiver<Piece>) -> io::Result<bool> {
        let mut file = io::BufWriter::new(File::create(path)?);
        while let Some(piece) = coming.blocking_recv() {
            match piece {
                Some(bytes) => file.write_all(&bytes)?,
                None => {
                    file.flush()?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
