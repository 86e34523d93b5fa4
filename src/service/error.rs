//! What keeps the service from starting.

/// Why the service cannot start. Once it runs, nothing of this kind ends it.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The layers in it.
    #[error(transparent)]
    Layers(#[from] crate::layers::LayerError),
    /// The models directory.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The broker's address, certificates or credentials.
    #[error(transparent)]
    Bus(#[from] crate::bus::BusError),
    /// The device's name or a group's.
    #[error(transparent)]
    Topics(#[from] crate::bus::TopicError),
    /// A thread has ended that the service cannot do without.
    #[error(
        "the thread {thread} has ended, by a fault of this program; please report it with what the log says before this. \
         What was acknowledged is kept, and answered after the next start"
    )]
    Ended {
        /// The thread.
        thread: &'static str,
    },
    /// A thread cannot be started.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// The thread.
        name: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}
