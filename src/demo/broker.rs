//! The broker in this process: `rumqttd` on a local port, for MQTT 5. Nothing of it is kept, and it cannot
//! be stopped: it ends with the process.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::DemoError;

/// How long the broker may take until it answers.
const START: Duration = Duration::from_secs(10);
/// The largest message, well above the service's answers.
const MESSAGE_BYTES: usize = 4 << 20;

/// Starts the broker on a port of this machine only, a free one unless given, and waits until it answers.
///
/// # Errors
/// The port is taken, or the broker does not come up.
pub(super) fn start(port: Option<u16>) -> Result<SocketAddr, DemoError> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    // The broker would end without a word on a port that is taken.
    let free = TcpListener::bind(wanted).and_then(|listener| listener.local_addr());
    let address = free.map_err(|source| DemoError::Port { address: wanted, source })?;
    let config = config(address);
    std::thread::Builder::new()
        .name("broker".to_owned())
        .spawn(move || {
            if let Err(error) = Broker::new(config).start() {
                tracing::error!(%error, "the demo's broker");
            }
        })
        .map_err(|source| DemoError::Broker { address, source })?;
    let deadline = Instant::now() + START;
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(_) => return Ok(address),
            Err(source) if Instant::now() > deadline => return Err(DemoError::Broker { address, source }),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: MESSAGE_BYTES,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        ServerSettings { name: "v5".to_owned(), listen, tls: None, next_connection_delay_ms: 1, connections };
    Config {
        // Each filter has a log of its own; the default segments have 100 MB.
        router: RouterConfig {
            max_connections: 64,
            max_outgoing_packet_count: 200,
            max_segment_size: 8 << 20,
            max_segment_count: 4,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("v5".to_owned(), server)])),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_refused_by_name() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = start(Some(port)).unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--port"), "{error}");
    }
}
