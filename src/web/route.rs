//! What a request's path asks for. Pure: a name from a path is looked up among the folders that are served, and never
//! becomes a path of the card.

use crate::api::check_name;
use crate::picture::TilePlace;

/// Most bytes of a path.
const MOST_PATH: usize = 1024;
/// Most bytes of a folder's name.
const MOST_NAME: usize = 255;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A file of the page, by its name.
    Asset(String),
    /// All folders.
    Folders,
    /// Where the chips of a folder lie.
    Chips(String),
    /// Positions in WGS84, wanted in a folder's CRS.
    FromWgs84(String),
    /// Saved objects that are sent, wanted as a GeoPackage of a layer of that name.
    GeoPackage(String),
    /// A tile of a folder's raster.
    Tile(String, TilePlace),
    /// The broker.
    Mqtt,
}

/// Reads a path, without its query; `None` where nothing is.
pub fn route(path: &str) -> Option<Route> {
    if path.len() > MOST_PATH {
        return None;
    }
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match segments[..] {
        [""] => Some(Route::Asset("index.html".to_owned())),
        ["mqtt"] => Some(Route::Mqtt),
        ["api", "folders"] => Some(Route::Folders),
        ["api", "folders", name, "chips.geojson"] => Some(Route::Chips(folder(name)?)),
        ["api", "folders", name, "from-wgs84"] => Some(Route::FromWgs84(folder(name)?)),
        ["api", "geopackage", layer] if check_name(layer).is_ok() => {
            Some(Route::GeoPackage(layer.to_owned()))
        }
        ["tiles", name, z, x, y] => {
            let place = TilePlace { z: number(z)?, x: number(x)?, y: number(y.strip_suffix(".png")?)? };
            Some(Route::Tile(folder(name)?, place))
        }
        [asset] => Some(Route::Asset(asset.to_owned())),
        _ => None,
    }
}

/// A number as a browser writes it: digits without a sign or zeros before them.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if plain && text.len() <= 10 { text.parse().ok() } else { None }
}

/// A segment without its percent escapes (RFC 3986); `None` where that is no name.
fn folder(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    let name = String::from_utf8(bytes).ok()?;
    let sound = !name.is_empty() && name.len() <= MOST_NAME && !name.chars().any(char::is_control);
    (sound && name != "." && name != ".." && !name.contains(['/', '\\'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_lead_to_what_they_name_and_nowhere_else() {
        let tile = |name: &str, z, x, y| Some(Route::Tile(name.to_owned(), TilePlace { z, x, y }));
        for (path, expected) in [
            ("/", Some(Route::Asset("index.html".to_owned()))),
            ("/page.js", Some(Route::Asset("page.js".to_owned()))),
            ("/mqtt", Some(Route::Mqtt)),
            ("/api/folders", Some(Route::Folders)),
            ("/api/folders/valley/chips.geojson", Some(Route::Chips("valley".to_owned()))),
            // A folder's name may have escapes of its own.
            ("/api/folders/Bei%2520Lu/from-wgs84", Some(Route::FromWgs84("Bei%20Lu".to_owned()))),
            ("/tiles/valley/3/0/12.png", tile("valley", 3, 0, 12)),
            ("/tiles/valley/3/0/4294967295.png", tile("valley", 3, 0, u32::MAX)),
            ("/tiles/valley/3/0/4294967296.png", None),
            ("/tiles/valley/256/0/0.png", None),
            ("/tiles/valley/3/-1/0.png", None),
            ("/tiles/valley/3/+1/0.png", None),
            ("/tiles/valley/03/1/0.png", None),
            ("/tiles/valley/3/1/0", None),
            ("/tiles//3/1/0.png", None),
            ("/tiles/../3/1/0.png", None),
            ("/tiles/%2e%2e/3/1/0.png", None),
            ("/tiles/a%2fb/3/1/0.png", None),
            ("/tiles/a%5Cb/3/1/0.png", None),
            ("/tiles/a%00/3/1/0.png", None),
            ("/tiles/a%f/3/1/0.png", None),
            ("/tiles/a%ff/3/1/0.png", None),
            ("/tiles/a%+1/3/1/0.png", None),
            ("/api/geopackage/ponds.2026", Some(Route::GeoPackage("ponds.2026".to_owned()))),
            ("/api/geopackage/.ponds", None),
            ("/api/geopackage/", None),
            ("/api/geopackage/a%2fb", None),
            ("/api/folders/", None),
            ("/a/b", None),
            ("mqtt", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
        assert_eq!(route(&format!("/tiles/{}/0/0/0.png", "x".repeat(256))), None);
        assert_eq!(route(&"/".repeat(1025)), None);
    }

    proptest! {
        #[test]
        fn any_path_is_a_route_or_none_and_names_hold_no_separator(path in "/(tiles|api/folders)?/?\\PC{0,40}") {
            if let Some(Route::Chips(name) | Route::FromWgs84(name) | Route::Tile(name, _)) = route(&path) {
                prop_assert!(!name.contains('/') && name != "..");
            }
        }
    }
}
