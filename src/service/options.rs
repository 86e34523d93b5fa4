//! How the service is set up. The configuration file fills this; tests and the demo do so themselves.

use std::path::PathBuf;
use std::time::Duration;

use super::masks::MaskLimits;
use crate::accelerator::{AcceleratorOptions, SelfCheckOptions};
use crate::api::{Limits, PromptItem};
use crate::cot::CotOptions;
use crate::durable::Disk;
use crate::engine::EngineChoice;
use crate::session::SessionLimits;
use crate::store::StoreLimits;

/// All that the service needs to know.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// First level of all topics.
    pub root: String,
    /// Second level of this board's topics.
    pub device: String,
    /// Groups whose requests this board shares.
    pub groups: Vec<String>,
    /// Directories that hold feature folders, or are one.
    pub features: Vec<PathBuf>,
    /// Directory of imported models.
    pub models: PathBuf,
    /// Directory of the store and the layers.
    pub state: PathBuf,
    /// Bounds on one request.
    pub limits: Limits,
    /// Chips that an object is followed over where its request does not say; `None` stays on one.
    pub stitch: Option<u16>,
    /// Patterns of MQTT 5 response topics that may be answered on.
    pub response_prefixes: Vec<String>,
    /// Requests waiting for a worker.
    pub queue: usize,
    /// Of these, one client's.
    pub queue_per_client: usize,
    /// Clients whose newest preview may wait beside them; 0 refuses previews.
    pub previews: usize,
    /// Bound on an answer whose request names none, in bytes.
    pub answer_bytes: usize,
    /// Bound on any answer, whatever its request names, in bytes.
    pub max_answer_bytes: usize,
    /// Chips over which the objects of one batch are followed, all together: a batch shall not keep a worker for hours.
    pub batch_chips: usize,
    /// The card that the state directory is on.
    pub disk: Disk,
    /// Bounds on the store.
    pub store: StoreLimits,
    /// Bounds on sessions.
    pub sessions: SessionLimits,
    /// Bounds on the masks that other answers may start from.
    pub masks: MaskLimits,
    /// Layers that may be saved to.
    pub layers: usize,
    /// Bytes of a layer beyond which nothing is added to it.
    pub layer_bytes: u64,
    /// Requests decoded at the same time; with none they wait for a run that has some.
    pub workers: usize,
    /// Threads of one decode.
    pub threads: usize,
    /// Bytes of prepared chips kept in memory.
    pub cache_bytes: usize,
    /// Which engine decodes on the processor.
    pub engine: EngineChoice,
    /// How the fused executor is compared with tract first, if it is.
    pub self_check: Option<SelfCheckOptions>,
    /// An engine beside it.
    pub accelerator: Option<AcceleratorOptions>,
    /// Time between two `health` messages.
    pub health_interval: Duration,
    /// Time without a request after which the board tests by a ping whether requests reach it.
    pub self_test_interval: Duration,
    /// Time between two looks at the feature directories.
    pub look_interval: Duration,
    /// Where saved objects go as Cursor on Target events, if they do.
    pub cot: Option<CotOptions>,
}

impl ServiceOptions {
    /// What a request asks for that does not say.
    pub(super) fn unsaid(&self) -> PromptItem {
        PromptItem { stitch: self.stitch, ..PromptItem::default() }
    }
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            root: "geosam".to_owned(),
            device: "edge".to_owned(),
            groups: Vec::new(),
            features: vec![PathBuf::from("features")],
            models: PathBuf::from("models"),
            state: PathBuf::from("state"),
            limits: Limits::default(),
            stitch: None,
            response_prefixes: vec![
                "{root}/{device}/response/{client}/".to_owned(),
                "{root}/fleet/{group}/response/{client}/".to_owned(),
            ],
            queue: 2048,
            queue_per_client: 1024,
            previews: 16,
            answer_bytes: 256 * 1024,
            max_answer_bytes: 4 << 20,
            batch_chips: 1024,
            disk: Disk::default(),
            store: StoreLimits::default(),
            sessions: SessionLimits::default(),
            masks: MaskLimits::default(),
            layers: 64,
            layer_bytes: 256 << 20,
            workers: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            cache_bytes: 64 << 20,
            engine: EngineChoice::Auto,
            self_check: None,
            accelerator: None,
            health_interval: Duration::from_secs(30),
            self_test_interval: Duration::from_secs(120),
            look_interval: Duration::from_secs(2),
            cot: None,
        }
    }
}
