//! Files and directories that have their last name only when they are complete. Whatever ends the program before,
//! an error or a signal, they are removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// What a signal is to remove.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Something of ours under a name that is not its last.
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// A file that its owner removes when it is dropped; here for signals alone.
    pub(super) fn file(path: &Path) -> Self {
        remove_on_signals();
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        Self { path: path.to_owned() }
    }

    /// A directory, removed with all that is in it.
    pub(super) fn directory(path: &Path) -> Self {
        Self::file(path)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It has its last name, and stays.
    pub(super) fn done(self) {
        self.forget();
    }

    fn forget(&self) -> bool {
        let mut all = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().position(|path| *path == self.path);
        known.map(|index| all.swap_remove(index)).is_some()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.forget() {
            remove(&self.path);
        }
    }
}

/// Best effort: what counts is what led here.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Waits, in a thread, for the signals that end a command; removes what is unfinished, then ends the program as
/// the signal would have. Signals that are ignored (`nohup`, a job in the background) stay so.
fn remove_on_signals() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let ignored = ignored_signals();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let (give, take) = std::sync::mpsc::channel::<Signals>();
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let Ok(mut signals) = take.recv() else { return };
            for signal in signals.forever() {
                for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                    remove(&path);
                }
                let _ = emulate_default_handler(signal);
            }
        });
        // Without handlers, or a thread for them, the program ends by a signal as well, and leaves a file.
        if let (Ok(_), Ok(signals)) = (thread, Signals::new(wanted)) {
            // The thread waits for it.
            let _ = give.send(signals);
        }
    });
}

/// Bit `n - 1` is set where signal `n` is ignored (proc(5), `SigIgn`).
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
