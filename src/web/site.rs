//! From a request to its answer.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HOST, HeaderValue, IF_NONE_MATCH, ORIGIN,
    SET_COOKIE, VARY,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::Semaphore;

use super::access::{Access, Shown};
use super::assets::{ASSETS, Asset};
use super::error::WebError;
use super::geopackage::GeoPackages;
use super::options::WebOptions;
use super::proxy::{self, Handshake};
use super::rasters::Rasters;
use super::reply::{Reply, ask_password, json, refuse, reply};
use super::route::{Route, route};
use super::tile_cache::TileCache;
use super::{broker, folders, hosts};
use crate::engine::ServedFolder;
use crate::picture::TilePlace;
use crate::service::ShownFolder;

/// Pages connected to the broker at a time.
const MOST_SOCKETS: usize = 32;
/// Tiles that are made at a time. Masks have the other cores.
const MOST_MAKING: usize = 2;
/// Most bytes of a body.
const MOST_BODY: usize = 8 << 20;
/// How long a body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a wrong password has to wait.
const WRONG_PASSWORD: Duration = Duration::from_millis(500);

/// What looks at the folders.
pub(super) type Look = Box<dyn Fn() -> Vec<ShownFolder> + Send + Sync>;

/// All that requests need.
pub(super) struct Site {
    options: WebOptions,
    look: Look,
    access: Access,
    rasters: Arc<Rasters>,
    tiles: TileCache,
    making: Semaphore,
    geopackages: GeoPackages,
    sockets: Arc<Semaphore>,
}

impl Site {
    /// # Errors
    /// A password file that cannot be used.
    pub(super) fn new(options: WebOptions, look: Look) -> Result<Self, WebError> {
        let access = Access::new(options.password_file.as_deref(), options.tls.is_some())?;
        Ok(Self {
            geopackages: GeoPackages::new(options.state.as_deref()),
            options,
            look,
            access,
            rasters: Arc::new(Rasters::new()),
            tiles: TileCache::default(),
            making: Semaphore::new(MOST_MAKING),
            sockets: Arc::new(Semaphore::new(MOST_SOCKETS)),
        })
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let host = header(request.headers(), HOST.as_str()).unwrap_or_default();
        if !hosts::is_ours(host, &self.options.hosts) {
            let why = "this board is not known by that name; add it to web.hosts in the configuration, or use its address";
            return refuse(StatusCode::MISDIRECTED_REQUEST, why);
        }
        // Whatever a page of another origin wants of us, it does not get.
        if let Some(origin) = header(request.headers(), ORIGIN.as_str())
            && !hosts::is_same_origin(origin, host, self.options.tls.is_some())
        {
            return refuse(StatusCode::FORBIDDEN, "this is for the board's own page only");
        }
        let shown = self.access.check(request.headers());
        let cookie = match shown {
            Shown::Enough => None,
            Shown::Password(cookie) => Some(cookie),
            Shown::Nothing => return ask_password("the page wants its password"),
            Shown::Wrong => {
                tokio::time::sleep(WRONG_PASSWORD).await;
                return ask_password("the password is wrong");
            }
        };
        let mut reply = self.serve(request).await;
        if let Some(cookie) = cookie {
            reply.headers_mut().insert(SET_COOKIE, cookie);
        }
        reply
    }

    async fn serve(&self, request: Request<Incoming>) -> Reply {
        let Some(route) = route(request.uri().path()) else { return not_found() };
        let is_question = matches!(route, Route::FromWgs84(_) | Route::GeoPackage(_));
        let wanted = if is_question { Method::POST } else { Method::GET };
        let is_head = request.method() == Method::HEAD && matches!(route, Route::Asset(_));
        if request.method() != wanted && !is_head {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("this wants {wanted}"));
        }
        match route {
            Route::Asset(name) => asset(&name, request.headers()),
            Route::Folders => {
                let WebOptions { root, device, .. } = self.options.clone();
                let (shown, rasters) = ((self.look)(), Arc::clone(&self.rasters));
                let most = self.geopackages.most_bytes();
                blocking(move || json(folders::list(&root, &device, most, &shown, &rasters))).await
            }
            Route::Chips(name) => match self.folder(&name) {
                Some(folder) => blocking(move || json(folders::chips(&folder))).await,
                None => not_found(),
            },
            Route::FromWgs84(name) => {
                let Some(folder) = self.folder(&name) else { return not_found() };
                let body = Limited::new(request.into_body(), MOST_BODY).collect();
                let Ok(Ok(question)) = tokio::time::timeout(BODY_PATIENCE, body).await else {
                    return refuse(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "the question is too long, or came too slowly",
                    );
                };
                let question = question.to_bytes();
                let answer = move || match folders::from_wgs84(&folder, &question) {
                    Ok(positions) => json(positions),
                    Err(problem) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem),
                };
                blocking(answer).await
            }
            Route::GeoPackage(layer) => self.geopackages.make(layer, request.into_body()).await,
            Route::Tile(name, place) => self.tile(name, place).await,
            Route::Mqtt => self.mqtt(request).await,
        }
    }

    fn folder(&self, name: &str) -> Option<Arc<ServedFolder>> {
        (self.look)().into_iter().find(|shown| shown.name == name)?.folder
    }

    async fn tile(&self, name: String, place: TilePlace) -> Reply {
        let Some(folder) = self.folder(&name) else { return not_found() };
        let rasters = Arc::clone(&self.rasters);
        let of = name.clone();
        let find = move || {
            let raster = rasters.of(&of, &folder).ok()?;
            rasters.prepare(&of, &raster);
            let version = Rasters::version(&raster);
            Some((raster, version))
        };
        let Ok(Some((raster, version))) = tokio::task::spawn_blocking(find).await else { return not_found() };
        let key = (name, version, place);
        if let Some(bytes) = self.tiles.get(&key) {
            return picture(bytes);
        }
        // Closed never.
        let Ok(_turn) = self.making.acquire().await else { return not_found() };
        if let Some(bytes) = self.tiles.get(&key) {
            return picture(bytes);
        }
        match tokio::task::spawn_blocking(move || raster.tile(place)).await {
            Ok(Ok(Some(png))) => {
                let bytes = hyper::body::Bytes::from(png);
                self.tiles.put(key, bytes.clone());
                picture(bytes)
            }
            Ok(Ok(None)) => not_found(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a tile");
                refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
            }
            Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the tile could not be made"),
        }
    }

    async fn mqtt(&self, mut request: Request<Incoming>) -> Reply {
        let key = match proxy::handshake(request.headers()) {
            Handshake::Mqtt(key) => key,
            Handshake::Refused(why) => return refuse(StatusCode::BAD_REQUEST, why),
        };
        let Ok(place) = Arc::clone(&self.sockets).try_acquire_owned() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many pages are connected");
        };
        match broker::connect(&self.options).await {
            Ok(broker) => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(proxy::pass(upgrade, broker, place));
                proxy::accept(&key)
            }
            Err(problem) => {
                tracing::debug!(problem, "the map page's way to the broker");
                refuse(StatusCode::BAD_GATEWAY, "the broker cannot be reached")
            }
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn not_found() -> Reply {
    refuse(StatusCode::NOT_FOUND, "there is no such thing")
}

fn picture(bytes: hyper::body::Bytes) -> Reply {
    let mut reply = reply(StatusCode::OK, "image/png", bytes);
    // Its address changes with the raster.
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    reply
}

fn asset(name: &str, headers: &HeaderMap) -> Reply {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else { return not_found() };
    let etag = HeaderValue::from_str(&asset.etag).ok();
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| Some(value) == etag.as_ref());
    let mut reply =
        if known { reply(StatusCode::NOT_MODIFIED, asset.media_type, "") } else { whole(asset, headers) };
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(etag) = etag {
        headers.insert(ETAG, etag);
    }
    reply
}

fn whole(asset: &Asset, headers: &HeaderMap) -> Reply {
    let accepted = header(headers, ACCEPT_ENCODING.as_str()).unwrap_or_default();
    let gzip = accepted.split(',').any(|coding| coding.trim() == "gzip");
    let mut reply = reply(StatusCode::OK, asset.media_type, asset.body(gzip));
    if gzip {
        reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

/// Work that may wait for a card, in a thread for such.
async fn blocking(work: impl FnOnce() -> Reply + Send + 'static) -> Reply {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "it could not be done"))
}
