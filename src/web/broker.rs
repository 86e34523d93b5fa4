//! The connection to the broker that `/mqtt` leads to.

use std::time::Duration;

use super::options::WebOptions;
use crate::bus::{Stream, dial_for_another};

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to the broker, as the page's client and not as the service.
///
/// # Errors
/// Says why it cannot be reached.
pub(super) async fn connect(options: &WebOptions) -> Result<Box<dyn Stream>, String> {
    let dialled = dial_for_another(&options.broker, options.broker_ca.as_deref());
    match tokio::time::timeout(PATIENCE, dialled).await {
        Ok(connected) => connected,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
