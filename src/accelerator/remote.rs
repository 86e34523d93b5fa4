//! A decoder in a process of its own, seen from the service.
//!
//! A vendor's library may crash, hang or leak. Here that costs its process and one answer's delay: every call has a
//! deadline, and a process that is late, confused or dead is ended for good.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ndarray::Array3;

use super::error::AcceleratorError;
use super::report::{Difference, Report};
use super::wire::{Ask, Tell, receive, send};
use crate::decoder::onnxruntime::{OnnxRuntimeOptions, Provider};
use crate::decoder::{Decoded, DecoderError, FramePrompt, MaskDecoder, PreparedChip};
use crate::family::Family;
use crate::features::ChipFeatures;

/// How the process of an engine is started, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments; it talks on the socket that is its standard input.
    pub command: Vec<PathBuf>,
    /// Until the probe is decoded. Building engines takes minutes.
    pub start: Duration,
    /// Of one prepare or decode.
    pub answer: Duration,
}

impl Launch {
    /// This program, as it was started: an upgrade may have replaced the file meanwhile.
    pub fn own(start: Duration) -> Self {
        let command = vec!["/proc/self/exe".into(), super::WORKER_COMMAND.into()];
        // Less than the service's watchdog allows a worker to be still.
        Self { command, start, answer: Duration::from_secs(8) }
    }
}

/// A model's decoder in a process of its own.
pub struct RemoteDecoder {
    family: Family,
    report: Report,
    answer: Duration,
    line: Mutex<Line>,
    chips: AtomicU64,
    /// Chips that nobody holds any more; told with the next prompt.
    forgotten: Arc<Mutex<Vec<u64>>>,
}

/// A chip that the process keeps.
struct RemoteChip {
    number: u64,
    forgotten: Arc<Mutex<Vec<u64>>>,
}

impl Drop for RemoteChip {
    fn drop(&mut self) {
        lock(&self.forgotten).push(self.number);
    }
}

/// The connection; a failure ends the process and with it the connection.
pub(super) struct Line {
    stream: UnixStream,
    /// Until it has been ended.
    child: Option<Child>,
    /// What was asked for last.
    stage: String,
}

impl RemoteDecoder {
    /// Starts the process of a model's engine and waits until it has decoded the probe as the fused executor does.
    ///
    /// # Errors
    /// It crashes, takes too long, refuses, or disagrees with it; the process is gone then.
    pub fn start(
        launch: &Launch,
        options: &OnnxRuntimeOptions,
        family: Family,
        model: &Path,
    ) -> Result<Self, AcceleratorError> {
        let mut line = Line::open(launch, !options.fp16).map_err(AcceleratorError::Spawn)?;
        line.begin("start");
        let deadline = Instant::now() + launch.start;
        let ask = Ask::Start { options: options.clone(), model: model.to_owned() };
        line.say(&ask, &[], deadline, launch.start)?;
        let report = loop {
            match line.hear(deadline, launch.start)? {
                (Tell::Stage(stage), _) => line.begin(&stage),
                (Tell::Ready(report), _) => break report,
                (Tell::Failed(message), _) => return Err(AcceleratorError::Refused(message)),
                _ => return Err(AcceleratorError::Confused),
            }
        };
        check(&report, options)?;
        Ok(Self {
            family,
            report,
            answer: launch.answer,
            line: Mutex::new(line),
            chips: AtomicU64::new(0),
            forgotten: Arc::default(),
        })
    }

    /// What the engine told of itself.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn ask(&self, stage: &str, ask: &Ask, arrays: &[&[f32]]) -> Result<(Tell, Vec<Vec<f32>>), DecoderError> {
        let mut line = lock(&self.line);
        line.begin(stage);
        let deadline = Instant::now() + self.answer;
        let answer =
            line.say(ask, arrays, deadline, self.answer).and_then(|()| line.hear(deadline, self.answer));
        let answer = answer.map_err(|error| engine_error(&error))?;
        match answer {
            (Tell::Failed(message), _) => Err(engine_error(&AcceleratorError::Refused(message))),
            answer => Ok(answer),
        }
    }
}

/// Whether the engine may be used.
fn check(report: &Report, options: &OnnxRuntimeOptions) -> Result<(), AcceleratorError> {
    if options.provider == Provider::TensorRt && report.engines == Some(0) {
        return Err(AcceleratorError::NoEngine);
    }
    let tolerated = Difference::tolerated(options.fp16);
    if report.difference.is_agreement(options.fp16) {
        return Ok(());
    }
    let advice = if options.fp16 { "; set tensorrt.fp16 = false" } else { "" };
    Err(AcceleratorError::Disagrees { found: report.difference, tolerated, advice })
}

impl MaskDecoder for RemoteDecoder {
    fn family(&self) -> Family {
        self.family
    }

    fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError> {
        let number = self.chips.fetch_add(1, Ordering::Relaxed);
        let maps = chip.high_res.iter().flat_map(|maps| [&maps.quarter, &maps.half]);
        let arrays: Vec<_> = std::iter::once(&chip.embedding).chain(maps).map(row_major).collect();
        let arrays: Vec<&[f32]> = arrays.iter().map(Vec::as_slice).collect();
        match self.ask("prepare a chip", &Ask::Prepare { chip: number, family: chip.family }, &arrays)? {
            (Tell::Prepared { bytes }, _) => {
                let chip = RemoteChip { number, forgotten: Arc::clone(&self.forgotten) };
                Ok(PreparedChip::new(self.family, bytes, chip))
            }
            _ => Err(engine_error(&AcceleratorError::Confused)),
        }
    }

    fn decode(&self, chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError> {
        let foreign = DecoderError::ForeignPreparedChip { decoder: self.family };
        let chip = chip
            .content::<RemoteChip>(self.family)
            .filter(|chip| Arc::ptr_eq(&chip.forgotten, &self.forgotten))
            .ok_or(foreign)?;
        if prompt.token_count(self.family) == 0 {
            return Err(DecoderError::EmptyPrompt);
        }
        // JSON has no such numbers.
        let coordinates =
            prompt.points.iter().flat_map(|p| [p.x, p.y]).chain(prompt.bbox.into_iter().flatten());
        if !coordinates.into_iter().all(f64::is_finite) {
            return Err(DecoderError::PromptNotFinite);
        }
        // Here and not there: what is wrong with a prompt must not look like a failure of the engine.
        let mask = prompt.mask_values(self.family)?;
        if mask.is_some() && !self.report.takes_masks {
            return Err(DecoderError::NoMaskParameters { family: self.family });
        }
        let arrays: Vec<&[f32]> = mask.iter().map(AsRef::as_ref).collect();
        let forget = std::mem::take(&mut *lock(&self.forgotten));
        let ask = Ask::Decode { chip: chip.number, prompt: prompt.into(), forget };
        let (answer, mut arrays) = self.ask("decode a prompt", &ask, &arrays)?;
        let (Tell::Decoded { scores, side }, Some(logits)) = (answer, arrays.pop()) else {
            return Err(engine_error(&AcceleratorError::Confused));
        };
        let logits = Array3::from_shape_vec((4, side, side), logits)
            .ok()
            .filter(|_| side == self.family.low_resolution())
            .ok_or_else(|| engine_error(&AcceleratorError::Confused))?;
        Ok(Decoded { logits, scores })
    }

    fn takes_masks(&self) -> bool {
        self.report.takes_masks
    }
}

impl std::fmt::Debug for RemoteDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteDecoder").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Line {
    /// Starts a process. `full`: GPUs shall compute `f32` as such.
    pub fn open(launch: &Launch, full: bool) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let (program, arguments) = launch
            .command
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program is given"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(OwnedFd::from(theirs));
        // Libraries that print must not print into the program's own output.
        command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
        // CUDA: load kernels when they are used, which saves memory; and compute f32 as f32, where GPUs since
        // Ampere would round its factors to ten bits.
        let defaults = [("CUDA_MODULE_LOADING", "LAZY", true), ("NVIDIA_TF32_OVERRIDE", "0", full)];
        for (name, value, wanted) in defaults {
            if wanted && std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        Ok(Self { stream, child: Some(command.spawn()?), stage: String::new() })
    }

    /// Says what the process is to do next, for the case that it does not come back from there.
    pub fn begin(&mut self, stage: &str) {
        stage.clone_into(&mut self.stage);
    }

    /// Sends a message. `patience` is what `deadline` was made of.
    pub fn say(
        &mut self,
        ask: &Ask,
        arrays: &[&[f32]],
        deadline: Instant,
        patience: Duration,
    ) -> Result<(), AcceleratorError> {
        let sent = send(&mut Until { stream: &self.stream, deadline }, ask, arrays);
        sent.map_err(|error| self.last_words(deadline).unwrap_or_else(|| self.lost(&error, patience)))
    }

    /// What a process that takes nothing any more had said before: its refusal, if it said one, and how far it had come.
    fn last_words(&mut self, deadline: Instant) -> Option<AcceleratorError> {
        loop {
            match receive(&mut Until { stream: &self.stream, deadline }).ok()? {
                (Tell::Stage(stage), _) => self.begin(&stage),
                (Tell::Failed(message), _) => return Some(AcceleratorError::Refused(message)),
                _ => return None,
            }
        }
    }

    /// Waits for a message until the deadline, however slowly its bytes come.
    pub fn hear(
        &mut self,
        deadline: Instant,
        patience: Duration,
    ) -> Result<(Tell, Vec<Vec<f32>>), AcceleratorError> {
        let heard = receive(&mut Until { stream: &self.stream, deadline });
        heard.map_err(|error| self.lost(&error, patience))
    }

    /// Ends the process, and says what became of it.
    fn lost(&mut self, error: &io::Error, patience: Duration) -> AcceleratorError {
        let stage = self.stage.clone();
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            self.end();
            return AcceleratorError::Silent { stage, patience };
        }
        // A process whose end of the socket is closed is about to end by itself: its status tells more than a kill.
        for _ in 0..100 {
            match self.child.as_mut().map(Child::try_wait) {
                Some(Ok(Some(status))) => return AcceleratorError::Ended { how: status.to_string(), stage },
                Some(Ok(None)) => std::thread::sleep(Duration::from_millis(10)),
                Some(Err(_)) | None => break,
            }
        }
        self.end();
        AcceleratorError::Ended { how: error.to_string(), stage }
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Fails only for a process that has ended.
        let _ = child.kill();
        for _ in 0..50 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It hangs in a driver, where no signal reaches it: nobody who has prompts to answer waits for that.
        let _ = std::thread::Builder::new().name("engine-end".to_owned()).spawn(move || child.wait());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection until a moment: what is left is set before every read and write, since a socket's own timeout begins anew
/// with each.
struct Until<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Until<'_> {
    /// Never zero, which would mean for ever.
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn row_major(array: &Array3<f32>) -> Vec<f32> {
    array.as_standard_layout().iter().copied().collect()
}

fn engine_error(error: &AcceleratorError) -> DecoderError {
    DecoderError::Engine { action: "answer", message: error.to_string() }
}

/// What these locks hold is whole after a panic: a list of numbers; a connection that a half-said message makes
/// useless, which the next one finds out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
