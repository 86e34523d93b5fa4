//! Any path that a browser may ask the map page's server for is a route or none, and no name of a folder in it leads anywhere
//! else on the card.
#![no_main]

use geosam_edge::web::{Route, route};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    match route(path) {
        Some(Route::Chips(name) | Route::FromWgs84(name) | Route::Tile(name, _)) => {
            assert!(path.starts_with('/') && !name.is_empty() && name.len() <= 255);
            assert!(name != "." && name != ".." && !name.contains(['/', '\\', '\0']));
        }
        Some(Route::GeoPackage(layer)) => assert!(!layer.starts_with('.') && !layer.contains(['/', '\\', '%'])),
        Some(Route::Asset(name)) => assert!(!name.contains('/')),
        Some(Route::Folders | Route::Mqtt) | None => {}
    }
});
