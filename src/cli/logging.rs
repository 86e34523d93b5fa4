//! Log lines go to standard error, where journald and users look.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::CliError;

/// Starts to log what `RUST_LOG` chooses, or `otherwise` where it is not set.
///
/// # Errors
/// A filter that is none.
pub(super) fn start(otherwise: &str) -> Result<(), CliError> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| otherwise.to_owned());
    let parsed = EnvFilter::try_new(&filter);
    let parsed = parsed.map_err(|source| CliError::Log { filter, problem: source.to_string() })?;
    // Colours are for eyes, not for journals and files.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(colours);
    // Where standard error cannot be written there is nobody to tell so, and no reason to end.
    let subscriber = subscriber.log_internal_errors(false);
    if subscriber.with_writer(std::io::stderr).try_init().is_err() {
        // Somebody who uses this as a library has a subscriber already.
        tracing::debug!("another subscriber takes the log");
    }
    Ok(())
}
