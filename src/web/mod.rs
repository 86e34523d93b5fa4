//! The map page and its server: what a tablet or laptop in the field opens.
//!
//! ```text
//! browser --HTTP--> page, folders, chips, tiles         (read from the cards, in threads of the server's own)
//!         --WebSocket /mqtt--> broker --> the service   (bytes passed on: the page is a client like any other)
//! ```
//!
//! The server has one thread for its sockets and a few for rasters. It takes nothing of the service but a look at the
//! folders that are served; whatever is asked of it, the service goes on. What the page shows and how is in `web/` of the
//! repository; its built files are in `assets`.

mod access;
mod assets;
mod broker;
mod error;
mod folders;
mod geopackage;
mod hosts;
mod options;
mod patience;
mod proxy;
mod rasters;
mod reply;
mod route;
mod server;
mod site;
mod tile_cache;

pub use error::WebError;
pub use options::WebOptions;
pub use route::{Route, route};
pub use server::{WebServer, check};
