//! The demo: an embedded broker, the service and a client of it in one process, which talk over real MQTT.
//! Nothing here is part of the service; it is the one place that plays all the parts.

mod broker;
mod client;
mod paint;
mod place;
mod print;
mod script;
mod targets;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bus::{BrokerUrl, BusError, BusOptions, OutgoingMessage, Topics};
use crate::service::{Service, ServiceError, ServiceOptions};

/// The client's name in topics.
const CLIENT: &str = "demo";

/// What to demonstrate.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// Feature folders, or directories that hold some.
    pub folders: Vec<PathBuf>,
    /// Directory of imported models.
    pub models: PathBuf,
    /// Port of the broker on this machine; a free one if not given.
    pub port: Option<u16>,
    /// Directory for a picture of each mask.
    pub pictures: Option<PathBuf>,
    /// Where the map page is served, if it is.
    pub page: Option<SocketAddr>,
}

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}; choose another port with --port")]
    Port {
        /// Where the broker should listen.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The broker does not come up.
    #[error("the embedded broker at {address} does not answer: {source}")]
    Broker {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The map page cannot be served.
    #[cfg(feature = "web")]
    #[error(transparent)]
    Page(#[from] crate::web::WebError),
    /// No directory for the service's state.
    #[error("cannot make a temporary directory for the service's state: {0}")]
    State(io::Error),
    /// A folder that is to be served is not there.
    #[error("{path}: there is no such folder; name one with --features")]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// No chip has a file.
    #[error("no chip of the folders has a file; geosam-edge info FOLDER tells what is missing")]
    NoChip,
    /// A folder or its manifest.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    /// The models directory, or a folder's model.
    #[error(transparent)]
    Models(#[from] crate::models::ModelsError),
    /// A position cannot be taken to WGS84.
    #[error(transparent)]
    Geo(#[from] crate::geo::GeoError),
    /// The service does not start.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The client's connection.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The broker refuses subscriptions.
    #[error("the broker refused a subscription: {filters:?}")]
    Refused {
        /// Filters, each with the broker's reason.
        filters: Vec<(String, String)>,
    },
    /// Nothing came.
    #[error("waited {} s for {what} in vain", waited.as_secs())]
    Silence {
        /// What should have come.
        what: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// An answer is not JSON.
    #[error("the message on {topic} is not JSON: {source}")]
    NotJson {
        /// Its topic.
        topic: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An answer cannot be drawn.
    #[error(transparent)]
    Mask(#[from] crate::mask::MaskError),
    /// A picture cannot be made.
    #[error(transparent)]
    Drawing(#[from] crate::picture::PictureError),
    /// A picture cannot be written.
    #[error("cannot write the picture {path}: {source}")]
    Picture {
        /// The file or its directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The story cannot be printed.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

/// Broker, service and client, running.
pub struct Demo {
    address: SocketAddr,
    service: Service,
    client: client::Client,
    #[cfg(feature = "web")]
    page: Option<crate::web::WebServer>,
    place: place::Place,
    pictures: Option<PathBuf>,
    /// Removed with everything in it at the end.
    state: tempfile::TempDir,
}

impl Demo {
    /// Starts the broker, the service, and a client of it.
    ///
    /// # Errors
    /// No folder with a model, a port that is taken, or a part that does not come up.
    pub fn start(options: &DemoOptions) -> Result<Self, DemoError> {
        if let Some(path) = options.folders.iter().find(|path| !path.exists()) {
            return Err(DemoError::NoFolder { path: path.clone() });
        }
        if let Some(path) = &options.pictures {
            std::fs::create_dir_all(path)
                .map_err(|source| DemoError::Picture { path: path.clone(), source })?;
        }
        let place = place::Place::find(&options.folders, &options.models)?;
        let state =
            tempfile::Builder::new().prefix("geosam-edge-demo-").tempdir().map_err(DemoError::State)?;
        let address = broker::start(options.port)?;
        let service_options = ServiceOptions {
            features: options.folders.clone(),
            models: options.models.clone(),
            state: state.path().to_owned(),
            ..ServiceOptions::default()
        };
        let topics =
            Topics::new(&service_options.root, &service_options.device, &[]).map_err(ServiceError::from)?;
        let base = format!("{}/{}", topics.root(), topics.device());
        let mut bus = bus_options(address, "geosam-edge");
        bus.will = Some(OutgoingMessage::new(topics.state(), "offline").retained());
        let (handle, events) = crate::bus::connect(bus)?;
        let service = Service::start(service_options, handle, events)?;
        let client = client::Client::connect(bus_options(address, CLIENT), base, CLIENT)?;
        let pictures = options.pictures.clone();
        #[cfg(feature = "web")]
        let page =
            options.page.map(|listen| serve_page(listen, address, &service, state.path())).transpose()?;
        Ok(Self {
            address,
            service,
            client,
            #[cfg(feature = "web")]
            page,
            place,
            pictures,
            state,
        })
    }

    /// The address of the map page, where it is served.
    pub fn page(&self) -> Option<String> {
        #[cfg(feature = "web")]
        {
            self.page.as_ref().map(|page| format!("http://{}/", page.address()))
        }
        #[cfg(not(feature = "web"))]
        {
            None
        }
    }

    /// Plays all requests and prints them with their answers. `false` if one was not answered as it should.
    /// `colours` for a terminal.
    ///
    /// # Errors
    /// An answer that does not come, or an output that cannot be written.
    pub fn play(&mut self, out: &mut dyn Write, colours: bool) -> Result<bool, DemoError> {
        let printer = print::Printer::new(out, colours);
        script::play(&mut self.client, &self.place, self.address, self.pictures.as_deref(), printer)
    }

    /// Prints the commands to try by hand.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print_commands(&self, out: &mut dyn Write) -> Result<(), DemoError> {
        let port = self.address.port();
        let [x, y] = self.place.targets.point.at;
        let crs = self
            .place
            .crs
            .map_or_else(String::new, |crs| format!(r#""crs":"{crs}","output":{{"crs":"{crs}"}},"#));
        let topic = |below: &str| self.client.topic(below);
        let (all, state) = (topic("#"), self.state.path().display());
        let (request, response) = (topic("request/me/segment"), topic("response/me/segment"));
        let payload = format!(r#"{{"id":1,{crs}"points":[[{x},{y}]]}}"#);
        writeln!(out, "\nAll is still running.")?;
        if let Some(page) = self.page() {
            writeln!(out, "\nThe map page: {page}\nOpen it in a browser, and click on a pond.")?;
        }
        writeln!(out, "\nListen in one terminal:\n")?;
        writeln!(out, "  mosquitto_sub -h 127.0.0.1 -p {port} -V mqttv5 -v -t '{all}'\n")?;
        writeln!(out, "ask in another:\n")?;
        writeln!(
            out,
            "  mosquitto_pub -h 127.0.0.1 -p {port} -V mqttv5 -q 1 -t '{request}' -m '{payload}'\n"
        )?;
        writeln!(out, "or both at once, which prints the answer:\n")?;
        writeln!(
            out,
            "  mosquitto_rr -h 127.0.0.1 -p {port} -V mqttv5 -q 1 -t '{request}' -e '{response}' -m '{payload}'\n"
        )?;
        writeln!(out, "Saved objects are in {state}/layers until this ends. Ctrl-C ends it.")?;
        Ok(out.flush()?)
    }

    /// Ends client and service in good order; the state is removed.
    pub fn stop(self) {
        #[cfg(feature = "web")]
        drop(self.page);
        self.client.stop();
        self.service.stop();
    }
}

/// Serves the map page; on another port where the first is taken.
#[cfg(feature = "web")]
fn serve_page(
    listen: SocketAddr,
    broker: SocketAddr,
    service: &Service,
    state: &Path,
) -> Result<crate::web::WebServer, DemoError> {
    use crate::web::{WebError, WebOptions, WebServer};
    let start = |listen| {
        let broker = BrokerUrl { tls: false, host: broker.ip().to_string(), port: broker.port() };
        let shown = service.folders_shown();
        let options = WebOptions { state: Some(state.to_owned()), ..WebOptions::new(listen, broker) };
        WebServer::start(options, move || shown.now())
    };
    match start(listen) {
        Err(WebError::Listen { .. }) if listen.ip().is_loopback() => {
            Ok(start(SocketAddr::new(listen.ip(), 0))?)
        }
        started => Ok(started?),
    }
}

fn bus_options(address: SocketAddr, client_id: &str) -> BusOptions {
    let broker = BrokerUrl { tls: false, host: address.ip().to_string(), port: address.port() };
    BusOptions { max_incoming_bytes: 4 << 20, ..BusOptions::new(broker, client_id) }
}
